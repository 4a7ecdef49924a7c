// From a request's sampling parameters to the chain that enforces them.
#pragma once

#include "core/llama/sampler_stage.h"
#include "core/llama/tokenizer.h"
#include "core/sampling_params.h"

#include <optional>
#include <vector>

namespace inllama {

// The stages for `params`, without those that are off, in llama.cpp's default order: bias, grammar,
// penalties, dry, top_n_sigma, top_k, typical_p, top_p, min_p, xtc, temperature, selection. Temperature 0 is
// greedy.
//
// `seed` is the request's own or one that was drawn for it; `grammar` what llama.cpp's own sampler follows.
std::vector<SamplerStage> stages_for(const SamplingParams& params, uint32_t seed, const Tokenizer& tokenizer,
                                     const std::optional<Grammar>& grammar = std::nullopt);

} // namespace inllama
