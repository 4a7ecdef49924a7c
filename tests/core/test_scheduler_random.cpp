#include "core/scheduler.h"

#include "tests/core/check.h"
#include "tests/core/scheduler_fixture.h"

#include <algorithm>
#include <random>
#include <set>

using namespace inllama;

namespace {

// Random requests, readers, preemptions and ends; after each the rules that hold at any time.
class Trial {
  public:
    Trial(MemoryKind kind, uint32_t seed)
        : params_(params_of(seed)), with_(params_, traits_of(kind, seed)), random_(seed) {}

    void step() {
        with_.now += std::chrono::milliseconds(one_of(200));
        const uint32_t what = one_of(100);
        if (what < 20 && n_there() < 20) {
            add();
        } else if (what < 24) {
            toggle_reader();
        } else if (what < 27 && !with_.scheduler.running().empty()) {
            with_.scheduler.preempt(*with_.scheduler.youngest(), one_of(3) != 0);
        } else if (what < 29) {
            end(any());
        } else {
            turn();
        }
        check_places();
    }

    void finish() {
        for (Sequence* sequence : all()) {
            with_.resume(*sequence);
        }
        for (int i = 0; i < 5000 && n_there() > 0; i++) {
            turn();
        }
        CHECK_EQ(n_there(), 0);
        while (with_.cache.evict_one()) {
        }
        CHECK_EQ(with_.decoder.n_cells_used(), 0);
    }

    int n_preempted = 0, n_ended = 0, n_joined = 0;

