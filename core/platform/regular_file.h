// A regular file, opened for reading by place.
#pragma once

#include "core/byte_source.h"

#include <cstdint>
#include <string>

namespace inllama {

// What tells one state of a file from another.
struct FileIdentity {
    uint64_t device = 0;
    uint64_t number = 0; // of the file in its file system
    uint64_t size = 0;
    int64_t modified_ns = 0;

    bool operator==(const FileIdentity& other) const noexcept {
        return device == other.device && number == other.number && size == other.size &&
               modified_ns == other.modified_ns;
    }
    bool operator!=(const FileIdentity& other) const noexcept { return !(*this == other); }
};

// Reads with pread rather than a mapping: a mapped file that somebody cuts is a bus error.
//
// Threads: any, one at a time for read().
class RegularFile : public ByteSource {
  public:
    // Opens `path`, without ever blocking on it.
    //
    // Throws ModelLoadError for what is not there, cannot be opened, or is a directory, FIFO, socket or
    // device; InvalidRequestError for a path with a NUL byte.
    explicit RegularFile(const std::string& path);
    ~RegularFile() override;

    const std::string& name() const noexcept override { return path_; }
    uint64_t size() const noexcept override { return identity_.size; }
    void read(uint64_t offset, void* to, size_t n) override;

    const FileIdentity& identity() const noexcept { return identity_; }

  private:
    std::string path_;
    FileIdentity identity_;
#ifdef _WIN32
    void* file_ = nullptr;
#else
    int file_ = -1;
#endif
};

// Throws ModelLoadError unless what is at `path` is the file that was there with this identity.
void check_unchanged(const std::string& path, const FileIdentity& identity);

} // namespace inllama
