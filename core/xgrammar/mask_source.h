// Structures and mask sources over xgrammar's compiled grammars and matchers.
#pragma once

#include "core/mask_source.h"

#include <memory>

namespace xgrammar {

class CompiledGrammar;

} // namespace xgrammar

namespace inllama {

// The structure of a grammar that was compiled for a vocabulary of `n_tokens` tokens.
std::shared_ptr<const Structure> make_structure(const xgrammar::CompiledGrammar& compiled, int n_tokens);

} // namespace inllama
