// How much stack llama.cpp's tokenizer needs: std::regex recurses once per character of a match.
#pragma once

#include <cstddef>
#include <string_view>

namespace inllama {

struct ModelHandle;

// A text of at most this many bytes fits every thread's stack.
inline constexpr size_t kRunOnAnyStack = 256;
// The longest match that is tokenized at all; more would need more stack than we ask for.
inline constexpr size_t kLongestRun = size_t{1} << 19;

// What one repetition of a vocabulary's splitting expression can match.
enum class RegexRuns {
    none,      // no std::regex, or nothing that repeats
    like,      // characters of one kind: letters, digits, white space or punctuation
    non_space, // anything without white space
    any,       // words and the spaces between them
};

// How the model's tokenizer splits text. Byte-pair vocabularies split with regular expressions first;
// llama.cpp has its own code for the most common ones and gives all others to std::regex.
RegexRuns regex_runs(const ModelHandle& model);

// The length, in characters, of the longest match in `text`. Characters beyond ASCII count as every kind.
size_t longest_run(std::string_view text, RegexRuns runs);

// The stack in which a run of `n_run` characters is matched without overflow.
size_t stack_bytes_for_run(size_t n_run);

} // namespace inllama
