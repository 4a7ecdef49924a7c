#include "check.h"
#include "core/platform/regular_file.h"

#include <filesystem>
#include <fstream>

#ifndef _WIN32
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#endif

using namespace inllama;

namespace {

namespace fs = std::filesystem;

struct Folder {
    Folder() {
        path = fs::temp_directory_path() / ("inllama-" + std::to_string(reinterpret_cast<uintptr_t>(this)));
        fs::create_directories(path);
    }
    ~Folder() { fs::remove_all(path); }
    std::string write(const char* name, const std::string& bytes) const {
        std::ofstream(path / name, std::ios::binary) << bytes;
        return (path / name).string();
    }
    fs::path path;
};

std::string reason(const std::string& path) {
    try {
        const RegularFile file(path);
        return "";
    } catch (const Error& error) {
        const FieldValue* field = error.field("reason");
        return field == nullptr ? error.message() : std::get<std::string>(*field);
    }
}

} // namespace

TEST("a file is read by place") {
    const Folder folder;
    RegularFile file(folder.write("a", "0123456789"));
    char bytes[4] = {};
    CHECK_EQ(file.size(), 10u);
    file.read(3, bytes, 3);
    CHECK_EQ(std::string(bytes), "345");
    CHECK_THROWS(file.read(8, bytes, 3), Error, thrown.kind() == ErrorKind::ModelLoadError, "ModelLoadError");
    check_unchanged(file.name(), file.identity());
}

TEST("a file that changes is noticed") {
    const Folder folder;
    const std::string path = folder.write("a", "0123456789");
    const RegularFile longer(path);
    folder.write("a", "0123456789+");
    CHECK_THROWS(check_unchanged(path, longer.identity()), Error, thrown.kind() == ErrorKind::ModelLoadError,
                 "ModelLoadError");
    const RegularFile touched(path);
    fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(1));
    CHECK_THROWS(check_unchanged(path, touched.identity()), Error, thrown.kind() == ErrorKind::ModelLoadError,
                 "ModelLoadError");
    const RegularFile gone(path);
    fs::remove(path);
    CHECK_THROWS(check_unchanged(path, gone.identity()), Error, thrown.kind() == ErrorKind::ModelLoadError,
                 "ModelLoadError");
}

#ifndef _WIN32
TEST("what is no file is refused without waiting for it") {
    const Folder folder;
    const std::string at = folder.path.string();
    CHECK_EQ(reason(at + "/none"), "there is no such file");
    CHECK_EQ(reason(at), "it is a directory; give the path of a .gguf file");
    CHECK_EQ(::mkfifo((at + "/fifo").c_str(), 0600), 0);
    CHECK_EQ(reason(at + "/fifo"), "it is not a regular file");
    CHECK_EQ(reason("/dev/zero"), "it is not a regular file");
    CHECK_EQ(reason("/dev/null"), "it is not a regular file");
    fs::create_symlink("loop", folder.path / "loop");
    CHECK(reason(at + "/loop") != "");
    fs::create_symlink("nowhere", folder.path / "broken");
    CHECK_EQ(reason(at + "/broken"), "there is no such file");
    CHECK(reason(at + "/" + std::string(5000, 'x')) != "");
    CHECK_EQ(reason(std::string("a\0b", 3)), "the path contains a NUL byte");
    const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = at + "/socket";
    if (name.size() < sizeof(address.sun_path)) {
        std::copy(name.begin(), name.end(), address.sun_path);
        CHECK_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
        CHECK_EQ(reason(name), "it is not a regular file");
    }
    ::close(listener);
    fs::create_symlink("real", folder.path / "link");
    folder.write("real", "x");
    CHECK_EQ(reason(at + "/link"), "");
}
#endif
