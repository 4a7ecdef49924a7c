// How the engine's results reach whoever waits for them.
#pragma once

#include "core/error.h"
#include "core/platform/wakeup.h"
#include "core/row_sampler.h"
#include "core/types.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace inllama {

enum class FinishReason : uint8_t { stop, length, cancelled };

// How many tokens a request took, and how long.
struct RequestSummary {
    int n_prompt = 0;
    int n_cached = 0;     // of the prompt, those that were not computed for it
    int n_completion = 0; // of all outputs
    double queued_s = 0;  // from submit to admission
    double prefill_s = 0; // from admission to the first token
    double first_token_s = 0;
    double total_s = 0;
};

// Wakes an engine that has nothing to do. Any thread.
class Bell {
  public:
    void ring();
    // Waits until somebody rings or the time is over.
    void wait_until(std::optional<std::chrono::steady_clock::time_point> end);

  private:
    std::mutex mutex_;
    std::condition_variable rung_;
    bool is_rung_ = false;
};

// What a request's consumer and its engine share. Any thread.
struct RequestControl {
    explicit RequestControl(std::shared_ptr<Bell> bell) : engine(std::move(bell)) {}

    // The consumer has read so many events; the engine goes on if it waited for that.
    void note_read(int n);

    std::atomic<int> n_unread{0};       // events on the way to the consumer
    std::atomic<bool> is_paused{false}; // the engine waits until the consumer has read
    std::shared_ptr<Bell> engine;
};

// What one step gave one output of a request.
struct Event {
    uint64_t request = 0;
    std::shared_ptr<RequestControl> control;
    int output = 0;
    std::string text; // complete characters
    std::vector<Token> tokens;
    std::vector<TokenLogprobs> logprobs;              // as many as tokens, or none
    std::optional<FinishReason> finish;               // the output is complete
    std::variant<std::monostate, size_t, Token> stop; // the stop string's index or the token that ended it
    std::shared_ptr<const Error> error;               // the request failed; its last event, with unread text
    std::shared_ptr<const RequestSummary> summary;    // its last event
    // For processors a row of logits, and `tokens` came since the last such event; of texts their vectors.
    std::shared_ptr<std::vector<float>> values;
    std::shared_ptr<std::vector<uint8_t>>
        state; // of a prefix that was saved; the summary says how long it is
};

// Carries events from an engine to one consumer, which may wait for many requests with it.
//
// 1. No event is lost, doubled or reordered.
// 2. The consumer is woken once for all events of a step.
// Threads: any may push; one consumes.
class EventQueue {
  public:
    EventQueue() = default;
    ~EventQueue();
    EventQueue(const EventQueue&) = delete;
    EventQueue& operator=(const EventQueue&) = delete;

    // Moves `events` to the end and wakes the consumer.
    void push(std::vector<Event>& events);
    // Takes the first events, all or at most `n_max`. They count as read, unless the consumer says so itself.
    std::vector<Event> take(size_t n_max = std::numeric_limits<size_t>::max(), bool are_read = true);
    // Waits until there are events or the time is over; says whether there are.
    bool wait_for(std::chrono::milliseconds time);

    // A descriptor that can be read while there are events; made on first use, closed with the queue. Throws
    // EngineError if the system has no more.
    int descriptor();

  private:
    std::mutex mutex_;
    std::condition_variable has_events_;
    std::deque<Event> events_;
    Wakeup wakeup_;
};

} // namespace inllama
