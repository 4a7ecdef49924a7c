#include "core/engine.h"

#include "core/platform/process.h"

#include <algorithm>

namespace inllama {

namespace {

// Of all engines, so that a number names one request of the process.
std::atomic<uint64_t> next_id{1};

Error closed_error() {
    return Error(ErrorKind::EngineClosedError, "the engine is closed; make a new one");
}

} // namespace

Engine::Engine(std::unique_ptr<Decoder> decoder, std::shared_ptr<const Vocab> vocab,
               const EngineParams& params)
    : decoder_(std::move(decoder)), vocab_(std::move(vocab)), params_(params), traits_(decoder_->traits()),
      process_(process_id()) {
    stats_.n_cells = traits_.n_cells;
    thread_ = std::thread([this] { run(); });
}

Engine::~Engine() {
    if (process_ != process_id()) {
        // The thread and those of the decoder are in the parent: nothing of them can be waited for.
        thread_.detach();
        static_cast<void>(decoder_.release());
        return;
    }
    close();
}

void Engine::check_usable() const {
    if (process_ != process_id()) {
        throw Error(
            ErrorKind::ForkedEngineError,
            "this engine was made before the process forked and stays with the parent; make one in the "
            "child, or use the start method 'spawn'");
    }
    if (is_closing_) {
        throw closed_error();
    }
}

void Engine::fit(const Request& request) {
    const auto n_prompt = static_cast<int64_t>(request.prompt.size());
    // An encoder reads the prompt; the output has the positions for itself.
    const int64_t limit =
        traits_.has_encoder ? traits_.n_rows_max : std::min(traits_.n_positions, traits_.n_cells) - 1;
    if (n_prompt <= limit) {
        return;
    }
    n_rejected_context_++;
    const std::string what = "the prompt has " + std::to_string(n_prompt) + " tokens but ";
    throw Error(ErrorKind::ContextFullError,
                traits_.has_encoder ? what + "an encoder takes " + std::to_string(limit) +
                                          " at once; shorten it or use a larger step_tokens"
                                    : what + "n_ctx is " + std::to_string(limit + 1) +
                                          ", one of them for the output; shorten it or use a larger n_ctx")
        .with("n_prompt", n_prompt)
        .with("n_ctx", traits_.has_encoder ? limit : limit + 1);
}

Ticket Engine::submit(Request request) {
    check_usable();
    fit(request);
    auto active = std::make_shared<ActiveRequest>();
    active->request = std::move(request);
    active->control = std::make_shared<RequestControl>(bell_);
    active->submitted = Clock::now();
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (is_closing_) {
            throw closed_error();
        }
        const size_t limit = static_cast<size_t>(params_.max_queue + params_.scheduler.max_running);
        if (n_requests_ >= limit) {
            n_rejected_full_++;
            throw Error(ErrorKind::QueueFullError,
                        std::to_string(n_requests_) +
                            " requests are running or waiting; wait for room, or give a "
                            "larger max_queue")
                .with("n_requests", n_requests_)
                .with("limit", limit);
        }
        active->id = next_id++;
        n_requests_++;
        submitted_.push_back(active);
    }
    bell_->ring();
    return {active->id, active->control};
}

bool Engine::wait_for_room(std::chrono::milliseconds time) {
    check_usable();
    std::unique_lock<std::mutex> lock(mutex_);
    const size_t limit = static_cast<size_t>(params_.max_queue + params_.scheduler.max_running);
    return has_room_.wait_for(lock, time, [&] { return is_closing_ || n_requests_ < limit; });
}

void Engine::cancel(uint64_t request) {
    if (process_ != process_id()) {
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        cancelled_.push_back(request);
    }
    bell_->ring();
}

void Engine::resume(ProcessedRow row) {
    if (process_ != process_id()) {
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        processed_.push_back(std::move(row));
    }
    bell_->ring();
}

void Engine::close() {
    if (process_ != process_id()) {
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        is_closing_ = true;
    }
    bell_->ring();
    has_room_.notify_all();
    const std::lock_guard<std::mutex> lock(closing_);
    if (thread_.joinable()) {
        thread_.join();
    }
    decoder_.reset();
}

Stats Engine::stats() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    Stats stats = stats_;
    stats.n_rejected_full = n_rejected_full_;
    stats.n_rejected_context = n_rejected_context_;
    stats.n_waiting += static_cast<int>(submitted_.size());
    return stats;
}

void Engine::run() {
    EngineLoop loop(*decoder_, *vocab_, params_);
    std::vector<std::shared_ptr<ActiveRequest>> submitted;
    std::vector<uint64_t> cancelled;
    std::vector<ProcessedRow> processed;
    while (true) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            submitted.swap(submitted_);
            cancelled.swap(cancelled_);
            processed.swap(processed_);
        }
        for (const auto& request : submitted) {
            loop.submit(request);
        }
        for (const uint64_t request : cancelled) {
            loop.cancel(request);
        }
        for (ProcessedRow& row : processed) {
            loop.resume(std::move(row));
        }
        submitted.clear();
        cancelled.clear();
        processed.clear();
        if (is_closing_) {
            break;
        }
        const bool has_computed = loop.step();
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            stats_ = loop.stats();
            n_requests_ = loop.n_requests() + submitted_.size();
        }
        loop.flush(); // after the counts: who has a result sees them with it
        has_room_.notify_all();
        if (!has_computed) {
            bell_->wait_until(loop.next_deadline());
        }
    }
    {
        // What came between the last look and the closing.
        const std::lock_guard<std::mutex> lock(mutex_);
        submitted.swap(submitted_);
    }
    for (const auto& request : submitted) {
        loop.submit(request);
    }
    loop.fail_all(closed_error());
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stats_ = loop.stats();
        n_requests_ = 0;
    }
    loop.flush();
}

} // namespace inllama
