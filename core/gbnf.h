// Checks a GBNF grammar before llama.cpp sees it.
//
// llama.cpp prints bad grammars to stderr and returns NULL; some others it accepts and then overflows the
// stack or runs out of memory or time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace inllama {

// Tells if `text`, "<think>" or "<[17]>", is exactly one token of the vocabulary.
using IsToken = std::function<bool(std::string_view text)>;

// Copies of limits in llama.cpp.
inline constexpr uint64_t kMaxGbnfRepetitions = 2000; // MAX_REPETITION_THRESHOLD

// Limits of ours. llama.cpp recurses per parenthesis and per rule of a chain: 2048 rules and 256 parentheses
// fit a 512 KiB thread stack, measured without optimization.
inline constexpr size_t kMaxGbnfBytes = size_t{1} << 20;
inline constexpr size_t kMaxGbnfNesting = 256;
inline constexpr size_t kMaxGbnfChain = 2048;
// What the rules take inside llama.cpp once repetitions are written out.
inline constexpr uint64_t kMaxGbnfExpandedBytes = uint64_t{64} << 20;
// Work of llama.cpp's search for left recursion, in elements; about 0.2 s.
inline constexpr double kMaxGbnfScanSteps = 1 << 26;
// Pairs of neighbours that may all be missing: xgrammar took 3 s for 640,000.
inline constexpr double kMaxGbnfOptionalPairs = 1 << 18;
// Work per grammar position, in comparisons of stack entries; about 1 s. 16,384 plain alternatives reach it.
inline constexpr double kMaxGbnfBeginSteps = 1 << 28;

// Returns if llama.cpp accepts the grammar `text` with the start rule `root` and can run it within the limits
// above; else throws GrammarError with fields `line` and `column` (in characters, from 1) of the place that
// its text is about.
//
// Accepts what llama.cpp's parser accepts, except for the limits and
// - {m,n} with n > 2000, of which llama.cpp would drop the upper bound;
// - left recursion behind a rule that is empty only by way of other rules: llama.cpp never returns from it.
// A token <name> is looked up with `is_token`, which may throw; without it every name is taken for a token.
// Not found are grammars whose number of readings doubles with each character of output, such as
// root ::= "x" root "y" | "x" root "z" | "": bound the time of a step.
//
// Takes time and memory in proportion to the expanded grammar, at most about 0.5 s and 150 MB, and less than
// 256 KiB of stack. Any thread. Source: src/llama-grammar.cpp of the pinned llama.cpp.
void check_gbnf(std::string_view text, std::string_view root, const IsToken& is_token = nullptr);

} // namespace inllama
