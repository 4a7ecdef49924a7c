// The bytes of a GGUF header, one after the other. Part of Gguf.
#pragma once

#include "core/byte_source.h"
#include "core/growing_bytes.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace inllama {

// Takes values from the beginning of a source, which it reads in large blocks and keeps.
//
// Nothing is allocated for bytes that the source does not have. Throws ModelLoadError. Threads: one at a
// time.
class GgufReader {
  public:
    explicit GgufReader(ByteSource& source) : source_(source) {}

    uint64_t offset() const noexcept { return at_; }
    uint64_t remaining() const noexcept { return source_.size() - at_; }
    // Names what is read from now on, for errors.
    void set_place(std::string place) { place_ = std::move(place); }

    template<class T> T take(const char* what) {
        need(sizeof(T), what);
        T value;
        std::memcpy(&value, bytes_.data() + at_, sizeof(T));
        at_ += sizeof(T);
        return value;
    }

    // Skips `n` bytes, which are then among bytes().
    void skip(uint64_t n, const char* what) {
        need(n, what);
        at_ += n;
    }

    // Throws unless the source has `n` more bytes. Reads nothing.
    void expect(uint64_t n, const char* what) const;

    // Takes a text with its length before it; at most `limit` bytes. Valid until the next call.
    std::string_view take_text(const char* what, uint64_t limit);

    // Skips `n` texts.
    void skip_texts(uint64_t n);

    // What was read until now, from the beginning, and maybe some more.
    const GrowingBytes& bytes() const noexcept { return bytes_; }
    GrowingBytes release() { return std::move(bytes_); }

    [[noreturn]] void fail(const std::string& problem) const { fail_at(place_, problem); }
    [[noreturn]] void fail_at(const std::string& place, const std::string& problem) const;

  private:
    // Makes sure that the next `n` bytes are in memory.
    void need(uint64_t n, const char* what) {
        if (n > bytes_.size() - at_) {
            fetch(n, what);
        }
    }
    void fetch(uint64_t n, const char* what);

    // Skips some of `n` texts that are in memory already, and gives their number.
    uint64_t skip_row_of_texts(uint64_t n);

    ByteSource& source_;
    GrowingBytes bytes_;
    uint64_t at_ = 0; // never above bytes_.size()
    std::string place_;
};

// ModelLoadError about `place` in a file: "could not load NAME: PLACE PROBLEM", with path, reason and where.
Error gguf_error(const std::string& name, const std::string& place, const std::string& problem);

} // namespace inllama
