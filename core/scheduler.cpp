#include "core/scheduler.h"

#include <algorithm>
#include <exception>

namespace inllama {

namespace {

// So many small steps are computed before larger ones are tried again.
constexpr int kSmallSteps = 256;

} // namespace

Scheduler::Scheduler(PrefixCache& cache, const DecoderTraits& traits, const SchedulerParams& params)
    : cache_(cache), traits_(traits), params_(params), budget_(params.prefill_rows),
      step_rows_(std::min(params.step_rows, traits.n_rows_max)) {}

void Scheduler::shrink_steps() {
    step_rows_ = std::max(1, step_rows_ / 2);
    n_small_steps_ = 0;
}

void Scheduler::note_success(const StepPlan& plan, double seconds) {
    const auto n_decode = static_cast<int>(std::count_if(
        plan.parts.begin(), plan.parts.end(), [](const StepPart& part) { return part.is_decode; }));
    budget_.note(n_decode, static_cast<int>(plan.rows.size()) - n_decode, n_prompts() == 0, seconds);
    n_small_steps_++;
    if (n_small_steps_ >= kSmallSteps) {
        n_small_steps_ = 0;
        step_rows_ = std::min({2 * step_rows_, params_.step_rows, traits_.n_rows_max});
    }
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
    waiting_.push_back(std::move(sequence));
}

bool Scheduler::is_paused(const Sequence& sequence) const {
    RequestControl& control = *sequence.active->control;
    if (control.n_unread.load() < sequence.request().n_unread_max) {
        return false;
    }
    control.is_paused = true;
    // The consumer may have read between the two.
    return control.n_unread.load() >= sequence.request().n_unread_max;
}

int Scheduler::n_reserved() const {
    int n = 0;
    for (const auto& sequence : running_) {
        const int n_more = sequence->request().max_tokens - sequence->n_generated();
        n += sequence->n_left() + std::min(n_more, params_.reserve_tokens);
    }
    return n;
}

Sequence* Scheduler::leader_of(const Sequence& sequence, int n_match, int& n_shared) const {
    if (!cache_.is_enabled()) {
        return nullptr;
    }
    Sequence* leader = nullptr;
    n_shared = n_match + params_.join_tokens - 1;
    for (const auto& other : running_) {
        if (other->phase != Phase::prefill || other->request().name_space != sequence.request().name_space) {
            continue;
        }
        const int n_both = std::min(other->n_tokens(), sequence.n_shareable());
        const auto differs =
            std::mismatch(sequence.tokens.begin(), sequence.tokens.begin() + n_both, other->tokens.begin());
        const int n_common = static_cast<int>(differs.first - sequence.tokens.begin());
        // What it has computed is in memory already, and n_match counts it.
        const bool is_same_request = other->active == sequence.active; // then all of the prompt is common
        if (n_common > (is_same_request ? n_match : n_shared) && n_common > other->n_computed) {
            leader = other.get();
            n_shared = n_common;
        }
    }
    return leader;
}

void Scheduler::start(Sequence& sequence) {
    const Request& request = sequence.request();
    const int limit = sequence.n_shareable();
    if (traits_.memory == MemoryKind::recurrent) {
        // Somebody else began like this: the next one shall start from there.
        const int n_known = cache_.known(request.name_space, sequence.tokens, limit);
        const int n_match = cache_.match(request.name_space, sequence.tokens, limit).n;
        sequence.snapshot_at = n_known >= n_match + params_.join_tokens ? n_known : 0;
    }
    const PrefixCache::Opened opened = cache_.open(request.name_space, sequence.tokens, limit);
    sequence.id = opened.id;
    sequence.n_computed = opened.n_cached;
    sequence.phase = Phase::prefill;
    budget_.note_prompt();
    sequence.order = n_admitted_++;
    if (!sequence.was_admitted) {
        sequence.active->n_cached += sequence.index == 0 ? opened.n_cached : 0;
        sequence.was_admitted = true;
    }
}

std::vector<Sequence*> Scheduler::admit(Clock::time_point now) {
    std::vector<Sequence*> started;
    const auto rank = [&](const std::unique_ptr<Sequence>& sequence) {
        const auto waited = now - sequence->active->submitted;
        return sequence->request().priority + static_cast<int64_t>(waited / params_.aging);
    };
    std::vector<std::list<std::unique_ptr<Sequence>>::iterator> order;
    for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
        if (!(*it)->is_processing && !is_paused(**it)) {
            order.push_back(it);
        }
    }
    if (order.empty()) {
        return started;
    }
    if (is_full()) {
        make_way();
    }
    if (is_full()) {
        return started;
    }
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return rank(*a) > rank(*b); });
    for (const auto& it : order) {
        if (is_full()) {
            break;
        }
        Sequence& sequence = **it;
        const int limit = sequence.n_shareable();
        const PrefixCache::Match match = cache_.match(sequence.request().name_space, sequence.tokens, limit);
        int n_shared = 0;
        if (Sequence* leader = leader_of(sequence, match.n, n_shared); leader != nullptr) {
            if (traits_.memory == MemoryKind::recurrent &&
                (leader->snapshot_at <= leader->n_computed || n_shared < leader->snapshot_at)) {
                leader->snapshot_at = n_shared;
            }
            continue;
        }
        while (!fits(sequence, match) && make_way()) {
        }
        if (!fits(sequence, match)) {
            break; // nobody overtakes it
        }
        start(sequence);
        running_.push_back(std::move(*it));
        waiting_.erase(it);
        started.push_back(running_.back().get());
    }
    return started;
}

