// Characters and classes of a GBNF grammar in xgrammar's notations.
#pragma once

#include "core/gbnf_tree.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace inllama {

// The code points of valid UTF-8; of other text, what no grammar has.
std::vector<uint32_t> code_points(std::string_view text);

// Appends a character as literals and classes take it, or patterns. Throws GrammarError (field code_point)
// for a number that is no character.
void append_character(uint32_t code_point, bool is_pattern, std::string& to);

// A node of kind one_of, or one that is any character, as a class. Throws as append_character.
std::string class_of(const GbnfNode& node, bool is_pattern);

// How many characters it allows.
uint32_t width_of(const GbnfNode& node);

} // namespace inllama
