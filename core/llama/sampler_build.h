// Makes llama.cpp's samplers from stages. Seen by core/llama/ only.
#pragma once

#include "core/llama/sampler_stage.h"
#include "core/llama/tokenizer.h"

#include <llama.h>

namespace inllama {

// True for a stage that chooses a token.
bool is_selecting(const SamplerStage& stage);

// The native sampler of a stage, owned by the caller. Throws InvalidRequestError, GrammarError or
// UnsupportedError for what llama.cpp would abort on, print, or silently switch off.
llama_sampler* build_sampler(const Tokenizer& tokenizer, const SamplerStage& stage);

} // namespace inllama
