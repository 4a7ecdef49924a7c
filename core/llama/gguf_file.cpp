#include "core/llama/gguf_file.h"

#include "core/checksum.h"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace inllama {

Error load_error(const std::string& path, const std::string& reason) {
    return Error(ErrorKind::ModelLoadError, "could not load " + path + ": " + reason)
        .with("path", path)
        .with("reason", reason);
}

namespace {

// The files of a model that has several, "model-00001-of-00003.gguf"; else the only one.
std::vector<std::string> files_of(const std::string& path) {
    constexpr size_t kEnd = sizeof("-00001-of-00003.gguf") - 1;
    int number = 0;
    int n_files = 0;
    const std::string end = path.size() > kEnd ? path.substr(path.size() - kEnd) : "";
    if (std::sscanf(end.c_str(), "-%5d-of-%5d.gguf", &number, &n_files) != 2 || number != 1) {
        return {path};
    }
    std::vector<std::string> files;
    for (int i = 1; i <= n_files; i++) {
        char name[kEnd + 1];
        std::snprintf(name, sizeof(name), "-%05d-of-%05d.gguf", i, n_files);
        files.push_back(path.substr(0, path.size() - kEnd) + name);
    }
    return files;
}

uint64_t add_file(const std::string& path, uint64_t hash) {
    constexpr uint64_t kSlice = 64 << 10;
    constexpr uint64_t kFirst = 16; // slices at the beginning, where the entries are
    constexpr uint64_t kSpread = 48;
    std::error_code failed;
    const uint64_t size = std::filesystem::file_size(path, failed);
    std::ifstream file(path, std::ios::binary);
    hash = checksum(&size, sizeof(size), hash);
    std::vector<char> slice(kSlice);
    const auto add = [&](uint64_t begin) {
        file.clear();
        file.seekg(static_cast<std::streamoff>(begin));
        file.read(slice.data(), static_cast<std::streamsize>(slice.size()));
        hash = checksum(slice.data(), static_cast<size_t>(file.gcount()), hash);
    };
    for (uint64_t i = 0; i < kFirst; i++) {
        add(i * kSlice);
    }
    for (uint64_t i = 0; i < kSpread; i++) {
        add(size > kSlice ? (size - kSlice) / kSpread * (i + 1) : 0);
    }
    return hash;
}

} // namespace

std::string file_fingerprint(const std::string& path) {
    uint64_t hash = 0;
    for (const std::string& file : files_of(path)) {
        hash = add_file(file, hash);
    }
    std::ostringstream text;
    text << std::hex << hash;
    return text.str();
}

void check_gguf_file(const std::string& path) {
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
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw load_error(path, "it cannot be opened for reading; check its permissions");
    }
    char magic[4] = {};
    file.read(magic, sizeof(magic));
    if (file.gcount() == 0) {
        throw load_error(path, "it is empty");
    }
    if (file.gcount() < 4 || std::string(magic, 4) != "GGUF") {
        throw load_error(path, "it is not a GGUF file (it does not start with 'GGUF')");
    }
}

} // namespace inllama
