// Finds stop strings in streamed text without publishing any part of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace inllama {

// Searches a stream of text pieces for the first of several stop strings.
//
// 1. Held back is exactly the longest end of the text that begins some stop string, so text that cannot
//    become part of a stop is published at once.
// 2. The match that ends first wins; of those that end at the same byte, the longest.
// 3. Output is cut between characters only: what is held back begins with the first byte of a stop string.
// Time: O(bytes) for construction and search alike, times the logarithm of the branching (an Aho-Corasick
// automaton). Threads: one at a time.
class StopMatcher {
  public:
    struct Step {
        std::string text;           // to be published now
        std::optional<size_t> stop; // index of the stop string that matched
    };

    // `stops` may be empty (nothing is held back then); of equal stop strings the first is reported.
    //
    // Throws InvalidRequestError (field `index`) if a stop string is empty or not valid UTF-8.
    explicit StopMatcher(std::vector<std::string> stops);

    // Takes the next piece. With a match, `text` ends where the stop string begins, and what follows it is
    // dropped; every later push and flush gives nothing.
    //
    // REQUIRES: `piece` is valid UTF-8.
    Step push(std::string_view piece);

    // Ends the stream: returns the text held back. The next push starts afresh, unless a stop has matched.
    std::string flush();

    // Bytes held back. Never throws.
    size_t n_held() const noexcept { return is_stopped_ ? 0 : nodes_[state_].depth; }

  private:
    static constexpr uint32_t kNone = UINT32_MAX;

    // One prefix of one or more stop strings.
    struct Node {
        uint32_t depth = 0;     // length of the prefix
        uint32_t prefix_of = 0; // a stop string that begins with it
        uint32_t shorter = 0;   // node of its longest proper suffix that is a prefix too
        uint32_t stop = kNone;  // the longest stop string that ends here
        std::vector<std::pair<unsigned char, uint32_t>> children; // sorted by byte
    };

    void add(uint32_t index);
    void link();
    uint32_t child(uint32_t node, unsigned char byte) const noexcept;
    uint32_t next(uint32_t node, unsigned char byte) const noexcept;

    std::vector<std::string> stops_;
    std::vector<Node> nodes_; // nodes_[0] is the empty prefix
    uint32_t state_ = 0;      // the text held back
    bool is_stopped_ = false;
};

} // namespace inllama
