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
    if (n_decode == static_cast<int>(plan.rows.size())) {
        turns_.note(seconds); // rows of prompts would look like a change of adapters
    }
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
        if (other->phase != Phase::prefill || other->name_space != sequence.name_space) {
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
    const int limit = sequence.n_shareable();
    if (traits_.memory == MemoryKind::recurrent) {
        // Somebody else began like this: the next one shall start from there.
        const int n_known = cache_.known(sequence.name_space, sequence.tokens, limit);
        const int n_match = cache_.match(sequence.name_space, sequence.tokens, limit).n;
        sequence.snapshot_at = n_known >= n_match + params_.join_tokens ? n_known : 0;
    }
    const PrefixCache::Opened opened = cache_.open(sequence.name_space, sequence.tokens, limit);
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
        if (sequence.phase == Phase::waiting && !sequence.was_recalled) {
            sequence.was_recalled = true; // the store is asked once
            cache_.recall(sequence.name_space, sequence.tokens, limit, params_.join_tokens);
        }
        const PrefixCache::Match match = cache_.match(sequence.name_space, sequence.tokens, limit);
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
