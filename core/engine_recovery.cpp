// What the engine does when a step fails, by the decoder's answer.
#include "core/engine_loop.h"

#include <algorithm>

namespace inllama {

namespace {

// A request that has been in so many failed steps and fails alone is to blame.
constexpr int kFaultsAllowed = 2;
constexpr int kNoMemoryAllowed = 8;

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
        if (!is_known) {
            start_over();
        }
        blame(plan, "the decoder refused the rows");
        return;
    }
    case DecodeStatus::no_memory:
        scheduler_.shrink_steps();
        start_over();
        n_no_memory_++;
        if (n_no_memory_ >= kNoMemoryAllowed) {
            blame(plan, "there is no memory for the computation");
        }
        return;
    case DecodeStatus::failed:
        start_over();
        blame(plan, reason.empty() ? "the computation failed" : reason);
        return;
    }
}

void EngineLoop::give_way(const StepPlan& plan) {
    if (cache_.evict_one()) {
        return;
    }
    if (scheduler_.running().size() > 1) {
        stats_.n_preemptions++;
        scheduler_.preempt(*scheduler_.youngest(), false);
        return;
    }
    Sequence& alone = *plan.parts.front().sequence;
    alone.n_faults++;
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

void EngineLoop::blame(const StepPlan& plan, const std::string& reason) {
    const bool is_alone = plan.parts.size() == 1;
    for (const StepPart& part : plan.parts) {
        part.sequence->n_faults++;
        part.sequence->is_suspect = part.sequence->n_faults >= kFaultsAllowed;
    }
    Sequence& first = *plan.parts.front().sequence;
    if (is_alone && first.is_suspect) {
        fail(*first.active,
             Error(ErrorKind::DecodeError, "this request could not be computed, twice: " + reason)
                 .with("reason", reason));
    }
}

void EngineLoop::start_over() {
    // From the last to the first, so that they wait in the order in which they ran.
    while (!scheduler_.running().empty()) {
        scheduler_.preempt(*scheduler_.running().back(), false);
    }
    cache_.clear();
}

} // namespace inllama
