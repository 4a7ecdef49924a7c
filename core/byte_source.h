// Bytes that are read by their place: a file, or a part of one in memory.
#pragma once

#include "core/load_error.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace inllama {

// A seam: GGUF is read from this.
class ByteSource {
  public:
    ByteSource() = default;
    ByteSource(const ByteSource&) = delete;
    ByteSource& operator=(const ByteSource&) = delete;
    virtual ~ByteSource() = default;

    // What errors call it, such as its path.
    virtual const std::string& name() const noexcept = 0;
    virtual uint64_t size() const noexcept = 0;
    // Copies bytes [offset, offset + n) to `to`. REQUIRES: they lie within size().
    //
    // Throws ModelLoadError if fewer are there, because a file shrank or could not be read.
    virtual void read(uint64_t offset, void* to, size_t n) = 0;
};

// Bytes of the caller, which outlive it.
class MemorySource : public ByteSource {
  public:
    explicit MemorySource(std::string_view bytes, std::string name = "the bytes")
        : bytes_(bytes), name_(std::move(name)) {}

    const std::string& name() const noexcept override { return name_; }
    uint64_t size() const noexcept override { return bytes_.size(); }
    void read(uint64_t offset, void* to, size_t n) override { std::memcpy(to, bytes_.data() + offset, n); }

  private:
    std::string_view bytes_;
    std::string name_;
};

} // namespace inllama
