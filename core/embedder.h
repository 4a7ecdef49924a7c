// The seam between the engine and a model that turns texts into vectors.
#pragma once

#include "core/decoder.h"
#include "core/types.h"

#include <cstdint>
#include <vector>

namespace inllama {

struct EmbedderTraits {
    int n_values = 0;      // of one vector
    int n_rows_max = 512;  // tokens of the longest text, and of one step
    int n_rows_best = 512; // tokens of a step beyond which it is no faster
    int n_texts_max = 64;  // texts of one step
    bool is_pooled = true; // a vector per text; else one per token
};

// What texts can be given to an engine, before an embedder is made for them.
struct EmbedderLimits {
    int n_values = 0;          // of one vector
    int64_t n_positions = 0;   // tokens that the model can compute in one text
    int64_t n_rows = 0;        // tokens of one text for which a step may have memory
    int64_t bytes_per_row = 0; // that this memory is for each
};

// The tokens of one text; whoever made it keeps them.
struct TokenRun {
    const Token* tokens;
    int n;
};

// One thread at a time: the engine's. Its functions may throw; the next step starts afresh.
class Embedder {
  public:
    virtual ~Embedder() = default;

    virtual const EmbedderTraits& traits() const = 0;
    // Computes texts, each of them for itself: at most `n_texts_max` with `n_rows_max` tokens in sum.
    virtual DecodeStatus embed(const std::vector<TokenRun>& texts) = 0;
    // (n_values,) of text `i` of the last step; not pooled: of its token `i`, counted over all texts. Valid
    // until the next step.
    virtual const float* vector(int i) = 0;
};

} // namespace inllama
