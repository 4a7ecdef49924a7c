// Rows of steps, readers, and who gives way.
#include "core/scheduler.h"

#include "tests/core/check.h"
#include "tests/core/scheduler_fixture.h"

using namespace inllama;
using Sequences = std::vector<Sequence*>;

namespace {

SchedulerParams one_at_a_time() {
    SchedulerParams params = small_params().scheduler;
    params.max_running = 1;
    return params;
}

// Rows of a plan by sequence, in the plan's order.
std::vector<std::pair<Sequence*, int>> shares(const StepPlan& plan) {
    std::vector<std::pair<Sequence*, int>> found;
    for (const StepPart& part : plan.parts) {
        found.emplace_back(part.sequence, part.n_rows);
    }
    return found;
}

using Shares = std::vector<std::pair<Sequence*, int>>;

} // namespace

TEST("outputs have their row before prompts have theirs, in the order in which they started") {
    Scheduled with;
    Sequence& a = with.running(tokens_of(3, 1));
    Sequence& b = with.running(tokens_of(3, 2));
    Sequence& c = with.running_soon(tokens_of(60, 3));
    CHECK(shares(with.step()) == (Shares{{&a, 1}, {&b, 1}, {&c, 8}}));
    Sequence& d = with.running_soon(tokens_of(60, 4));
    CHECK(shares(with.step()) == (Shares{{&a, 1}, {&b, 1}, {&c, 48}}));
    CHECK(shares(with.step()) == (Shares{{&a, 1}, {&b, 1}, {&c, 4}, {&d, 44}}));
    CHECK(shares(with.step()) == (Shares{{&a, 1}, {&b, 1}, {&c, 1}, {&d, 8}}));
}

TEST("rows are in the order of the sequences' ids, whoever started first") {
    Scheduled with;
    Sequence& a = with.running(tokens_of(3, 1));
    Sequence& b = with.running(tokens_of(3, 2));
    Sequence& c = with.running(tokens_of(3, 3));
    with.scheduler.remove(a, false);
    Sequence& d = with.running_soon(tokens_of(5, 4));
    CHECK(d.id < b.id && b.id < c.id);
    StepPlan plan = with.step();
    CHECK(shares(plan) == (Shares{{&d, 5}, {&b, 1}, {&c, 1}}));
    CHECK_EQ(plan.parts[0].output_row, 4);
    CHECK_EQ(plan.parts[1].output_row, 5);
    CHECK_EQ(plan.parts[2].output_row, 6);
    for (const StepPart& part : plan.parts) {
        for (int i = part.first_row; i < part.first_row + part.n_rows; i++) {
            CHECK_EQ(plan.rows[static_cast<size_t>(i)].sequence, part.sequence->id);
        }
    }
    CHECK(shares(with.step()) == (Shares{{&d, 1}, {&b, 1}, {&c, 1}}));
}

TEST("prompts that wait for each other have more rows") {
    Scheduled with;
    Sequence& a = with.running(tokens_of(3, 1));
    Sequence& b = with.running_soon(tokens_of(30, 2));
    CHECK(shares(with.step()) == (Shares{{&a, 1}, {&b, 8}}));
    Sequence& c = with.running_soon(tokens_of(30, 3));
    CHECK(shares(with.step()) == (Shares{{&a, 1}, {&b, 22}, {&c, 30}}));
}

TEST("prompts have fewer rows beside outputs where these would have to wait long for them") {
    Scheduled with;
    Sequence& a = with.running(tokens_of(3, 1));
    const auto timed = [&](double seconds) {
        const StepPlan plan = with.step();
        with.scheduler.note_success(plan, seconds);
        return shares(plan);
    };
    timed(0.1);
    Sequence& b = with.running_soon(tokens_of(60, 2));
    CHECK(timed(1.0) == (Shares{{&a, 1}, {&b, 8}}));
    // One row takes longer than a step without prompts: the least that there is.
    CHECK(timed(0.3) == (Shares{{&a, 1}, {&b, 4}}));
    CHECK_EQ(b.n_computed, 12);
}

