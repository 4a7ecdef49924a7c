#include "core/logprobs.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace inllama {

TokenLogprobs logprobs_of(const float* logits, size_t n, Token chosen, int n_top) {
    const float largest = *std::max_element(logits, logits + n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += std::exp(static_cast<double>(logits[i] - largest));
    }
    const auto of = [&](float logit) {
        return static_cast<float>(static_cast<double>(logit - largest) - std::log(sum));
    };
    TokenLogprobs result;
    result.chosen = of(logits[chosen]);
    if (n_top <= 0) {
        return result;
    }
    // The smallest of those kept is in front.
    const auto is_likelier = [](const std::pair<Token, float>& a, const std::pair<Token, float>& b) {
        return a.second > b.second || (a.second == b.second && a.first < b.first);
    };
    auto& top = result.top;
    for (size_t i = 0; i < n; i++) {
        const std::pair<Token, float> one(static_cast<Token>(i), logits[i]);
        if (top.size() < static_cast<size_t>(n_top)) {
            top.push_back(one);
            std::push_heap(top.begin(), top.end(), is_likelier);
        } else if (is_likelier(one, top.front())) {
            std::pop_heap(top.begin(), top.end(), is_likelier);
            top.back() = one;
            std::push_heap(top.begin(), top.end(), is_likelier);
        }
    }
    std::sort_heap(top.begin(), top.end(), is_likelier);
    for (auto& [token, value] : top) {
        value = of(value);
    }
    return result;
}

} // namespace inllama
