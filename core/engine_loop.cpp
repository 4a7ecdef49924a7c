#include "core/engine_loop.h"

#include <algorithm>
#include <exception>
#include <functional>

namespace inllama {

namespace {

double seconds(Clock::duration time) {
    return std::chrono::duration<double>(time).count();
}

std::unique_ptr<PrefixStore> make_store(const DecoderTraits& traits, const EngineParams& params) {
    PrefixStoreParams store = params.store;
    if (!params.prefix_cache || (store.max_memory_bytes == 0 && store.folder.empty())) {
        return nullptr;
    }
    store.can_trim = traits.memory == MemoryKind::attention;
    return std::make_unique<PrefixStore>(store, traits.identity);
}

} // namespace

EngineLoop::EngineLoop(Decoder& decoder, const Vocab& vocab, const EngineParams& params)
    : decoder_(decoder), vocab_(vocab), params_(params), store_(make_store(decoder.traits(), params)),
      cache_(decoder, params.prefix_cache, store_.get()),
      scheduler_(cache_, decoder.traits(), params.scheduler), workers_(params.n_sampling_threads) {
    stats_.n_cells = decoder.traits().n_cells;
}

void EngineLoop::submit(const std::shared_ptr<ActiveRequest>& request) {
    active_[request->id] = request;
    const int n_outputs = static_cast<int>(request->request.samplers.size());
    request->n_outputs_left = n_outputs;
    for (int output = 0; output < n_outputs; output++) {
        scheduler_.add(std::make_unique<Sequence>(request, output, vocab_));
    }
    stats_.n_submitted++;
    stats_.n_structured += request->request.is_structured ? 1 : 0;
    stats_.n_sampler_grammars += request->request.has_sampler_grammar ? 1 : 0;
}

std::vector<Sequence*> EngineLoop::outputs_of(const ActiveRequest& request) const {
    std::vector<Sequence*> outputs;
    for (const auto& sequence : scheduler_.running()) {
        if (sequence->active.get() == &request) {
            outputs.push_back(sequence.get());
        }
    }
    for (const auto& sequence : scheduler_.waiting()) {
        if (sequence->active.get() == &request) {
            outputs.push_back(sequence.get());
        }
    }
    return outputs;
}

void EngineLoop::cancel(uint64_t id) {
    const auto found = active_.find(id);
    if (found == active_.end()) {
        return;
    }
    const std::shared_ptr<ActiveRequest> request = found->second;
    stats_.n_cancelled++;
    for (Sequence* output : outputs_of(*request)) {
        finish(*output, {}, FinishReason::cancelled);
    }
}

void EngineLoop::fail(ActiveRequest& request, const Error& error) {
    const std::shared_ptr<ActiveRequest> kept = active_.at(request.id);
    Event event;
    for (Sequence* output : outputs_of(request)) {
        const std::unique_ptr<Sequence> ended = scheduler_.remove(*output, true);
        if (ended->index == 0) {
            event.text = std::move(ended->unpublished_text);
        }
    }
    stats_.n_failed++;
    request.n_outputs_left = 1; // the error ends all of them
    event.error = std::make_shared<const Error>(error);
    end_output(request, std::move(event));
}

void EngineLoop::fail_all(const Error& error) {
    while (!active_.empty()) {
        fail(*active_.begin()->second, error);
    }
}

std::optional<Clock::time_point> EngineLoop::next_deadline() const {
    std::optional<Clock::time_point> next;
    for (const auto& [id, request] : active_) {
        const auto& deadline = request->request.deadline;
        if (deadline && (!next || *deadline < *next)) {
            next = deadline;
        }
    }
    return next;
}

void EngineLoop::expire() {
    const Clock::time_point now = Clock::now();
    std::vector<std::shared_ptr<ActiveRequest>> late;
    for (const auto& [id, request] : active_) {
        if (request->request.deadline && *request->request.deadline <= now) {
            late.push_back(request);
        }
    }
    for (const auto& request : late) {
        const double elapsed = seconds(now - request->submitted);
        stats_.n_rejected_deadline++;
        fail(*request, Error(ErrorKind::DeadlineError,
                             "the request's time was over after " + std::to_string(elapsed) + " s and " +
                                 std::to_string(request->n_completion) + " tokens; give a larger timeout_s")
                           .with("elapsed_s", elapsed)
                           .with("completion_tokens", request->n_completion));
    }
}

bool EngineLoop::step() {
    try {
        return take_step();
    } catch (const std::exception& error) {
        survive(error.what());
        return true;
    }
}

bool EngineLoop::take_step() {
    const Clock::time_point now = Clock::now();
    if (must_drop_adapters_) {
        drop_unused_adapters();
    }
    if (scheduler_.has_lost_memory()) {
        survive("a sequence could not be removed from memory");
    }
    if (scheduler_.running().empty()) {
        is_cramped_ = false;
    }
    const bool has_admitted = !is_cramped_ && admit(now);
    const StepPlan plan = scheduler_.plan();
    const Outcome outcome = plan.rows.empty() ? Outcome::idle : compute(plan);
    if (outcome == Outcome::computed) {
        stats_.step_s.add(seconds(Clock::now() - now));
    }
    return has_admitted || outcome != Outcome::idle;
}

bool EngineLoop::admit(Clock::time_point now) {
    std::vector<std::pair<std::shared_ptr<ActiveRequest>, Sequence*>> started;
    for (Sequence* sequence : scheduler_.admit(now)) {
        started.emplace_back(sequence->active, sequence);
    }
    for (const auto& [request, sequence] : started) {
        if (active_.count(request->id) == 0) {
            continue; // another of its outputs has failed
        }
        if (!request->admitted) {
            request->admitted = now;
            stats_.n_prompt_tokens += request->request.prompt.size();
            stats_.n_cached_tokens += static_cast<uint64_t>(request->n_cached);
            stats_.n_prefix_hits += request->n_cached > 0 ? 1 : 0;
        }
        try {
            prepare(*sequence);
        } catch (const Error& error) {
            fail(*request, error);
        } catch (const std::exception& error) {
            fail(*request, Error(ErrorKind::EngineError, error.what()));
        }
    }
    return !started.empty();
}

void EngineLoop::prepare(Sequence& sequence) {
    if (decoder_.traits().has_encoder) {
        use(sequence.request().adapters);
        if (decoder_.encode(sequence.request().prompt) != DecodeStatus::ok) {
            throw Error(ErrorKind::DecodeError, "the prompt could not be encoded");
        }
        if (!sequence.has_seen_prompt) {
            sequence.tokens = {decoder_.traits().start_token};
            sequence.n_prompt = 1;
        }
    }
    if (!sequence.has_seen_prompt) {
        sequence.sampler->accept_prompt(sequence.request().prompt);
        sequence.has_seen_prompt = true;
    }
}

void EngineLoop::commit(const StepPlan& plan) {
    std::vector<const StepPart*> ready;
    score(plan);
    for (const StepPart& part : plan.parts) {
        Sequence& sequence = *part.sequence;
        cache_.append(sequence.id, sequence.tokens.data() + sequence.n_computed, part.n_rows);
        sequence.n_computed += part.n_rows;
        if (sequence.n_computed >= sequence.fault_end) {
            sequence.is_suspect = false;
            sequence.n_faults = 0;
            sequence.fault_end = 0;
        }
        if (sequence.phase == Phase::prefill) {
            stats_.n_prefill_rows += static_cast<uint64_t>(part.n_rows);
        }
        if (sequence.snapshot_at == sequence.n_computed && sequence.phase == Phase::prefill) {
            cache_.snapshot(sequence.id);
        }
        if (part.output_row >= 0) {
            ready.push_back(&part);
        }
    }
    if (n_no_memory_ > 0 && !scheduler_.has_faulty()) {
        n_no_memory_ = 0;
    }
    sample(ready);
}

void EngineLoop::accept(Sequence& sequence, Token token, TokenLogprobs logprobs, Clock::time_point now) {
    ActiveRequest& active = *sequence.active;
    const Request& request = active.request;
    if (!active.first_token) {
        active.first_token = now;
        stats_.first_token_s.add(seconds(now - active.submitted));
    }
    if (sequence.n_generated() > 0) {
        stats_.between_tokens_s.add(seconds(now - sequence.last_token));
    }
    sequence.last_token = now;
    Event event;
    const bool may_end = sequence.n_generated() >= request.min_tokens || sequence.sampler->is_done();
    if (may_end && std::binary_search(request.stop_tokens.begin(), request.stop_tokens.end(), token)) {
        event.stop = token;
        finish(sequence, std::move(event), FinishReason::stop);
        return;
    }
    if (may_end && vocab_.ends(token)) {
        finish(sequence, std::move(event), FinishReason::stop);
        return;
    }
    sequence.tokens.push_back(token);
    if (sequence.phase == Phase::prefill) {
        sequence.phase = Phase::decode;
    }
    sequence.unpublished.push_back(token);
    if (request.n_logprobs >= 0) {
        sequence.unpublished_logprobs.push_back(std::move(logprobs));
    }
    active.n_completion++;
    stats_.n_completion_tokens++;
    StopMatcher::Step found = sequence.text.push(token);
    event.text = std::move(found.text);
    if (found.stop) {
        event.stop = *found.stop;
        finish(sequence, std::move(event), FinishReason::stop);
    } else if (sequence.n_generated() >= request.max_tokens ||
               sequence.n_tokens() >= decoder_.traits().n_positions) {
        finish(sequence, std::move(event), FinishReason::length);
    } else if (!request.is_streaming) {
        sequence.unpublished_text += event.text;
    } else if (!event.text.empty()) {
        event.output = sequence.index;
        event.tokens.swap(sequence.unpublished);
        event.logprobs.swap(sequence.unpublished_logprobs);
        publish(active, std::move(event));
    }
}

void EngineLoop::finish(Sequence& sequence, Event event, FinishReason reason) {
    const std::unique_ptr<Sequence> ended = scheduler_.remove(sequence, true);
    event.output = ended->index;
    event.finish = reason;
    event.text = ended->unpublished_text + event.text + ended->text.finish();
    event.tokens = std::move(ended->unpublished);
    event.logprobs = std::move(ended->unpublished_logprobs);
    end_output(*ended->active, std::move(event));
}

void EngineLoop::end_output(ActiveRequest& active, Event event) {
    active.n_outputs_left--;
    if (active.n_outputs_left > 0) {
        publish(active, std::move(event));
        return;
    }
    const Clock::time_point now = Clock::now();
    const Clock::time_point admitted = active.admitted.value_or(now);
    auto summary = std::make_shared<RequestSummary>();
    summary->n_prompt = static_cast<int>(active.request.prompt.size());
    summary->n_cached = active.n_cached;
    summary->n_completion = active.n_completion;
    summary->queued_s = seconds(admitted - active.submitted);
    summary->prefill_s = active.first_token ? seconds(*active.first_token - admitted) : 0;
    summary->first_token_s = active.first_token ? seconds(*active.first_token - active.submitted) : 0;
    summary->total_s = seconds(now - active.submitted);
    event.summary = std::move(summary);
    if (active.request.processors) {
        post(active, active.request.processors, {}); // they can forget it
    }
    stats_.n_finished++;
    publish(active, std::move(event));
    active_.erase(active.id);
}

void EngineLoop::publish(ActiveRequest& active, Event event) {
    post(active, active.request.events, std::move(event));
}

void EngineLoop::post(ActiveRequest& active, const std::shared_ptr<EventQueue>& to, Event event) {
    event.request = active.id;
    event.control = active.control;
    active.control->n_unread.fetch_add(1);
    events_[to].push_back(std::move(event));
}

void EngineLoop::flush() {
    for (auto& [queue, events] : events_) {
        queue->push(events);
    }
    events_.clear();
}

Stats EngineLoop::stats() const {
    Stats stats = stats_;
    stats.n_running = static_cast<int>(scheduler_.running().size());
    stats.n_waiting = static_cast<int>(scheduler_.waiting().size());
    stats.n_cells_used = cache_.n_used();
    stats.n_cached_sequences = cache_.n_cached_sequences();
    stats.n_evicted_cells = cache_.n_evicted();
    stats.n_stored_bytes = store_ ? store_->n_memory_bytes() : 0;
    stats.n_stored_file_bytes = store_ ? store_->n_file_bytes() : 0;
    stats.n_recalled_tokens = cache_.n_recalled();
    return stats;
}

} // namespace inllama
