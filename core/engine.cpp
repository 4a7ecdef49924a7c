#include "core/engine.h"

#include "core/platform/process.h"

#include <algorithm>
#include <limits>
#include <new>

namespace inllama {

namespace {

// Of all engines, so that a number names one request of the process.
std::atomic<uint64_t> next_id{1};

Error closed_error() {
    return Error(ErrorKind::EngineClosedError, "the engine is closed; make a new one");
}

void check_texts(const EmbedRequest& request, const EmbedderTraits& traits) {
    size_t begin = 0;
    for (const size_t end : request.ends) {
        if (end <= begin || end > request.tokens.size()) {
            throw Error(ErrorKind::InvalidRequestError, "a text has no tokens");
        }
        if (end - begin > static_cast<size_t>(traits.n_rows_max)) {
            throw Error(ErrorKind::InvalidRequestError,
                        "a text has " + std::to_string(end - begin) + " tokens and at most " +
                            std::to_string(traits.n_rows_max) + " are computed at once")
                .with("n_tokens", end - begin)
                .with("limit", traits.n_rows_max);
        }
        begin = end;
    }
    if (begin != request.tokens.size()) {
        throw Error(ErrorKind::InvalidRequestError, "tokens are left after the last text");
    }
    if (request.n_dimensions < 0 || request.n_dimensions > traits.n_values) {
        throw Error(ErrorKind::InvalidRequestError, "dimensions is " + std::to_string(request.n_dimensions) +
                                                        " but the vectors have " +
                                                        std::to_string(traits.n_values))
            .with("option", "dimensions")
            .with("value", request.n_dimensions)
            .with("limit", traits.n_values);
    }
}

} // namespace

Engine::Engine(std::unique_ptr<Decoder> decoder, std::shared_ptr<const Vocab> vocab,
               const EngineParams& params)
    : decoder_(std::move(decoder)), vocab_(std::move(vocab)), params_(params), traits_(decoder_->traits()),
      loop_(std::make_unique<EngineLoop>(*decoder_, *vocab_, params_)), process_(process_id()) {
    stats_.n_cells = traits_.n_cells;
    thread_ = std::thread([this] { run(); });
}

Engine::~Engine() {
    close();
}

bool Engine::is_foreign() const {
    return process_ != process_id();
}

void Engine::check_process() const {
    if (is_foreign()) {
        throw Error(
            ErrorKind::ForkedEngineError,
            "this engine was made before the process forked and stays with the parent; make one in the "
            "child, or use the start method 'spawn'");
    }
}

void Engine::check_usable() const {
    check_process();
    if (is_closing_) {
        throw closed_error();
    }
}

void Engine::fit(const Request& request) {
    if (!traits_.generates) {
        throw Error(ErrorKind::UnsupportedError,
                    "this model generates no text: it turns texts into vectors or scores");
    }
    const auto n_prompt = static_cast<int64_t>(request.prompt.size());
    if (request.n_scored > 0 && traits_.has_encoder) {
        throw Error(ErrorKind::UnsupportedError,
                    "an encoder reads the prompt of this model at once; its tokens have no probabilities");
    }
    if (request.n_scored >= n_prompt) {
        throw Error(ErrorKind::InvalidRequestError, "of " + std::to_string(n_prompt) + " tokens at most " +
                                                        std::to_string(n_prompt - 1) +
                                                        " can be scored: nothing is before the first one")
            .with("n_prompt", n_prompt)
            .with("n_scored", request.n_scored);
    }
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

template<class Active, class Take> Ticket Engine::hand_over(Active& active, const Take& take) {
    active.control = std::make_shared<RequestControl>(bell_);
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (is_closing_) {
            throw closed_error();
        }
        active.id = next_id++;
        take();
    }
    bell_->ring();
    return {active.id, active.control};
}

Ticket Engine::submit(Request request, bool is_waiting) {
    check_usable();
    fit(request);
    auto active = std::make_shared<ActiveRequest>();
    active->request = std::move(request);
    active->submitted = Clock::now();
    const auto take = [&] {
        check_room(is_waiting);
        n_requests_++;
        submitted_.push_back(active);
    };
    return hand_over(*active, take);
}

void Engine::check_room(bool is_waiting) {
    const size_t limit = static_cast<size_t>(params_.max_queue + params_.scheduler.max_running);
    if (n_requests_ >= limit) {
        n_rejected_full_ += is_waiting ? 0 : 1;
        throw Error(ErrorKind::QueueFullError,
                    std::to_string(n_requests_) +
                        " requests are running or waiting; wait for room, or give a larger max_queue")
            .with("n_requests", n_requests_)
            .with("limit", limit);
    }
}

Ticket Engine::submit(EmbedRequest request, bool is_waiting) {
    check_usable();
    std::shared_ptr<Embedder> embedder;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = embedders_.find(request.embedder);
        embedder = found == embedders_.end() ? nullptr : found->second;
    }
    if (embedder == nullptr) {
        throw Error(ErrorKind::InvalidRequestError, "there is no embedder '" + request.embedder + "'");
    }
    check_texts(request, embedder->traits());
    {
        const std::lock_guard<std::mutex> lock(mutex_); // before anything is made for it
        check_room(is_waiting);
    }
    std::shared_ptr<ActiveEmbedding> active;
    try {
        active = std::make_shared<ActiveEmbedding>(std::move(request), embedder->traits());
    } catch (const std::bad_alloc&) {
        throw Error(ErrorKind::InsufficientMemoryError,
                    "there is no memory for the vectors; give fewer texts at once");
    }
    const auto take = [&] {
        check_room(is_waiting);
        n_requests_++;
        submitted_texts_.push_back(active);
    };
    return hand_over(*active, take);
}

