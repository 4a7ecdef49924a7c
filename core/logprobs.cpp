#include "core/logprobs.h"

#include "core/logits.h"

#include <algorithm>

namespace inllama {

TokenLogprobs logprobs_of(const float* logits, size_t n, Token chosen, int n_top) {
    const float largest = argmax(logits, n).value;
    const double log_sum = log_sum_exp(logits, n, largest);
    const auto of = [&](float logit) { return static_cast<float>(static_cast<double>(logit) - log_sum); };
    TokenLogprobs result;
    result.chosen = of(logits[chosen]);
    if (n_top > 0) {
        std::vector<Candidate> likeliest;
        top_k(logits, n, std::min(static_cast<size_t>(n_top), n), {}, likeliest);
        for (const Candidate& candidate : likeliest) {
            result.top.emplace_back(candidate.token, of(candidate.logit));
        }
    }
    return result;
}

} // namespace inllama
