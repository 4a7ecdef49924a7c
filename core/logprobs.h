// Log-probabilities of a row of logits.
#pragma once

#include "core/row_sampler.h"
#include "core/types.h"

#include <cstddef>

namespace inllama {

// The log-probability of `chosen` and of the `n_top` likeliest tokens, falling; of equal ones the lower id
// first. Any thread.
TokenLogprobs logprobs_of(const float* logits, size_t n, Token chosen, int n_top);

} // namespace inllama
