#include "core/prefill_budget.h"

#include <algorithm>
#include <cstddef>
#include <limits>

namespace inllama {

namespace {

// So many times what a step takes without them, prompts may take;
constexpr double kTimes = 1.0;
// and with them the gap between two tokens is at most so many of the steps before prompts came.
constexpr double kGap = 3.0;
// In a crowd of prompts, so many times more for each that waits for another, over the outputs that wait for
// them.
constexpr double kCrowd = 8.0;
// However slow steps have become, prompts may take this part of one.
constexpr double kLeastPart = 0.25;
// Of a step between prompts, in the average of those before prompts came: if prompts come without a break,
// that time is forgotten slowly.
constexpr double kDrift = 0.001;
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

// Without a measurement of so many outputs, that of fewer is a lower bound. 0: none.
double of_outputs(const std::vector<double>& seconds, int n_decode) {
    for (auto i = std::min(static_cast<size_t>(n_decode) + 1, seconds.size()); i-- > 0;) {
        if (seconds[i] > 0) {
            return seconds[i];
        }
    }
    return 0;
}

} // namespace

PrefillShare PrefillBudget::share(int n_decode, int n_prompts) const {
    if (n_mixed_ >= kMixedSteps) {
        return {0, false};
    }
    // In the end the rows of prompts make an output wait for as long in few pieces as in many. But every step
    // of outputs between them makes all prompts wait that are computed after it.
    const double n_waits = 0.5 * (1.0 * n_prompts * n_prompts - 1);
    const double weight = std::max(1.0, kCrowd * n_waits / n_decode);
    const double n_most = std::min<double>(n_rows_max_ * weight, std::numeric_limits<int>::max());
    const double decode_s = of_outputs(decode_s_, n_decode);
    if (decode_s == 0 || beside_s_ == 0) {
        return {static_cast<int>(std::min(n_most, kFirstRows * weight)), false};
    }
    const double calm_s = of_outputs(calm_s_, n_decode);
    const double most_s = calm_s == 0 ? decode_s : kGap * calm_s - decode_s;
    const double share_s = std::clamp(most_s, kLeastPart * decode_s, kTimes * decode_s);
    const double time = std::max(weight * share_s, kUnnoticed);
    const auto n_alone = alone_s_ == 0 ? 0 : static_cast<int>(std::min(n_most, time / alone_s_));
    if (n_alone >= kLargeStep && alone_s_ < beside_s_) {
        return {n_alone, true};
    }
    return {static_cast<int>(std::min(n_most, std::max<double>(kLeastRows, time / beside_s_))), false};
}

void PrefillBudget::note(int n_decode, int n_prefill, bool is_calm, double seconds) {
    if (n_prefill == 0) {
        const auto n = static_cast<size_t>(n_decode);
        n_mixed_ = 0;
        decode_s_.resize(std::max(decode_s_.size(), n + 1));
        calm_s_.resize(decode_s_.size());
        average(decode_s_[n], seconds);
        if (is_calm) {
            average(calm_s_[n], seconds);
        } else {
            calm_s_[n] += calm_s_[n] == 0 ? 0 : kDrift * (seconds - calm_s_[n]);
        }
    } else if (n_decode > 0) {
        n_mixed_++;
        const double decode_s = of_outputs(decode_s_, n_decode);
        if (decode_s > 0) {
            average(beside_s_, std::max(seconds - decode_s, 1e-9) / n_prefill);
        }
    } else if (n_prefill >= kLargeStep) {
        // Rows deeper inside of a prompt are dearer: one step that took too long is enough.
        average(alone_s_, seconds / n_prefill);
        alone_s_ = std::max(alone_s_, seconds / n_prefill);
        cheapest_alone_s_ = cheapest_alone_s_ == 0 ? alone_s_ : std::min(cheapest_alone_s_, alone_s_);
    }
}

void PrefillBudget::note_prompt() {
    alone_s_ = cheapest_alone_s_;
}

} // namespace inllama
