// Finds where a text spells out special tokens, and where its ends could be part of such a spelling.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace inllama {

// An index over the spellings of a vocabulary's special tokens: thousands of them cost no more than a few.
// Immutable; any thread.
class SpecialText {
  public:
    struct Match {
        size_t begin;
        size_t end;
    };

    // `spellings`: in any order; empty ones are ignored.
    explicit SpecialText(std::vector<std::string> spellings);

    // The first spelling in `text` at `from` or later; of those that start there, the longest.
    std::optional<Match> find(std::string_view text, size_t from) const;

    // Whether a spelling in `text` has at least one byte in [begin, end).
    bool overlaps(std::string_view text, size_t begin, size_t end) const;

    // Whether a spelling in `text` has bytes before `at` and from `at` on.
    bool crosses(std::string_view text, size_t at) const;

    // How many bytes at the beginning of `text` could end a spelling that began before it; 0: none. Of words
    // alone ("user") that is not said: at least one character must be other than ASCII letters, digits, '_'
    // and white space.
    size_t n_could_end(std::string_view text) const;

    // How many bytes at the end of `text` could begin a spelling that goes on behind it, likewise.
    size_t n_could_begin(std::string_view text) const;

    // Bytes of the longest spelling; 0: there is none.
    size_t longest() const { return longest_; }

  private:
    bool has(std::string_view spelling) const { return set_.count(spelling) > 0; }

    std::vector<std::string> sorted_;
    std::vector<std::string> reversed_;              // each of them backwards, sorted
    std::unordered_set<std::string_view> set_;       // into sorted_
    std::array<std::vector<uint32_t>, 256> lengths_; // by first byte, longest first
    std::bitset<65536> pairs_;                       // first two bytes of those that are longer than one
    std::bitset<256> last_;                          // last bytes
    size_t longest_ = 0;
};

// Whether `text` is only white space; SentencePiece's U+2581 counts as a space.
bool is_white_space(std::string_view text);

} // namespace inllama
