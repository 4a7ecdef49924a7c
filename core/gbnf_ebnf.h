// Writes a GBNF grammar in the notation of xgrammar, whose EBNF has other escapes, names and tokens.
#pragma once

#include "core/gbnf_tree.h"

#include <string>
#include <string_view>

namespace inllama {

struct EbnfGrammar {
    std::string text;
    std::string root; // name of the rule to start from
};

// What repeats without calling itself becomes one automaton, `Regex`: masks of rules that call each other
// for every character take a thousand times as long.
//
// Throws GrammarError for what xgrammar has no notation for, and what `token_of` throws.
//
// REQUIRES: check_gbnf accepts `text` and `root`. Any thread.
EbnfGrammar gbnf_to_ebnf(std::string_view text, std::string_view root, const TokenOf& token_of);

} // namespace inllama
