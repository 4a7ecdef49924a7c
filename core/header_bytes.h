// Memory for a header whose size is not known.
#pragma once

#include "core/platform/memory.h"

#include <cstddef>
#include <new>

namespace inllama {

// Room for bytes, which are not set to anything and stay where they are. The system gives what is written of
// it; behind the first bytes large pages, if the room is large: taking small ones costs more than reading a
// file into them.
class HeaderBytes {
  public:
    // Throws std::bad_alloc.
    explicit HeaderBytes(size_t room) : room_(room), data_(::operator new(room, alignment())) {
        if (room >= kMany) {
            prefer_large_pages(data() + kLargePageBytes, room - kLargePageBytes);
        }
    }
    HeaderBytes(const HeaderBytes&) = delete;
    HeaderBytes& operator=(const HeaderBytes&) = delete;
    ~HeaderBytes() { ::operator delete(data_, alignment()); }

    char* data() const noexcept { return static_cast<char*>(data_); }

  private:
    static constexpr size_t kMany = 16 * kLargePageBytes;

    std::align_val_t alignment() const noexcept {
        return std::align_val_t(room_ < kMany ? alignof(std::max_align_t) : kLargePageBytes);
    }

    const size_t room_;
    void* const data_;
};

} // namespace inllama
