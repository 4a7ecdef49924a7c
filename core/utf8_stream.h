// Makes valid UTF-8 of token bytes, which end in the middle of characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace inllama {

// Length in bytes of the longest valid UTF-8 prefix of `bytes`; bytes.size() if all of it is valid (no
// surrogates, no overlong forms, nothing above U+10FFFF). Any thread; never throws.
size_t valid_utf8_prefix(std::string_view bytes) noexcept;

// Streaming UTF-8 decoder that never gives out part of a character.
//
// 1. All outputs joined equal Python's bytes.decode("utf-8", "replace") of all inputs joined, however the
//    input was split: each maximal subpart of an ill-formed sequence becomes one U+FFFD.
// 2. Every output is valid UTF-8, and at most 3 bytes are held back.
// Threads: one at a time. Source: The Unicode Standard 15.0, tables 3-7 and 3-8.
class Utf8Stream {
  public:
    // Takes the next bytes and returns the text that they complete; an unfinished character waits.
    std::string push(std::string_view bytes);

    // Ends the stream: returns U+FFFD if a character is unfinished, else "". The next push starts afresh.
    std::string flush();

    // Bytes held back, 0 to 3. Never throws.
    size_t n_held() const noexcept { return n_held_; }

  private:
    char held_[3] = {};
    uint8_t n_held_ = 0;
    uint8_t n_missing_ = 0;
    // The continuation byte that comes next must lie in [lower_, upper_].
    unsigned char lower_ = 0x80;
    unsigned char upper_ = 0xBF;
};

} // namespace inllama
