// What the engine does when a step fails, by the decoder's answer.
#include "core/engine_loop.h"

#include <algorithm>

namespace inllama {

namespace {

// A request that has been in so many failed steps and fails alone is to blame.
constexpr int kFaultsAllowed = 2;
constexpr int kNoMemoryAllowed = 8;
// Exceptions from where none should come, in a row.
constexpr int kSurprisesAllowed = 1;

} // namespace

void EngineLoop::recover(const StepPlan& plan, DecodeStatus status, const std::string& reason) {
    switch (status) {
    case DecodeStatus::ok:
    case DecodeStatus::aborted:
        return; // the next step computes the same rows
    case DecodeStatus::no_room:
        give_way(plan);
        return;
    case DecodeStatus::invalid: {
        // Nothing changed, unless what we think of memory is wrong.
        const bool is_known = std::all_of(plan.parts.begin(), plan.parts.end(), [this](const StepPart& part) {
            return decoder_.pos_max(part.sequence->id) == part.sequence->n_computed - 1;
        });
        blame(plan, "the decoder refused the rows");
        if (!is_known) {
            start_over();
        }
        return;
    }
    case DecodeStatus::no_memory:
        scheduler_.shrink_steps();
        n_no_memory_++;
        if (n_no_memory_ >= kNoMemoryAllowed) {
            blame(plan, "there is no memory for the computation");
        } else {
            note_faults(plan, 0);
        }
        start_over();
        return;
    case DecodeStatus::failed:
        blame(plan, reason.empty() ? "the computation failed" : reason);
        start_over();
        return;
    }
}

void EngineLoop::give_way(const StepPlan& plan) {
    if (cache_.evict_one()) {
        return;
    }
    if (scheduler_.running().size() > 1) {
        // By our account it would fit, and start again at once.
        is_cramped_ = true;
        stats_.n_preemptions++;
        scheduler_.preempt(*scheduler_.youngest(), false);
        return;
    }
    Sequence& alone = *plan.parts.front().sequence;
    note_faults(plan, 1);
    if (alone.n_faults < kFaultsAllowed) {
        return;
    }
    ActiveRequest& request = *alone.active;
    const int n_tokens = alone.n_tokens();
    fail(request, Error(ErrorKind::ContextFullError,
                        "memory has no room for the " + std::to_string(n_tokens) +
                            " tokens of the request, although nothing else is in it; give a larger n_ctx")
                      .with("n_prompt", request.request.prompt.size())
                      .with("n_ctx", decoder_.traits().n_cells));
}

void EngineLoop::note_faults(const StepPlan& plan, int n) {
    for (const StepPart& part : plan.parts) {
        Sequence& sequence = *part.sequence;
        sequence.n_faults += n;
        sequence.fault_end = std::max(sequence.fault_end, sequence.n_computed + part.n_rows);
    }
}

// Before start_over(), which forgets how far everybody was.
void EngineLoop::blame(const StepPlan& plan, const std::string& reason) {
    note_faults(plan, 1);
    for (const StepPart& part : plan.parts) {
        part.sequence->is_suspect = part.sequence->n_faults >= kFaultsAllowed;
    }
    Sequence& first = *plan.parts.front().sequence;
    if (plan.parts.size() == 1 && first.is_suspect) {
        fail(*first.active,
             Error(ErrorKind::DecodeError, "this request could not be computed, twice: " + reason)
                 .with("reason", reason));
    }
}

void EngineLoop::start_over() {
    scheduler_.requeue_all();
    cache_.clear();
}

void EngineLoop::survive(const std::string& reason) {
    n_surprises_++;
    stats_.n_failed_steps++;
    try {
        start_over();
    } catch (const std::exception&) {
        n_surprises_ = kSurprisesAllowed + 1; // not even memory can be cleared
    }
    if (n_surprises_ > kSurprisesAllowed) {
        fail_all(Error(ErrorKind::DecodeError, "the engine failed, twice: " + reason).with("reason", reason));
    }
}

} // namespace inllama