TEST("a prompt has a row in each step, however many outputs there are") {
    SchedulerParams params = small_params().scheduler;
    params.step_rows = 3;
    Scheduled with(params);
    for (uint32_t i = 0; i < 3; i++) {
        with.running(tokens_of(2, i));
    }
    Sequence& prompt = with.running_soon(tokens_of(9, 7));
    for (int n = 1; n < 9; n++) {
        const StepPlan plan = with.step();
        CHECK_EQ(plan.rows.size(), size_t{3});
        CHECK_EQ(prompt.n_computed, n);
    }
}

TEST("prompts alone take the whole step, in the order in which they started") {
    Scheduled with;
    Sequence& a = with.running_soon(tokens_of(40, 1));
    Sequence& b = with.running_soon(tokens_of(40, 2));
    CHECK(shares(with.step()) == (Shares{{&a, 40}, {&b, 24}}));
    CHECK(shares(with.step()) == (Shares{{&a, 1}, {&b, 8}}));
}

TEST("rows stand at the places that come next, and the last row of a text alone gives output") {
    Scheduled with;
    const std::vector<Token> prompt = tokens_of(70, 1);
    Sequence& sequence = with.running_soon(prompt);
    for (const int begin : {0, 64}) {
        const StepPlan plan = with.scheduler.plan();
        const int n = begin == 0 ? 64 : 6;
        CHECK_EQ(plan.rows.size(), static_cast<size_t>(n));
        for (int i = 0; i < n; i++) {
            const StepRow& row = plan.rows[static_cast<size_t>(i)];
            CHECK_EQ(row.position, begin + i);
            CHECK_EQ(row.token, prompt[static_cast<size_t>(begin + i)]);
            CHECK_EQ(row.sequence, sequence.id);
            CHECK_EQ(row.has_output, begin + i == 69);
        }
        CHECK_EQ(plan.parts[0].output_row, begin == 0 ? -1 : 5);
        with.step();
    }
}

TEST("an output that nobody reads has no rows, and has them again when it is read") {
    Scheduled with;
    Sequence& a = with.running(tokens_of(3, 1));
    Sequence& b = with.running(tokens_of(3, 2));
    with.pause(a);
    CHECK(shares(with.step()) == (Shares{{&b, 1}}));
    CHECK(a.active->control->is_paused.load());
    CHECK(!b.active->control->is_paused.load());
    with.resume(a);
    CHECK(shares(with.step()) == (Shares{{&a, 1}, {&b, 1}}));
}

TEST("one that nobody reads does not start, and gives its place to those that wait") {
    Scheduled with(one_at_a_time());
    Sequence& slow = with.running(tokens_of(10, 1), 50);
    with.pause(slow);
    CHECK(with.admit().empty());
    CHECK(slow.phase == Phase::decode);
    Sequence& other = with.add(tokens_of(10, 2));
    CHECK(with.admit() == Sequences{&other});
    CHECK(slow.phase == Phase::waiting);
    with.end(other);
    CHECK(with.admit().empty());
    with.resume(slow);
    CHECK(with.admit() == Sequences{&slow});
    CHECK_EQ(slow.n_computed, 10); // what it had computed was kept
}

TEST("a preempted sequence starts again before those of its priority that came later") {
    Scheduled with;
    Sequences added;
    for (uint32_t i = 0; i < 6; i++) {
        added.push_back(&with.add(tokens_of(10, i)));
    }
    CHECK_EQ(with.admit().size(), size_t{4});
    with.step();
    for (int i = 0; i < 3; i++) {
        Sequence* last = with.scheduler.youngest();
        CHECK(last == added[static_cast<size_t>(3 - i)]);
        with.scheduler.preempt(*last, true);
        CHECK(last->phase == Phase::waiting && last->n_computed == 0);
    }
    CHECK(with.admit() == (Sequences{added[1], added[2], added[3]}));
    CHECK_EQ(added[1]->n_computed, 10);
}

TEST("a preempted sequence that keeps nothing computes everything again, as before") {
    Scheduled with;
    Sequence& sequence = with.running(tokens_of(10, 1));
    with.step();
    with.scheduler.preempt(sequence, false);
    CHECK_EQ(with.cache.n_used(), 0);
    CHECK_EQ(sequence.n_tokens(), 12);
    with.admit();
    CHECK_EQ(sequence.n_computed, 0);
    const StepPlan plan = with.step();
    CHECK_EQ(plan.rows.size(), size_t{12});
    CHECK(plan.rows.back().has_output && !plan.rows[9].has_output);
}

