// The texts that an engine turns into vectors: which ones each step computes, and to whom they go.
#pragma once

#include "core/embed_request.h"
#include "core/embedder.h"
#include "core/error.h"
#include "core/stats.h"

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace inllama {

// A request that was submitted, on its way through the engine.
struct ActiveEmbedding {
    // Throws std::bad_alloc if there is no memory for its vectors.
    ActiveEmbedding(EmbedRequest asked, const EmbedderTraits& traits);

    uint64_t id = 0;
    EmbedRequest request;
    std::shared_ptr<RequestControl> control;
    Clock::time_point submitted;
    std::optional<Clock::time_point> started;
    std::shared_ptr<std::vector<float>> values; // what is there so far
    std::vector<int> left;                      // texts not computed yet, the shortest first
    int n_unfinished = 0;                       // texts without a vector
    int n_faults = 0;                           // failed steps in which one of its texts was alone
    double turn = 0;                            // tokens computed for it, as if it had always been there
    Clock::time_point served;                   // when it had a text computed last
};

// 1. A step has texts of one embedder, of as many requests as fit. The request that had least goes first, so
//    that a short one does not wait for a long one; priority goes before that, and waiting raises it.
// 2. A failed step is computed again text by text, and only the request whose text fails alone twice ends.
// Threads: one at a time, the engine's.
class EmbedLoop {
  public:
    // Takes an embedder, in place of an older one of the same name.
    void add(const std::string& name, std::shared_ptr<Embedder> embedder);

    // REQUIRES: its embedder is there, takes each of its texts, and gives vectors as when it was made.
    void submit(const std::shared_ptr<ActiveEmbedding>& request);
    // Ends a request with FinishReason::cancelled. Nothing happens if it has ended.
    void cancel(uint64_t request);
    void fail_all(const Error& error);
    // Ends the requests whose time is over.
    void expire();

    // Computes one step that takes about `seconds` if it can be that short. REQUIRES: !is_empty().
    void step(double seconds);
    // Hands the events of all that happened since the last time over to their queues.
    void flush();
    bool has_events() const { return !events_.empty(); }

    bool is_empty() const { return active_.empty(); }
    size_t n_requests() const { return active_.size(); }
    std::optional<Clock::time_point> next_deadline() const;
    // Adds what this has done.
    void count(Stats& stats) const;

  private:
    using Active = std::shared_ptr<ActiveEmbedding>;
    struct Part {
        Active request;
        int text;
        int n_rows;
    };
    using Step = std::vector<Part>;

    std::vector<Active> by_rank(Clock::time_point now) const;
    Step choose(bool is_brief);
    void add_texts(const Active& request, size_t n_texts_max, int n_rows_max, Step& step) const;
    DecodeStatus compute(Embedder& embedder, const Step& step, std::string& reason) const;
    void commit(Embedder& embedder, const Step& step);
    void recover(const Step& step, DecodeStatus status, const std::string& reason);
    void put_back(const Step& step);
    void fail(const Active& request, const Error& error);
    void end(const Active& request, Event event);

    std::map<std::string, std::shared_ptr<Embedder>> embedders_;
    std::map<std::string, int> brief_rows_; // of each, rows of a step that is not to take long
    std::list<Active> active_;
    std::map<std::shared_ptr<EventQueue>, std::vector<Event>> events_;
    double turn_ = 0; // tokens that each request would have had if all had the same
    int n_alone_ = 0; // so many of the next steps have one text only
    uint64_t n_steps_ = 0;
    uint64_t n_failed_steps_ = 0;
    uint64_t n_texts_ = 0;
    uint64_t n_tokens_ = 0;
};

} // namespace inllama
