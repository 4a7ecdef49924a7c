// Decides which sequences run and which rows the next step computes.
#pragma once

#include "core/adapter_turns.h"
#include "core/decoder.h"
#include "core/prefill_budget.h"
#include "core/prefix_cache.h"
#include "core/sequence.h"

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

namespace inllama {

struct SchedulerParams {
    int max_running = 16;
    int step_rows = 512;     // rows of one step
    int prefill_rows = 512;  // prompt rows between two tokens of an output, at most (see PrefillBudget)
    int join_tokens = 32;    // a prefix this much longer than what is there is worth waiting for
    int reserve_tokens = 64; // cells kept free for each output that is still growing
    std::chrono::milliseconds aging{1000}; // waiting this long counts as one priority more
};

// Rows of one sequence within a step.
struct StepPart {
    Sequence* sequence;
    int n_rows;
    int first_row;  // index among the step's rows
    int output_row; // the one from which a token is chosen; -1: none
    bool is_decode; // one row of an output that grows
};

struct StepPlan {
    std::shared_ptr<const AdapterSet> adapters; // of all rows
    std::vector<StepRow> rows;
    std::vector<StepPart> parts;
};

// Policy, with no thread and no clock of its own.
//
// 1. First come, first served within a priority; waiting raises it, so everybody starts some time.
// 2. Running outputs get their row in each step; prompts share the rest, at least one row of it, and as many
// as
//    those outputs can wait for.
// 3. Outputs with different adapters take turns, step by step or in short runs of steps.
// 4. A request waits for a running one that is computing a prefix of it, instead of computing it again.
// Threads: one at a time, the engine's.
class Scheduler {
  public:
    Scheduler(PrefixCache& cache, const DecoderTraits& traits, const SchedulerParams& params);

    void add(std::unique_ptr<Sequence> sequence);
    // Starts waiting sequences as far as ids and cells allow; says which ones.
    std::vector<Sequence*> admit(Clock::time_point now);
    // The rows of the next step, by sequence id; none if nothing can run.
    StepPlan plan();
    // Takes a sequence out, running or waiting; with `keep`, what it computed stays for others.
    std::unique_ptr<Sequence> remove(Sequence& sequence, bool keep);
    // Sends a running sequence back to wait, to be computed again.
    void preempt(Sequence& sequence, bool keep);
    // Whether anybody has not yet got past where it took part in a failed step.
    bool has_faulty() const;
    // Sends all of them back to wait, without a look at the cache, which is cleared next.
    void requeue_all();
    // Memory failed when a sequence was taken out: what it holds is unknown until requeue_all().
    bool has_lost_memory() const { return has_lost_memory_; }
    // The running sequence that gives way first: one that nobody reads, then the least important and
    // youngest. Null if there is none.
    Sequence* youngest() const;

    const std::vector<std::unique_ptr<Sequence>>& running() const { return running_; }
    const std::list<std::unique_ptr<Sequence>>& waiting() const { return waiting_; }
    int step_rows() const { return step_rows_; }
    // The decoder could not have buffers for a step: the next ones are half as large, for a while.
    void shrink_steps();
    // A step was computed, in so many seconds.
    void note_success(const StepPlan& plan, double seconds);

  private:
    bool is_paused(const Sequence& sequence) const;
    // The running sequence that will have computed more of this one's prefix than memory has now.
    Sequence* leader_of(const Sequence& sequence, int n_match, int& n_shared) const;
    int n_reserved() const;
    bool is_full() const;
    // Whether memory has room for it beside those that run.
    bool fits(const Sequence& sequence, const PrefixCache::Match& match) const;
    Sequence* paused() const;
    // Sends one whose reader does not read back to wait, so that another can run. False if there is none.
    bool make_way();
    void start(Sequence& sequence);
    void wait_again(std::unique_ptr<Sequence> sequence);
    bool is_growing(const Sequence& sequence) const;
    // Outputs first, then prompts by their age.
    StepPlan chosen_rows();
    // The adapters of the next step; false if nothing can run.
    bool choose_adapters(StepPlan& plan);
    static bool has_prompt(const Sequence& sequence);
    // Running sequences of which prompt rows are left to compute; of them those with the plan's adapters.
    int n_prompts() const;
    int n_prompts(const StepPlan& plan) const;
    void add_outputs(StepPlan& plan, int n_max);
    void add_prompts(StepPlan& plan, int n_max) const;
    // Growing outputs, with whatever adapters, whose tokens are seen one by one: of the others nobody notices
    // the gaps.
    int n_watched() const;
    void add_part(StepPlan& plan, Sequence& sequence, int n_rows) const;
    // Of `n_rows` rows of a prompt, as many as the step can give logits of.
    int n_scorable(const StepPlan& plan, const Sequence& sequence, int n_rows) const;

    PrefixCache& cache_;
    const DecoderTraits& traits_;
    SchedulerParams params_;
    std::list<std::unique_ptr<Sequence>> waiting_;   // in the order of arrival
    std::vector<std::unique_ptr<Sequence>> running_; // in the order of admission
    uint64_t n_admitted_ = 0;
    PrefillBudget budget_;
    AdapterTurns turns_;
    bool is_turn_of_outputs_ = false; // the last step was one of prompts alone, beside outputs
    uint64_t n_turns_ = 0;            // steps with outputs
    int step_rows_ = 0;
    int n_small_steps_ = 0; // computed since they had to become smaller
    bool has_lost_memory_ = false;
};

} // namespace inllama
