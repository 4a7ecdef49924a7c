// Memory for a header whose size is not known.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

namespace inllama {

// Bytes that grow without being copied where the system can, and are not set to anything.
class GrowingBytes {
  public:
    GrowingBytes() = default;
    GrowingBytes(GrowingBytes&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    GrowingBytes& operator=(GrowingBytes&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~GrowingBytes() { std::free(data_); }

    char* data() noexcept { return data_; }
    const char* data() const noexcept { return data_; }
    size_t size() const noexcept { return size_; }
    // Throws std::bad_alloc. REQUIRES: n is at least 1.
    void resize(size_t n) {
        void* moved = std::realloc(data_, n);
        if (moved == nullptr) {
            throw std::bad_alloc();
        }
        data_ = static_cast<char*>(moved);
        size_ = n;
    }

  private:
    char* data_ = nullptr;
    size_t size_ = 0;
};

} // namespace inllama
