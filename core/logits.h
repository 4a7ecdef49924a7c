// Looks at a row of logits, once per token of the vocabulary, without sorting it.
#pragma once

#include "core/types.h"

#include <cstddef>
#include <utility>
#include <vector>

namespace inllama {

// Numbers added to some logits. Ascending and distinct tokens, each in the row.
using RowBiases = std::vector<std::pair<Token, float>>;

// What a row of logits is, found in one pass.
struct Argmax {
    float value;  // minus infinity if the row is empty or holds nothing else
    size_t index; // of the first of the largest
    bool has_nan; // some logit is not a number; then `value` and `index` mean nothing
};

// The largest of `n` logits.
Argmax argmax(const float* logits, size_t n, const RowBiases& biases = {});

struct Candidate {
    Token token;
    float logit;
};

// The `k` likeliest tokens, falling, of equal ones the lower first; none with a logit of minus infinity.
// False if some logit is not a number; `kept` means nothing then.
bool top_k(const float* logits, size_t n, size_t k, const RowBiases& biases, std::vector<Candidate>& kept);

// The fewest likeliest tokens, at least one, that together have the probability `p`, without those less
// likely than `min_p` times the likeliest; in no order. REQUIRES: `largest` is argmax() of the same arguments
// and finite.
void top_p(const float* logits, size_t n, double p, double min_p, const RowBiases& biases,
           const Argmax& largest, std::vector<Candidate>& kept);

// The logarithm of the sum of the exponentials. REQUIRES: `largest` is the largest of them, and finite.
double log_sum_exp(const float* logits, size_t n, float largest);

} // namespace inllama
