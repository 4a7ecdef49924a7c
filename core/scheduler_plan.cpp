// The rows of a step.
#include "core/scheduler.h"

#include <algorithm>
#include <utility>

namespace inllama {

namespace {

// Prompt rows of a turn that a set of adapters has while outputs with others wait.
constexpr int kLeastTurn = 16;

// llama.cpp computes sequences with a memory each together only where their ids follow each other, which
// makes 16 outputs four times as fast as one after the other.
void order_by_id(StepPlan& plan) {
    const auto is_before = [](const StepPart& a, const StepPart& b) {
        return a.sequence->id < b.sequence->id;
    };
    if (std::is_sorted(plan.parts.begin(), plan.parts.end(), is_before)) {
        return;
    }
    std::sort(plan.parts.begin(), plan.parts.end(), is_before);
    std::vector<StepRow> rows;
    rows.reserve(plan.rows.size());
    for (StepPart& part : plan.parts) {
        const auto first = plan.rows.begin() + part.first_row;
        const int moved = static_cast<int>(rows.size()) - part.first_row;
        rows.insert(rows.end(), first, first + part.n_rows);
        part.first_row += moved;
        part.output_row += part.output_row < 0 ? 0 : moved;
    }
    plan.rows = std::move(rows);
}

} // namespace

void Scheduler::add_part(StepPlan& plan, Sequence& sequence, int n_rows) const {
    const int first_row = static_cast<int>(plan.rows.size());
    const int end = sequence.n_computed + n_rows;
    for (int at = sequence.n_computed; at < end; at++) {
        plan.rows.push_back(
            {sequence.tokens[static_cast<size_t>(at)], at, sequence.id, sequence.has_output(at)});
    }
    const int output_row = end == sequence.n_tokens() ? first_row + n_rows - 1 : -1;
    plan.parts.push_back({&sequence, n_rows, first_row, output_row, sequence.phase == Phase::decode});
}

int Scheduler::n_scorable(const StepPlan& plan, const Sequence& sequence, int n_rows) const {
    const int n_unscored = sequence.n_unscored();
    if (n_unscored == 0) {
        return n_rows;
    }
    const auto n_outputs = static_cast<int>(
        std::count_if(plan.rows.begin(), plan.rows.end(), [](const StepRow& row) { return row.has_output; }));
    // Each other sequence may want one; so may a step have one more for each, whatever is left.
    const auto n_others = static_cast<int>(running_.size()) - 1;
    const int n_free = std::max(1, traits_.n_outputs_max - n_outputs - n_others);
    const int n_silent = sequence.n_left() - n_unscored - 1; // rows before the first that is scored
    return std::min(n_rows, std::max(0, n_silent) + n_free);
}

bool Scheduler::is_growing(const Sequence& sequence) const {
    return sequence.phase == Phase::decode && !sequence.is_processing && !is_paused(sequence);
}

bool Scheduler::has_prompt(const Sequence& sequence) {
    return sequence.phase == Phase::prefill && !sequence.is_processing;
}

bool Scheduler::choose_adapters(StepPlan& plan) {
    std::vector<const AdapterSet*> sets;
    for (const auto& sequence : running_) {
        const bool is_new = std::find(sets.begin(), sets.end(), sequence->adapters()) == sets.end();
        if (is_new && (has_prompt(*sequence) || is_growing(*sequence))) {
            sets.push_back(sequence->adapters());
        }
    }
    if (sets.empty()) {
        return false;
    }
    const AdapterSet* chosen = turns_.choose(sets);
    const auto of_it = std::find_if(running_.begin(), running_.end(),
                                    [&](const auto& sequence) { return sequence->adapters() == chosen; });
    plan.adapters = (*of_it)->request().adapters;
    return true;
}

// If there are more outputs than rows, those that have waited longest have one.
void Scheduler::add_outputs(StepPlan& plan, int n_max) {
    std::vector<Sequence*> growing;
    for (const auto& sequence : running_) {
        if (sequence->adapters() == plan.adapters.get() && is_growing(*sequence)) {
            growing.push_back(sequence.get());
        }
    }
    const auto n_rows = static_cast<size_t>(std::max(0, n_max));
    if (growing.size() > n_rows) {
        std::stable_sort(growing.begin(), growing.end(),
                         [](const Sequence* a, const Sequence* b) { return a->n_turn < b->n_turn; });
        growing.resize(n_rows);
    }
    n_turns_++;
    for (Sequence* sequence : growing) {
        sequence->n_turn = n_turns_;
        add_part(plan, *sequence, 1);
    }
}

void Scheduler::add_prompts(StepPlan& plan, int n_max) const {
    for (const auto& sequence : running_) {
        if (!has_prompt(*sequence) || sequence->adapters() != plan.adapters.get() || n_max <= 0) {
            continue;
        }
        int n_rows = std::min(sequence->n_left(), n_max);
        if (sequence->snapshot_at > sequence->n_computed) {
            n_rows = std::min(n_rows, sequence->snapshot_at - sequence->n_computed);
        }
        n_rows = n_scorable(plan, *sequence, n_rows);
        add_part(plan, *sequence, n_rows);
        n_max -= n_rows;
    }
}

int Scheduler::n_watched() const {
    return static_cast<int>(std::count_if(running_.begin(), running_.end(), [this](const auto& sequence) {
        return sequence->request().is_streaming && is_growing(*sequence);
    }));
}

int Scheduler::n_prompts() const {
    return static_cast<int>(std::count_if(running_.begin(), running_.end(),
                                          [](const auto& sequence) { return has_prompt(*sequence); }));
}

int Scheduler::n_prompts(const StepPlan& plan) const {
    return static_cast<int>(std::count_if(running_.begin(), running_.end(), [&](const auto& sequence) {
        return has_prompt(*sequence) && sequence->adapters() == plan.adapters.get();
    }));
}

StepPlan Scheduler::plan() {
    StepPlan plan = chosen_rows();
    order_by_id(plan);
    return plan;
}

StepPlan Scheduler::chosen_rows() {
    StepPlan plan;
    const auto suspect = std::find_if(running_.begin(), running_.end(),
                                      [](const auto& sequence) { return sequence->is_suspect; });
    if (suspect != running_.end()) {
        // One that was there when a step failed shows alone whether it is to blame.
        plan.adapters = (*suspect)->request().adapters;
        add_part(plan, **suspect, n_scorable(plan, **suspect, std::min((*suspect)->n_left(), step_rows_)));
        return plan;
    }
    if (!choose_adapters(plan)) {
        return plan;
    }
    const int n_prompts = this->n_prompts(plan);
    is_turn_of_outputs_ = is_turn_of_outputs_ && n_prompts > 0;
    // One row is left for prompts; where there is only one, they and the outputs take turns.
    const bool is_single = step_rows_ == 1 && is_turn_of_outputs_;
    add_outputs(plan, step_rows_ - (n_prompts > 0 && !is_single ? 1 : 0));
    const int n_decode = static_cast<int>(plan.rows.size());
    if (step_rows_ == 1 && n_prompts > 0) {
        is_turn_of_outputs_ = !is_turn_of_outputs_;
        if (n_decode > 0) {
            return plan;
        }
    }
    int budget = step_rows_ - n_decode;
    if (n_prompts > 0 && n_decode > 0) {
        if (is_turn_of_outputs_) {
            is_turn_of_outputs_ = false;
            return plan;
        }
        const PrefillShare share =
            n_watched() > 0 ? budget_.share(n_decode, n_prompts) : PrefillShare{step_rows_, true};
        if (share.n_rows == 0) {
            return plan;
        }
        if (share.is_alone) {
            plan.rows.clear();
            plan.parts.clear();
            budget = step_rows_;
            is_turn_of_outputs_ = true;
        }
        budget = std::min(budget, share.n_rows);
    } else if (const int n_others = n_watched(); n_prompts > 0 && n_others > 0) {
        // Outputs with other adapters wait for these prompts.
        budget = std::min(budget, std::max(kLeastTurn, budget_.share(n_others, n_prompts).n_rows));
    }
    add_prompts(plan, budget);
    return plan;
}

} // namespace inllama
