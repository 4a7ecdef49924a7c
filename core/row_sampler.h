// The seam between the engine and a sampler: one row of logits in, the next token out.
#pragma once

#include "core/types.h"

#include <cstddef>
#include <utility>
#include <vector>

namespace inllama {

// Log-probabilities of one token and of the likeliest ones at its place, before any sampling option.
struct TokenLogprobs {
    float chosen = 0;
    std::vector<std::pair<Token, float>> top; // falling
};

// Chooses the tokens of one output; it has its own random numbers, penalties and grammar. One thread at a
// time, but not always the same one. An Error that it throws ends its request alone.
class RowSampler {
  public:
    virtual ~RowSampler() = default;

    // Shows the prompt to what looks back at tokens; before the first choose().
    virtual void accept_prompt(const std::vector<Token>& prompt) = 0;
    // Whether prepare() has something to do before the next choose().
    virtual bool has_preparation() const { return false; }
    // Computes what the next choose() needs and can be known before the logits are there. Called any number
    // of times before it, or not at all; what fails is thrown by choose().
    virtual void prepare() {}
    // Chooses and accepts a token, never one that ends the output unless `may_end` or nothing else can
    // follow.
    virtual Token choose(const float* logits, size_t n, bool may_end) = 0;
    // Whether the last token chosen ends the output, whatever else is asked for.
    virtual bool is_done() const { return false; }
};

} // namespace inllama