TEST("who gives way first is unread, else the least important, of those the last that started") {
    Scheduled with;
    CHECK(with.scheduler.youngest() == nullptr);
    Sequence& a = with.add(tokens_of(5, 1), 100, 1);
    Sequence& b = with.add(tokens_of(5, 2), 100, 0);
    Sequence& c = with.add(tokens_of(5, 3), 100, 0);
    Sequence& d = with.add(tokens_of(5, 4), 100, 2);
    with.admit();
    with.step();
    with.pause(d);
    for (Sequence* next : {&d, &c, &b, &a}) {
        CHECK(with.scheduler.youngest() == next);
        with.end(*next);
    }
}

TEST("one that was there when a step failed runs alone") {
    Scheduled with;
    Sequence& a = with.running(tokens_of(5, 1));
    Sequence& b = with.running_soon(tokens_of(5, 2));
    b.is_suspect = true;
    CHECK(shares(with.step()) == (Shares{{&b, 5}}));
    b.is_suspect = false;
    CHECK(shares(with.step()) == (Shares{{&a, 1}, {&b, 1}}));
}

TEST("steps are half as large after one had no buffers, at least a row, and grow again after a while") {
    Scheduled with;
    for (const int expected : {32, 16, 8, 4, 2, 1, 1}) {
        with.scheduler.shrink_steps();
        CHECK_EQ(with.scheduler.step_rows(), expected);
    }
    with.running_soon(tokens_of(5, 1));
    const StepPlan plan = with.scheduler.plan();
    CHECK_EQ(plan.rows.size(), size_t{1});
    int n_steps = 0;
    for (; n_steps < 100000 && with.scheduler.step_rows() < 64; n_steps++) {
        with.scheduler.note_success(plan, 0.01);
    }
    CHECK(n_steps >= 6 * 32 && n_steps < 10000);
    for (int i = 0; i < 10000; i++) {
        with.scheduler.note_success(plan, 0.01);
    }
    CHECK_EQ(with.scheduler.step_rows(), 64);
}

TEST("one whose logits are with its processors has no rows and does not start, and stops no other") {
    Scheduled with;
    Sequence& a = with.running(tokens_of(3, 1));
    Sequence& b = with.running_soon(tokens_of(3, 2));
    a.is_processing = true;
    CHECK(shares(with.step()) == (Shares{{&b, 3}}));
    b.is_processing = true;
    CHECK(with.step().rows.empty());
    Sequence& c = with.add(tokens_of(3, 3));
    with.scheduler.preempt(a, true);
    CHECK(with.admit() == Sequences{&c});
    a.is_processing = false;
    CHECK(with.admit() == Sequences{&a});
}

TEST("what is taken out leaves no place, id or cell behind, waiting or running") {
    Scheduled with;
    Sequence& running = with.running(tokens_of(10, 1));
    Sequence& waiting = with.add(tokens_of(10, 2));
    CHECK(with.scheduler.remove(waiting, true).get() == &waiting);
    CHECK(with.scheduler.waiting().empty());
    const std::unique_ptr<Sequence> taken = with.scheduler.remove(running, false);
    CHECK(taken.get() == &running);
    CHECK_EQ(taken->id, -1);
    CHECK(with.scheduler.running().empty() && with.scheduler.plan().rows.empty());
    CHECK_EQ(with.decoder.n_cells_used(), 0);
    for (int i = 0; i < 4; i++) {
        with.running_soon(tokens_of(3, static_cast<uint32_t>(i)));
    }
}

TEST("prompts have whole steps, by turns, beside outputs whose tokens nobody watches") {
    Scheduled with;
    Sequence& a = with.running(tokens_of(3, 1));
    a.active->request.is_streaming = false;
    Sequence& b = with.running_soon(tokens_of(60, 2));
    CHECK(shares(with.step()) == (Shares{{&b, 60}}));
    CHECK(shares(with.step()) == (Shares{{&a, 1}, {&b, 1}}));
    Sequence& c = with.running_soon(tokens_of(60, 3));
    const Shares beside = shares(with.step());
    CHECK(beside.back().first == &c && beside.back().second < 60); // b is streamed
}
