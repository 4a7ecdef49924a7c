// A source of bytes that says what was read of it.
#pragma once

#include "core/byte_source.h"

#include <cstring>
#include <string>
#include <utility>

// Counts what is read, and fails like a file that shrank.
class WatchedSource : public inllama::ByteSource {
  public:
    explicit WatchedSource(std::string bytes, uint64_t claimed)
        : bytes_(std::move(bytes)), claimed_(claimed) {}
    const std::string& name() const noexcept override { return name_; }
    uint64_t size() const noexcept override { return claimed_; }
    void read(uint64_t offset, void* to, size_t n) override {
        n_read += n;
        if (offset + n > bytes_.size()) {
            throw inllama::load_error(name_, "it became shorter while it was read");
        }
        std::memcpy(to, bytes_.data() + offset, n);
    }
    uint64_t n_read = 0;

  private:
    std::string name_ = "w.gguf", bytes_;
    uint64_t claimed_;
};