Ticket Engine::submit(StateRequest request) {
    check_usable();
    auto active = std::make_shared<ActiveState>();
    active->request = std::move(request);
    return hand_over(*active, [&] { submitted_states_.push_back(active); });
}

void Engine::add_embedder(const std::string& name, std::shared_ptr<Embedder> embedder) {
    check_usable();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_closing_) {
        throw closed_error();
    }
    embedders_[name].swap(embedder); // the old one is freed after the lock, by the engine's thread or here
}

bool Engine::wait_for_room(std::chrono::milliseconds time) {
    check_usable();
    std::unique_lock<std::mutex> lock(mutex_);
    const size_t limit = static_cast<size_t>(params_.max_queue + params_.scheduler.max_running);
    return has_room_.wait_for(lock, time, [&] { return is_closing_ || n_requests_ < limit; });
}

void Engine::cancel(uint64_t request) {
    if (is_foreign()) {
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        cancelled_.push_back(request);
    }
    bell_->ring();
}

void Engine::resume(ProcessedRow row) {
    if (is_foreign()) {
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        processed_.push_back(std::move(row));
    }
    bell_->ring();
}

void Engine::drop_adapters() {
    if (is_foreign()) {
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        must_drop_adapters_ = true;
    }
    bell_->ring();
}

void Engine::close() {
    if (is_foreign()) {
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
    loop_.reset();
    texts_ = {};
    decoder_.reset();
    const std::lock_guard<std::mutex> lock_embedders(mutex_);
    embedders_.clear();
}

Stats Engine::stats() const {
    check_process();
    const std::lock_guard<std::mutex> lock(mutex_);
    Stats stats = stats_;
    stats.n_rejected_full = n_rejected_full_;
    stats.n_rejected_context = n_rejected_context_;
    stats.n_waiting += static_cast<int>(submitted_.size());
    return stats;
}

void Engine::take_commands() {
    std::vector<std::shared_ptr<ActiveRequest>> submitted;
    std::vector<std::shared_ptr<ActiveEmbedding>> texts;
    std::vector<std::shared_ptr<ActiveState>> states;
    std::vector<uint64_t> cancelled;
    std::vector<ProcessedRow> processed;
    bool must_drop_adapters = false;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        submitted.swap(submitted_);
        texts.swap(submitted_texts_);
        states.swap(submitted_states_);
        if (!texts.empty()) {
            for (const auto& [name, embedder] : embedders_) {
                texts_.add(name, embedder);
            }
        }
        cancelled.swap(cancelled_);
        processed.swap(processed_);
        std::swap(must_drop_adapters, must_drop_adapters_);
    }
    for (const auto& request : submitted) {
        loop_->submit(request);
    }
    for (const auto& request : texts) {
        texts_.submit(request);
    }
    for (const auto& request : states) {
        loop_->exchange(request);
    }
    for (const uint64_t request : cancelled) {
        loop_->cancel(request);
        texts_.cancel(request);
    }
    for (ProcessedRow& row : processed) {
        loop_->resume(std::move(row));
    }
    if (must_drop_adapters) {
        loop_->drop_adapters();
    }
}

void Engine::publish() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        stats_ = loop_->stats();
        texts_.count(stats_);
        n_requests_ = loop_->n_requests() + texts_.n_requests() + submitted_.size() + submitted_texts_.size();
    }
    loop_->flush(); // after the counts: who has a result sees them with it
    texts_.flush();
    has_room_.notify_all();
}

// Outputs and texts have the same time as long as there are both; a step of texts takes about as long as one
// of outputs.
bool Engine::compute() {
    if (texts_.is_empty()) {
        balance_s_ = 0;
        return loop_->step();
    }
    const Clock::time_point started = Clock::now();
    const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - started).count(); };
    if (balance_s_ > 0 && loop_->step()) {
        output_step_s_ = elapsed();
        balance_s_ -= output_step_s_;
        return true;
    }
    // Where outputs are left after that, none of them can run now.
    const bool is_alone = balance_s_ > 0 || loop_->is_empty();
    try {
        texts_.step(is_alone ? std::numeric_limits<double>::infinity() : output_step_s_);
    } catch (const std::exception& error) {
        texts_.fail_all(Error(ErrorKind::EngineError, error.what()));
    }
    balance_s_ = is_alone ? 0 : balance_s_ + elapsed();
    return true;
}

void Engine::run() {
    while (true) {
        bool has_computed = true;
        try {
            take_commands();
            if (is_closing_) {
                break;
            }
            loop_->expire();
            texts_.expire();
            if (loop_->has_events() || texts_.has_events()) {
                publish(); // who cancelled or is late need not wait for the next step
            }
            has_computed = compute();
        } catch (const std::exception& error) {
            loop_->survive(error.what());
        }
        publish();
        if (!has_computed) {
            bell_->wait_until(loop_->next_deadline());
        }
    }
    take_commands(); // what came between the last look and the closing
    loop_->fail_all(closed_error());
    texts_.fail_all(closed_error());
    publish();
    try {
        loop_->store_prefixes();
    } catch (const std::exception&) {
        return; // what could not be stored is computed again
    }
}

} // namespace inllama
