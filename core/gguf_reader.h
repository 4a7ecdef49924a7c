// The bytes of a GGUF header, one after the other. Part of Gguf.
#pragma once

#include "core/byte_source.h"
#include "core/header_bytes.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace inllama {

// What is read, for errors. Made for each entry, and its text only if there is one.
struct GgufPlace {
    const char* kind; // such as "tensor"
    std::optional<uint64_t> number = std::nullopt;
    std::string_view name = "";

    // Such as "tensor output.weight", or "tensor 7" if the name is empty.
    std::string text() const;
};

// Takes values from the beginning of a source, which it reads in large blocks and keeps.
//
// Nothing is taken from the system for bytes that the source does not have. Throws ModelLoadError. Threads:
// one at a time.
class GgufReader {
  public:
    explicit GgufReader(ByteSource& source);

    uint64_t offset() const noexcept { return at_; }
    uint64_t remaining() const noexcept { return source_.size() - at_; }
    // Names what is read from now on, for errors.
    void set_place(const GgufPlace& place) { place_ = place; }

    template<class T> T take(const char* what) {
        need(sizeof(T), what);
        T value;
        std::memcpy(&value, data() + at_, sizeof(T));
        at_ += sizeof(T);
        return value;
    }

    // Skips `n` bytes, which are then in memory.
    void skip(uint64_t n, const char* what) {
        need(n, what);
        at_ += n;
    }

    // Throws unless the source has `n` more bytes. Reads nothing.
    void expect(uint64_t n, const char* what) const;

    // Takes a text with its length before it; at most `limit` bytes. It lives as long as bytes().
    std::string_view take_text(const char* what, uint64_t limit);

    // Skips `n` texts, and gives the bytes of the longest one.
    uint64_t skip_texts(uint64_t n);

    // What was read until now, from the beginning; it stays where it is.
    const char* data() const noexcept { return bytes_->data(); }
    std::shared_ptr<const HeaderBytes> bytes() const noexcept { return bytes_; }

    [[noreturn]] void fail(const std::string& problem) const { fail_at(place_.text(), problem); }
    [[noreturn]] void fail_at(const std::string& place, const std::string& problem) const;

  private:
    // Makes sure that the next `n` bytes are in memory.
    void need(uint64_t n, const char* what) {
        if (n > n_read_ - at_) {
            fetch(n, what);
        }
    }
    void fetch(uint64_t n, const char* what);

    // Skips some of `n` texts that are in memory already, and gives their number.
    uint64_t skip_row_of_texts(uint64_t n, uint64_t& n_longest);

    ByteSource& source_;
    const std::shared_ptr<HeaderBytes> bytes_;
    uint64_t n_read_ = 0;
    uint64_t at_ = 0; // never above n_read_
    GgufPlace place_{""};
};

// ModelLoadError about `place` in a file: "could not load NAME: PLACE PROBLEM", with path, reason and where.
Error gguf_error(const std::string& name, const std::string& place, const std::string& problem);

} // namespace inllama
