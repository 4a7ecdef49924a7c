// Finds the largest of many logits.
#pragma once

#include "core/types.h"

#include <cstddef>
#include <utility>
#include <vector>

namespace inllama {

// What a row of logits is, found in one pass.
struct Argmax {
    float value;  // minus infinity if the row is empty or holds nothing else
    size_t index; // of the first of the largest
    bool has_nan; // some logit is not a number; then `value` and `index` mean nothing
};

// The largest of `n` logits, to some of which a bias is added. `biases`: ascending and distinct, each below
// `n`.
Argmax argmax(const float* logits, size_t n, const std::vector<std::pair<Token, float>>& biases = {});

} // namespace inllama
