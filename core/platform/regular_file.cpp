#include "core/platform/regular_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#ifdef _WIN32
#include <chrono>
#include <fstream>
#else
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace inllama {

namespace {

std::string text_of_errno(int number) {
    return std::system_category().message(number);
}

void check_kind(const std::string& path) {
    if (path.find('\0') != std::string::npos) {
        throw Error(ErrorKind::InvalidRequestError, "the path contains a NUL byte");
    }
    std::error_code failed;
    const auto status = std::filesystem::status(path, failed);
    if (status.type() == std::filesystem::file_type::not_found) {
        throw load_error(path, "there is no such file");
    }
    if (failed) {
        throw load_error(path, failed.message());
    }
    if (status.type() == std::filesystem::file_type::directory) {
        throw load_error(path, "it is a directory; give the path of a .gguf file");
    }
    if (status.type() != std::filesystem::file_type::regular) {
        throw load_error(path, "it is not a regular file");
    }
}

} // namespace

void check_unchanged(const std::string& path, const FileIdentity& identity) {
    if (RegularFile(path).identity() != identity) {
        throw load_error(path, "it was changed while it was loaded; load it again, and replace model files "
                               "by renaming");
    }
}

#ifdef _WIN32

RegularFile::RegularFile(const std::string& path) : path_(path) {
    check_kind(path);
    auto file = std::make_unique<std::ifstream>(path, std::ios::binary);
    if (!*file) {
        throw load_error(path, "it cannot be opened for reading; check its permissions");
    }
    identity_.size = std::filesystem::file_size(path);
    identity_.modified_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                                std::filesystem::last_write_time(path).time_since_epoch())
                                .count();
    file_ = file.release();
}

RegularFile::~RegularFile() {
    delete static_cast<std::ifstream*>(file_);
}

void RegularFile::read(uint64_t offset, void* to, size_t n) {
    auto& file = *static_cast<std::ifstream*>(file_);
    file.clear();
    file.seekg(static_cast<std::streamoff>(offset));
    file.read(static_cast<char*>(to), static_cast<std::streamsize>(n));
    if (static_cast<size_t>(file.gcount()) != n) {
        throw load_error(path_, "it became shorter while it was read");
    }
}

#else

RegularFile::RegularFile(const std::string& path) : path_(path) {
    // Before it is opened, because opening a device may do something.
    check_kind(path);
    // Non-blocking, if it became a FIFO just now.
    file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file_ < 0) {
        throw load_error(path, "it cannot be opened for reading (" + text_of_errno(errno) +
                                   "); check its permissions");
    }
    struct stat status{};
    const bool is_read = ::fstat(file_, &status) == 0;
    if (!is_read || !S_ISREG(status.st_mode)) {
        ::close(file_);
        throw load_error(path, "it is not a regular file");
    }
    identity_.device = static_cast<uint64_t>(status.st_dev);
    identity_.number = static_cast<uint64_t>(status.st_ino);
    identity_.size = static_cast<uint64_t>(status.st_size);
#ifdef __APPLE__
    const timespec& modified = status.st_mtimespec;
#else
    const timespec& modified = status.st_mtim;
#endif
    identity_.modified_ns = int64_t{modified.tv_sec} * 1000000000 + modified.tv_nsec;
}

RegularFile::~RegularFile() {
    ::close(file_);
}

void RegularFile::read(uint64_t offset, void* to, size_t n) {
    auto* bytes = static_cast<char*>(to);
    while (n > 0) {
        const ssize_t got = ::pread(file_, bytes, n, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            throw load_error(path_, "it cannot be read: " + text_of_errno(errno));
        }
        if (got == 0) {
            throw load_error(path_, "it became shorter while it was read");
        }
        bytes += got;
        offset += static_cast<uint64_t>(got);
        n -= static_cast<size_t>(got);
    }
}

#endif

} // namespace inllama
