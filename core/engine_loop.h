// The engine without its thread: what happens in each step, to whom.
#pragma once

#include "core/decoder.h"
#include "core/error.h"
#include "core/prefix_cache.h"
#include "core/scheduler.h"
#include "core/state_request.h"
#include "core/stats.h"
#include "core/vocab.h"
#include "core/worker_pool.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace inllama {

struct EngineParams {
    SchedulerParams scheduler;
    bool prefix_cache = true;
    int max_queue = 1024;       // requests that may wait
    int n_sampling_threads = 1; // rows of a step are sampled by so many
    PrefixStoreParams store;
};

// Takes requests and computes them step by step. Nothing that happens to one request changes another's
// output: an error ends the request that caused it, and what a failed step lost is computed again for the
// others. Threads: one at a time.
class EngineLoop {
  public:
    // The decoder and the vocabulary outlive it.
    EngineLoop(Decoder& decoder, const Vocab& vocab, const EngineParams& params);

    // Takes a request, whose prompt fits the decoder.
    void submit(const std::shared_ptr<ActiveRequest>& request);
    // Ends a request's outputs with FinishReason::cancelled. Nothing happens if it has ended.
    void cancel(uint64_t request);
    // Goes on with an output whose logits come back from its processors. Nothing happens if it has ended.
    void resume(ProcessedRow row);
    // Lets go of the adapters of the last step, as soon as no request has them.
    void drop_adapters();
    // Ends every request with `error`.
    void fail_all(const Error& error);

    // Saves what memory holds of a prefix, or loads it; the answer is an event.
    void exchange(const std::shared_ptr<ActiveState>& request);
    // Puts every kept prefix into files, if there are to be some.
    void store_prefixes();

    // Ends the requests whose time is over.
    void expire();
    // Computes one step. False if there was nothing to do.
    bool step();
    // Goes on after an exception that nobody expected: everything is computed again, or ends if it comes
    // twice.
    void survive(const std::string& reason);
    // Hands the events of all that happened since the last time over to their queues.
    void flush();
    bool has_events() const { return !events_.empty(); }

    bool is_empty() const { return active_.empty(); }
    size_t n_requests() const { return active_.size(); }
    // The earliest of all deadlines.
    std::optional<Clock::time_point> next_deadline() const;
    Stats stats() const;

  private:
    enum class Outcome { computed, again, idle };

    void use(const std::shared_ptr<const AdapterSet>& adapters);
    void drop_unused_adapters();
    Outcome compute(const StepPlan& plan);
    DecodeStatus decode(const StepPlan& plan, std::string& reason);
    // Computes, on the pool's threads while it lives, what the samplers of a step need beside the logits.
    class Preparation;
    void recover(const StepPlan& plan, DecodeStatus status, const std::string& reason);
    void give_way(const StepPlan& plan);
    void note_faults(const StepPlan& plan, int n);
    void blame(const StepPlan& plan, const std::string& reason);
    void start_over();
    bool take_step();
    // Whether anybody started, or failed to.
    bool admit(Clock::time_point now);
    void prepare(Sequence& sequence);
    void commit(const StepPlan& plan);
    // What a sampler made of a row.
    struct Chosen {
        Token token = 0;
        TokenLogprobs logprobs;
        std::unique_ptr<Error> error;
    };

    void score(const StepPlan& plan);
    void sample(const std::vector<const StepPart*>& parts);
    Chosen choose(Sequence& sequence, const float* logits, const float* raw) const;
    void take(Sequence& sequence, Chosen chosen, Clock::time_point now);
    void send_to_processors(Sequence& sequence, const float* logits);
    void accept(Sequence& sequence, Token token, TokenLogprobs logprobs, Clock::time_point now);
    void finish(Sequence& sequence, Event event, FinishReason reason);
    void fail(ActiveRequest& request, const Error& error);
    void end_output(ActiveRequest& request, Event event);
    void publish(ActiveRequest& request, Event event);
    void post(ActiveRequest& request, const std::shared_ptr<EventQueue>& to, Event event);
    std::vector<Sequence*> outputs_of(const ActiveRequest& request) const;

    Decoder& decoder_;
    const Vocab& vocab_;
    EngineParams params_;
    std::unique_ptr<PrefixStore> store_; // null: what is evicted is gone
    PrefixCache cache_;
    Scheduler scheduler_;
    std::shared_ptr<const AdapterSet> adapters_; // that the decoder uses
    bool must_drop_adapters_ = false;
    WorkerPool workers_;
    Stats stats_;
    std::unordered_map<uint64_t, std::shared_ptr<ActiveRequest>> active_;
    // Events of this step, by where they go; the keys keep their queues alive.
    std::map<std::shared_ptr<EventQueue>, std::vector<Event>> events_;
    int n_no_memory_ = 0;     // steps for which no buffers could be had, until all are past where they failed
    int n_surprises_ = 0;     // exceptions that nobody expected, since the last step that was computed
    bool is_cramped_ = false; // memory had no room: nobody starts until a step succeeds
};

} // namespace inllama
