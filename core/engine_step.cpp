// How the engine computes the rows of a step.
#include "core/engine_loop.h"

#include <algorithm>
#include <exception>
#include <functional>

namespace inllama {

EngineLoop::Outcome EngineLoop::compute(const StepPlan& plan) {
    const int n_rows = static_cast<int>(plan.rows.size());
    if (!cache_.make_room(n_rows)) {
        if (scheduler_.running().size() > 1) {
            stats_.n_preemptions++;
            scheduler_.preempt(*scheduler_.youngest(), true);
        } else {
            give_way(plan);
        }
        return Outcome::again;
    }
    std::string reason;
    const Clock::time_point started = Clock::now();
    const DecodeStatus status = decode(plan, reason);
    if (status != DecodeStatus::ok) {
        stats_.n_failed_steps++;
        recover(plan, status, reason);
        return Outcome::again;
    }
    is_cramped_ = false;
    scheduler_.note_success(plan, std::chrono::duration<double>(Clock::now() - started).count());
    stats_.n_steps++;
    stats_.n_rows += static_cast<uint64_t>(n_rows);
    stats_.step_rows.add(n_rows);
    commit(plan);
    n_surprises_ = 0;
    return Outcome::computed;
}

class EngineLoop::Preparation {
  public:
    Preparation(WorkerPool& workers, const StepPlan& plan) : workers_(workers) {
        for (const StepPart& part : plan.parts) {
            if (part.output_row >= 0 && part.sequence->sampler->has_preparation()) {
                samplers_.push_back(part.sequence->sampler.get());
            }
        }
        if (!samplers_.empty()) {
            workers_.start(static_cast<int>(samplers_.size()), work_);
        }
    }
    ~Preparation() {
        if (!samplers_.empty()) {
            workers_.finish();
        }
    }
    Preparation(const Preparation&) = delete;
    Preparation& operator=(const Preparation&) = delete;

  private:
    WorkerPool& workers_;
    std::vector<RowSampler*> samplers_;
    const std::function<void(int)> work_ = [this](int i) { samplers_[static_cast<size_t>(i)]->prepare(); };
};

DecodeStatus EngineLoop::decode(const StepPlan& plan, std::string& reason) {
    const Preparation preparation(workers_, plan);
    try {
        use(plan.adapters);
        return decoder_.decode(plan.rows);
    } catch (const std::exception& error) {
        reason = error.what();
        return DecodeStatus::failed;
    }
}

void EngineLoop::use(const std::shared_ptr<const AdapterSet>& adapters) {
    if (adapters != adapters_) {
        decoder_.use(adapters);
        adapters_ = adapters;
    }
}

void EngineLoop::drop_adapters() {
    must_drop_adapters_ = true;
    drop_unused_adapters();
}

void EngineLoop::drop_unused_adapters() {
    const bool are_used = std::any_of(active_.begin(), active_.end(), [this](const auto& entry) {
        return entry.second->request.adapters == adapters_;
    });
    if (adapters_ == nullptr || !are_used) {
        must_drop_adapters_ = false;
        use(nullptr);
    }
}

} // namespace inllama
