#include "core/prefill_budget.h"

#include <algorithm>
#include <cstddef>

namespace inllama {

namespace {

// Prompts may take as long as a step without them. The gap between tokens is two such steps, which are slower
// themselves once a long prompt is in memory: still below four of those before it came.
constexpr double kTimes = 1.0;
// Nobody sees a gap of this length.
constexpr double kUnnoticed = 0.005;
// Of a new measurement in the average.
constexpr double kWeight = 0.3;
// As long as nothing is measured.
constexpr int kFirstRows = 16;
// Whatever they cost: prompts must get on.
constexpr int kLeastRows = 4;
// After so many steps with prompts beside them the outputs have one alone, to be measured again: what a step
// takes without prompts grows with everybody's length, and would be taken for the cost of prompt rows.
constexpr int kMixedSteps = 16;
// A step of its own is worth it from here on. ggml's tiled attention on CPUs begins at 64 rows.
constexpr int kLargeStep = 64;

void average(double& mean, double value) {
    mean = mean == 0 ? value : (1 - kWeight) * mean + kWeight * value;
}

} // namespace

double PrefillBudget::decode_seconds(int n_decode) const {
    // Without a measurement of so many outputs, that of fewer is a lower bound.
    for (auto i = std::min(static_cast<size_t>(n_decode) + 1, decode_s_.size()); i-- > 0;) {
        if (decode_s_[i] > 0) {
            return decode_s_[i];
        }
    }
    return 0;
}

PrefillShare PrefillBudget::share(int n_decode, int n_prompts) const {
    if (n_mixed_ >= kMixedSteps) {
        return {0, false};
    }
    const double weight = std::max(1.0, static_cast<double>(n_prompts) / n_decode);
    const double n_most = n_rows_max_ * weight;
    const double decode_s = decode_seconds(n_decode);
    if (decode_s == 0 || beside_s_ == 0) {
        return {static_cast<int>(std::min(n_most, kFirstRows * weight)), false};
    }
    const double time = std::max(kTimes * weight * decode_s, kUnnoticed);
    const auto n_alone = alone_s_ == 0 ? 0 : static_cast<int>(std::min(n_most, time / alone_s_));
    if (n_alone >= kLargeStep && alone_s_ < beside_s_) {
        return {n_alone, true};
    }
    return {static_cast<int>(std::min(n_most, std::max<double>(kLeastRows, time / beside_s_))), false};
}

void PrefillBudget::note(int n_decode, int n_prefill, double seconds) {
    if (n_prefill == 0) {
        n_mixed_ = 0;
        decode_s_.resize(std::max(decode_s_.size(), static_cast<size_t>(n_decode) + 1));
        average(decode_s_[static_cast<size_t>(n_decode)], seconds);
    } else if (n_decode > 0) {
        n_mixed_++;
        const double decode_s = decode_seconds(n_decode);
        if (decode_s > 0) {
            average(beside_s_, std::max(seconds - decode_s, 1e-9) / n_prefill);
        }
    } else if (n_prefill >= kLargeStep) {
        average(alone_s_, seconds / n_prefill);
        cheapest_alone_s_ = cheapest_alone_s_ == 0 ? alone_s_ : std::min(cheapest_alone_s_, alone_s_);
    }
}

void PrefillBudget::note_prompt() {
    alone_s_ = cheapest_alone_s_;
}

} // namespace inllama