  private:
    static SchedulerParams params_of(uint32_t seed) {
        SchedulerParams params = small_params().scheduler;
        params.step_rows = seed % 3 == 0 ? 3 : 32;
        params.max_running = seed % 3 == 1 ? 3 : 8;
        return params;
    }
    static DecoderTraits traits_of(MemoryKind kind, uint32_t seed) {
        DecoderTraits traits = small_traits(kind);
        traits.n_cells = seed % 2 == 0 ? 100 : 300;
        return traits;
    }
    uint32_t one_of(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
    int below(uint32_t n) { return static_cast<int>(one_of(n)); }
    int n_there() const {
        return static_cast<int>(with_.scheduler.running().size() + with_.scheduler.waiting().size());
    }
    std::vector<Sequence*> all() const {
        std::vector<Sequence*> found;
        for (const auto& sequence : with_.scheduler.running()) {
            found.push_back(sequence.get());
        }
        for (const auto& sequence : with_.scheduler.waiting()) {
            found.push_back(sequence.get());
        }
        return found;
    }
    Sequence* any() { return n_there() == 0 ? nullptr : all()[one_of(static_cast<uint32_t>(n_there()))]; }

    void add() {
        std::vector<Token> prompt =
            joined(tokens_of(below(40), one_of(3)), tokens_of(below(20), 9 + one_of(4)));
        prompt.push_back(below(250));
        with_.add(prompt, 1 + below(40), below(3), one_of(4) == 0 ? "a" : "");
        n_added_++;
    }

    void toggle_reader() {
        if (Sequence* sequence = any(); sequence != nullptr) {
            const bool is_paused = sequence->active->control->n_unread > 0;
            is_paused ? with_.resume(*sequence) : with_.pause(*sequence);
        }
    }

    void end(Sequence* sequence) {
        if (sequence != nullptr) {
            with_.end(*sequence, one_of(4) != 0);
            n_gone_++;
        }
    }

    // What the engine does in a step.
    void turn() {
        const size_t n_before = with_.scheduler.running().size();
        for (const Sequence* started : with_.admit()) {
            CHECK(started->phase == Phase::prefill);
            CHECK_EQ(with_.cache.length(started->id), started->n_computed);
            CHECK(started->active->control->n_unread == 0);
            n_joined += started->n_computed > 0 ? 1 : 0;
        }
        check_room(n_before);
        while (true) {
            const StepPlan plan = with_.scheduler.plan();
            check_plan(plan);
            const int n_running = static_cast<int>(with_.scheduler.running().size());
            if (plan.rows.empty() || with_.cache.make_room(static_cast<int>(plan.rows.size()))) {
                break;
            }
            CHECK(n_running > 1);
            with_.scheduler.preempt(*with_.scheduler.youngest(), true);
            n_preempted++;
        }
        for (const StepPart& part : with_.step().parts) {
            if (part.sequence->n_generated() >= part.sequence->request().max_tokens) {
                end(part.sequence);
                n_ended++;
            }
        }
    }

    // Those that run, and what they may still need, fit; but one alone may be too large.
    void check_room(size_t n_before) {
        const auto& running = with_.scheduler.running();
        if (running.size() < 2 || running.size() <= n_before) {
            return;
        }
        int n_needed = 0;
        for (const auto& sequence : running) {
            const int n_more = sequence->request().max_tokens - sequence->n_generated();
            n_needed += sequence->n_left() + std::min(n_more, params_.reserve_tokens);
        }
        CHECK(n_needed <= with_.cache.n_free() + with_.cache.n_evictable());
    }

    void check_plan(const StepPlan& plan) {
        const int n_rows = static_cast<int>(plan.rows.size());
        CHECK(n_rows <= with_.scheduler.step_rows());
        int n_decode = 0, n_decode_rows = 0, n_prefill = 0, n_prefill_rows = 0;
        for (const auto& sequence : with_.scheduler.running()) {
            const bool is_read = sequence->active->control->n_unread == 0;
            n_decode += sequence->phase == Phase::decode && is_read ? 1 : 0;
            n_prefill += sequence->phase == Phase::prefill ? 1 : 0;
        }
        std::set<const Sequence*> seen;
        size_t at = 0;
        for (const StepPart& part : plan.parts) {
            const Sequence& sequence = *part.sequence;
            CHECK(seen.insert(&sequence).second && part.n_rows > 0);
            const bool is_decode = sequence.phase == Phase::decode;
            CHECK(!is_decode || part.n_rows == 1);
            CHECK(&part == &plan.parts[0] || (&part)[-1].sequence->id < sequence.id);
            CHECK_EQ(part.first_row, static_cast<int>(at));
            CHECK(!is_decode || sequence.active->control->n_unread == 0);
            (is_decode ? n_decode_rows : n_prefill_rows) += part.n_rows;
            for (int i = 0; i < part.n_rows; i++, at++) {
                const StepRow& row = plan.rows[at];
                CHECK(row.sequence == sequence.id && row.position == sequence.n_computed + i);
                CHECK_EQ(row.has_output, row.position == sequence.n_tokens() - 1);
                CHECK(!row.has_output || part.output_row == static_cast<int>(at));
            }
        }
        CHECK_EQ(static_cast<int>(at), n_rows);
        const int n_free = with_.scheduler.step_rows() - (n_prefill > 0 ? 1 : 0);
        CHECK_EQ(n_decode_rows, std::min(n_decode, n_free));
        CHECK_EQ(n_prefill_rows > 0, n_prefill > 0);
        const int n_waits = 4 * (n_prefill * n_prefill - 1); // kCrowd of prefill_budget.cpp is 8
        CHECK(n_decode == 0 ||
              n_prefill_rows * n_decode_rows <= params_.prefill_rows * std::max(n_decode_rows, n_waits));
    }

    void check_places() {
        CHECK_EQ(n_there() + n_gone_, n_added_);
        const auto n_running = static_cast<int>(with_.scheduler.running().size());
        CHECK(n_running <= std::min(params_.max_running, with_.decoder.traits().n_run_ids));
        std::set<SequenceId> ids;
        uint64_t order = 0;
        for (const auto& sequence : with_.scheduler.running()) {
            CHECK(ids.insert(sequence->id).second && sequence->phase != Phase::waiting);
            CHECK_EQ(with_.decoder.pos_max(sequence->id), sequence->n_computed - 1);
            CHECK(sequence->order >= order);
            order = sequence->order;
        }
        for (const auto& sequence : with_.scheduler.waiting()) {
            CHECK(sequence->phase == Phase::waiting && sequence->id == -1 && sequence->n_computed == 0);
        }
        CHECK_EQ(with_.cache.n_used(), with_.decoder.n_cells_used());
        CHECK_EQ(with_.cache.has_run_id(), n_running < with_.decoder.traits().n_run_ids);
    }

    SchedulerParams params_;
    Scheduled with_;
    std::mt19937 random_;
    int n_added_ = 0;
    int n_gone_ = 0;
};

} // namespace

TEST("random requests, readers and preemptions break no rule of scheduling and all come to an end") {
    for (const MemoryKind kind :
         {MemoryKind::attention, MemoryKind::window, MemoryKind::recurrent, MemoryKind::whole}) {
        int n_preempted = 0, n_ended = 0, n_joined = 0;
        for (uint32_t seed = 0; seed < 6; seed++) {
            Trial trial(kind, seed);
            for (int i = 0; i < 2500; i++) {
                trial.step();
            }
            trial.finish();
            n_preempted += trial.n_preempted;
            n_ended += trial.n_ended;
            n_joined += trial.n_joined;
        }
        CHECK(n_preempted > 0 && n_ended > 500);
        CHECK_EQ(n_joined > 0, kind != MemoryKind::whole);
    }
}
