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
#include <utility>

namespace inllama {

// What is read, for errors. Made for each entry, and its text only if there is one.
struct GgufPlace {
    const char* kind; // such as "tensor"
    std::optional<uint64_t> number = std::nullopt;
    std::string_view name = "";

    // Such as "tensor output.weight", or "tensor 7" if the name is empty.
    std::string text() const;
};

// Takes values from the beginning of a source, which it reads in large blocks and keeps, unless told not to.
//
// Nothing is taken from the system for bytes that the source does not have. Throws ModelLoadError. Threads:
// one at a time.
class GgufReader {
  public:
    explicit GgufReader(ByteSource& source);

    uint64_t offset() const noexcept { return at_; }
    // Where the bytes from offset() on are, or will be; what is taken from there stays there.
    const char* here() const noexcept { return bytes_->data() + (at_ - n_dropped_); }
    uint64_t remaining() const noexcept { return source_.size() - at_; }
    // Names what is read from now on, for errors.
    void set_place(const GgufPlace& place) { place_ = place; }

    template<class T> T take(const char* what) {
        need(sizeof(T), what);
        T value;
        std::memcpy(&value, here(), sizeof(T));
        at_ += sizeof(T);
        return value;
    }

    enum class Bytes : uint8_t { kept, dropped };

    // Skips `n` bytes. Those that are dropped are not read.
    void skip(uint64_t n, const char* what, Bytes bytes = Bytes::kept) {
        if (bytes == Bytes::dropped) {
            drop(n, what);
        } else {
            need(n, what);
            at_ += n;
        }
    }

    // Throws unless the source has `n` more bytes. Reads nothing.
    void expect(uint64_t n, const char* what) const;

    // Takes a text with its length before it; at most `limit` bytes. It lives as long as the bytes kept.
    std::string_view take_text(const char* what, uint64_t limit);

    // Skips `n` texts, and gives the bytes of the longest one. Where they are dropped, what comes next takes
    // their place.
    uint64_t skip_texts(uint64_t n, Bytes bytes);

    // What was read and kept. Afterwards nothing more can be taken.
    std::unique_ptr<const HeaderBytes> take_bytes() noexcept { return std::move(bytes_); }

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
    // Throws unless a header can have `n` more bytes, and this one has them.
    void expect_in_header(uint64_t n, const char* what) const;
    void drop(uint64_t n, const char* what);
    void drop_texts();

    // Skips some of `n` texts that are in memory already, and gives their number.
    uint64_t skip_row_of_texts(uint64_t n, uint64_t& n_longest);

    ByteSource& source_;
    std::unique_ptr<HeaderBytes> bytes_;
    // Offsets in the source.
    uint64_t n_read_ = 0;
    uint64_t at_ = 0;                    // never above n_read_
    std::optional<uint64_t> drop_begin_; // what was taken from here on is not needed
    uint64_t n_dropped_ = 0;             // bytes before at_ whose place was taken
    GgufPlace place_{""};
};

// ModelLoadError about `place` in a file: "could not load NAME: PLACE PROBLEM", with path, reason and where.
Error gguf_error(const std::string& name, const std::string& place, const std::string& problem);

} // namespace inllama
