// Reads GBNF text into the rules that llama.cpp would build of it. Part of check_gbnf.
#pragma once

#include "core/gbnf.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace inllama {

// An element of a rule: the index of a rule, or one of these.
using GbnfItem = uint32_t;
inline constexpr GbnfItem kGbnfTerminal = UINT32_MAX;      // whatever consumes a character or a token
inline constexpr GbnfItem kGbnfAlternate = UINT32_MAX - 1; // what '|' separates

struct GbnfRule {
    size_t begin = 0; // its items are GbnfGrammar::items[begin, end)
    size_t end = 0;
    size_t offset = 0;  // where the text defines it
    uint32_t owner = 0; // itself, or the named rule that it was synthesized for
    bool is_defined = false;
};

// All rules with groups and repetitions written out, in the order of llama.cpp's symbol ids.
struct GbnfGrammar {
    std::string_view text;
    std::vector<GbnfItem> items;
    std::vector<GbnfRule> rules;
};

// Parses as llama_grammar_parser::parse does, within kMaxGbnfNesting and kMaxGbnfExpandedBytes. Every rule of
// the result is defined, and so is `root`. Throws GrammarError as check_gbnf does.
//
// REQUIRES: `text` is valid UTF-8 without NUL and outlives the result.
GbnfGrammar parse_gbnf(std::string_view text, std::string_view root, const IsToken& is_token);

} // namespace inllama
