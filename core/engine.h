// The engine: one thread that computes the requests of all others.
#pragma once

#include "core/embed_loop.h"
#include "core/engine_loop.h"
#include "core/event_queue.h"
#include "core/request.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace inllama {

// What a submitted request is known by.
struct Ticket {
    uint64_t id = 0; // no other request of the process has it
    std::shared_ptr<RequestControl> control;
};

// Computes requests on a thread of its own, which never enters Python. Any thread may call it.
//
// After a fork the child has the object but not the thread: every call there throws ForkedEngineError.
class Engine {
  public:
    // Takes the decoder over; starts the thread.
    Engine(std::unique_ptr<Decoder> decoder, std::shared_ptr<const Vocab> vocab, const EngineParams& params);
    // close()
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // Takes a request; its events come through its queue.
    //
    // Throws ContextFullError if the prompt can never fit (fields n_prompt, n_ctx), QueueFullError if
    // `max_queue` requests are there already, EngineClosedError once closed. Who waits then and comes again
    // is not counted as rejected.
    Ticket submit(Request request, bool is_waiting = false);
    // Takes texts, whose vectors come with one event.
    //
    // Throws InvalidRequestError for an embedder that is not there, or a text longer than it takes;
    // InsufficientMemoryError if there is no memory for the vectors; otherwise as for outputs.
    Ticket submit(EmbedRequest request, bool is_waiting = false);
    // Saves a prefix that memory holds, or loads one; the answer comes with one event, between two steps.
    Ticket submit(StateRequest request);
    // Gives the engine an embedder, in place of an older one of that name: it must give vectors as that one.
    void add_embedder(const std::string& name, std::shared_ptr<Embedder> embedder);
    // Waits until submit() would not throw QueueFullError, or the time is over. Says whether there is room.
    bool wait_for_room(std::chrono::milliseconds time);
    // Ends a request at the next step with FinishReason::cancelled. Nothing happens if it has ended.
    void cancel(uint64_t request);
    // Goes on with an output whose logits come back from its processors. Nothing happens if it has ended.
    void resume(ProcessedRow row);
    // Lets go of adapters that no request has; to be called after one was unloaded.
    void drop_adapters();
    // Ends all requests with EngineClosedError, and the thread, which it waits for.
    void close();
    bool is_closed() const { return is_closing_; }
    // Whether this is the child of the process that made it. Then it must not be destroyed: its thread, and
    // whoever waited, were in the parent.
    bool is_foreign() const;

    Stats stats() const;
    const DecoderTraits& traits() const { return traits_; }

  private:
    void run();
    void take_commands();
    void publish();
    void check_process() const;
    void check_usable() const;
    void check_room(bool is_waiting);
    // Gives a request its number and its way to the thread; `take` puts it where that looks, under the lock.
    template<class Active, class Take> Ticket hand_over(Active& active, const Take& take);
    void fit(const Request& request);
    bool compute();

    std::unique_ptr<Decoder> decoder_;
    std::shared_ptr<const Vocab> vocab_;
    EngineParams params_;
    DecoderTraits traits_;
    // The thread's:
    std::unique_ptr<EngineLoop> loop_;
    EmbedLoop texts_;
    double balance_s_ = 0;     // by which texts had more time than outputs, since both want some
    double output_step_s_ = 0; // that the last step of outputs took
    std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
    int64_t process_; // that it was made in

    mutable std::mutex mutex_; // what follows, but the thread
    std::condition_variable has_room_;
    std::vector<std::shared_ptr<ActiveRequest>> submitted_;
    std::vector<std::shared_ptr<ActiveEmbedding>> submitted_texts_;
    std::vector<std::shared_ptr<ActiveState>> submitted_states_;
    std::map<std::string, std::shared_ptr<Embedder>> embedders_; // all that it was given
    std::vector<uint64_t> cancelled_;
    std::vector<ProcessedRow> processed_;
    bool must_drop_adapters_ = false;
    Stats stats_;
    uint64_t n_rejected_full_ = 0;
    std::atomic<uint64_t> n_rejected_context_{0};
    size_t n_requests_ = 0; // submitted and not ended
    std::atomic<bool> is_closing_{false};

    std::mutex closing_; // one thread joins
    std::thread thread_;
};

} // namespace inllama