bool Scheduler::is_full() const {
    return static_cast<int>(running_.size()) >= params_.max_running || !cache_.has_run_id();
}

bool Scheduler::fits(const Sequence& sequence, const PrefixCache::Match& match) const {
    const int n_growth = sequence.request().max_tokens - sequence.n_generated();
    const int n_needed =
        sequence.n_tokens() - match.n + std::min(n_growth, params_.reserve_tokens) + n_reserved();
    return running_.empty() || n_needed <= cache_.n_free() + cache_.n_evictable() - match.n_unused;
}

Sequence* Scheduler::paused() const {
    const auto found = std::find_if(running_.begin(), running_.end(), [this](const auto& sequence) {
        return sequence->phase == Phase::decode && is_paused(*sequence);
    });
    return found == running_.end() ? nullptr : found->get();
}

bool Scheduler::make_way() {
    Sequence* idle = paused();
    if (idle != nullptr) {
        preempt(*idle, true);
    }
    return idle != nullptr;
}

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

// If there are more outputs than rows, those that have waited longest have one.
void Scheduler::add_outputs(StepPlan& plan, int n_max) {
    std::vector<Sequence*> growing;
    for (const auto& sequence : running_) {
        if (sequence->phase == Phase::decode && !sequence->is_processing && !is_paused(*sequence)) {
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

int Scheduler::n_watched(const StepPlan& plan) {
    return static_cast<int>(std::count_if(plan.parts.begin(), plan.parts.end(), [](const StepPart& part) {
        return part.is_decode && part.sequence->request().is_streaming;
    }));
}

int Scheduler::n_prompts() const {
    return static_cast<int>(std::count_if(running_.begin(), running_.end(), [](const auto& sequence) {
        return sequence->phase == Phase::prefill && !sequence->is_processing;
    }));
}

StepPlan Scheduler::plan() {
    StepPlan plan;
    const auto suspect = std::find_if(running_.begin(), running_.end(),
                                      [](const auto& sequence) { return sequence->is_suspect; });
    if (suspect != running_.end()) {
        // One that was there when a step failed shows alone whether it is to blame.
        add_part(plan, **suspect, n_scorable(plan, **suspect, std::min((*suspect)->n_left(), step_rows_)));
        return plan;
    }
    const int n_prompts = this->n_prompts();
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
    if (n_decode > 0 && n_prompts > 0) {
        if (is_turn_of_outputs_) {
            is_turn_of_outputs_ = false;
            return plan;
        }
        const PrefillShare share =
            n_watched(plan) > 0 ? budget_.share(n_decode, n_prompts) : PrefillShare{step_rows_, true};
        if (share.n_rows == 0) {
            return plan;
        }
        if (share.is_alone) {
            plan = {};
            budget = step_rows_;
            is_turn_of_outputs_ = true;
        }
        budget = std::min(budget, share.n_rows);
    }
    for (const auto& sequence : running_) {
        if (sequence->phase != Phase::prefill || sequence->is_processing || budget <= 0) {
            continue;
        }
        int n_rows = std::min(sequence->n_left(), budget);
        if (sequence->snapshot_at > sequence->n_computed) {
            n_rows = std::min(n_rows, sequence->snapshot_at - sequence->n_computed);
        }
        n_rows = n_scorable(plan, *sequence, n_rows);
        add_part(plan, *sequence, n_rows);
        budget -= n_rows;
    }
    return plan;
}

std::unique_ptr<Sequence> Scheduler::remove(Sequence& sequence, bool keep) {
    const auto is_it = [&](const auto& other) { return other.get() == &sequence; };
    std::unique_ptr<Sequence> taken;
    if (sequence.phase == Phase::waiting) {
        const auto it = std::find_if(waiting_.begin(), waiting_.end(), is_it);
        taken = std::move(*it);
        waiting_.erase(it);
        return taken;
    }
    const auto it = std::find_if(running_.begin(), running_.end(), is_it);
    taken = std::move(*it);
    running_.erase(it);
    try {
        cache_.close(sequence.id, keep);
    } catch (const std::exception&) {
        has_lost_memory_ = true; // who has ended has ended, whatever becomes of its cells
    }
    sequence.id = -1;
    return taken;
}

void Scheduler::preempt(Sequence& sequence, bool keep) {
    wait_again(remove(sequence, keep));
}

bool Scheduler::has_faulty() const {
    const auto is_faulty = [](const auto& sequence) { return sequence->fault_end > 0; };
    return std::any_of(running_.begin(), running_.end(), is_faulty) ||
           std::any_of(waiting_.begin(), waiting_.end(), is_faulty);
}

void Scheduler::requeue_all() {
    has_lost_memory_ = false;
    // From the last to the first, so that they wait in the order in which they ran.
    while (!running_.empty()) {
        running_.back()->id = -1;
        wait_again(std::move(running_.back()));
        running_.pop_back();
    }
}

void Scheduler::wait_again(std::unique_ptr<Sequence> sequence) {
    sequence->phase = Phase::waiting;
    sequence->n_computed = 0;
    sequence->snapshot_at = 0;
    waiting_.push_front(std::move(sequence));
}

Sequence* Scheduler::youngest() const {
    if (Sequence* idle = paused(); idle != nullptr) {
        return idle;
    }
    Sequence* last = nullptr;
    for (const auto& sequence : running_) {
        const bool gives_way =
            last == nullptr || sequence->request().priority < last->request().priority ||
            (sequence->request().priority == last->request().priority && sequence->order > last->order);
        if (gives_way) {
            last = sequence.get();
        }
    }
    return last;
}

} // namespace inllama
