// Writes a GBNF grammar in the notation of xgrammar, whose EBNF has other escapes, names and tokens.
#pragma once

#include "core/gbnf_tree.h"

#include <string>
#include <string_view>
#include <vector>

namespace inllama {

// A control token, and the text that stands for it in literals.
struct SpelledToken {
    std::string text; // not empty, UTF-8
    Token token;
};

// What a grammar is written with.
struct EbnfOptions {
    std::vector<SpelledToken> spelled; // may come in place of their text
    std::string hole; // a rule that is written as the rule "root" of what the caller appends; empty: none
};

struct EbnfGrammar {
    std::string text;
    std::string root; // name of the rule to start from
};

// What repeats without calling itself becomes one automaton, `Regex`: masks of rules that call each other
// for every character take a thousand times as long.
//
// The names of the rules are none of "root" and "x1", "x2", ...
//
// Throws GrammarError for what xgrammar has no notation for, and what `token_of` throws.
//
// REQUIRES: check_gbnf accepts `text` and `root`. Any thread.
EbnfGrammar gbnf_to_ebnf(std::string_view text, std::string_view root, const TokenOf& token_of,
                         const EbnfOptions& options = {});

} // namespace inllama
