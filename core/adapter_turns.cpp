#include "core/adapter_turns.h"

#include <algorithm>
#include <cmath>

namespace inllama {

namespace {

// Changing sets may take this part of the time.
constexpr double kPart = 0.2;
constexpr int kMostSteps = 32;
constexpr double kNewShare = 0.3; // of the last measurement

double mixed(double known, double measured) {
    return known == 0 ? measured : (1 - kNewShare) * known + kNewShare * measured;
}

} // namespace

int AdapterTurns::n_steps() const {
    if (step_s_ <= 0) {
        return 2; // the second one shows what a step takes
    }
    return std::clamp(static_cast<int>(std::ceil(switch_s_ / (kPart * step_s_))), 1, kMostSteps);
}

const AdapterSet* AdapterTurns::choose(const std::vector<const AdapterSet*>& sets) {
    const bool has_current = std::find(sets.begin(), sets.end(), current_) != sets.end();
    if (has_current && (sets.size() == 1 || n_taken_ < n_steps())) {
        n_taken_++;
        return current_;
    }
    std::map<const AdapterSet*, uint64_t> last;
    for (const AdapterSet* set : sets) {
        const auto known = last_.find(set);
        last[set] = known == last_.end() ? 0 : known->second;
    }
    last_.swap(last);
    current_ = *std::min_element(sets.begin(), sets.end(), [this](const AdapterSet* a, const AdapterSet* b) {
        return last_.at(a) < last_.at(b);
    });
    last_[current_] = ++n_turns_;
    n_taken_ = 1;
    return current_;
}

void AdapterTurns::note(double seconds) {
    if (n_taken_ > 1) {
        step_s_ = mixed(step_s_, seconds);
    } else if (step_s_ > 0) {
        switch_s_ = mixed(switch_s_, std::max(0.0, seconds - step_s_));
    }
}

} // namespace inllama
