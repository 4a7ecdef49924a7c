// Who starts when: the order, waiting for a prefix that another computes, and room in memory.
#include "core/scheduler.h"

#include "tests/core/check.h"
#include "tests/core/scheduler_fixture.h"

using namespace inllama;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Sequences = std::vector<Sequence*>;

namespace {

SchedulerParams one_at_a_time() {
    SchedulerParams params = small_params().scheduler;
    params.max_running = 1;
    return params;
}

} // namespace

TEST("within a priority the first who came starts first") {
    Scheduled with(one_at_a_time());
    Sequences added;
    for (uint32_t i = 0; i < 5; i++) {
        added.push_back(&with.add(tokens_of(5, i)));
    }
    for (Sequence* next : added) {
        CHECK(with.admit() == Sequences{next});
        CHECK(with.admit().empty());
        with.end(*next);
    }
}

TEST("the more important start first, however late they came") {
    Scheduled with(one_at_a_time());
    Sequence& low = with.add(tokens_of(5, 1), 4, -1);
    Sequence& middle = with.add(tokens_of(5, 2), 4, 0);
    Sequence& high = with.add(tokens_of(5, 3), 4, 7);
    for (Sequence* next : {&high, &middle, &low}) {
        CHECK(with.admit() == Sequences{next});
        with.end(*next);
    }
}

TEST("waiting makes up for priority behind an endless stream of more important ones") {
    Scheduled with(one_at_a_time());
    Sequence& low = with.add(tokens_of(5, 1));
    int n_before = 0;
    for (; n_before < 1000; n_before++) {
        with.add(tokens_of(5, 2), 4, 3);
        Sequence* started = with.admit().at(0);
        if (started == &low) {
            break;
        }
        with.end(*started);
        with.now += milliseconds(100);
    }
    // One second counts as one priority.
    CHECK_EQ(n_before, 30);
}

TEST("waiting makes up for priority when more come than can be served") {
    Scheduled with(one_at_a_time());
    Sequence& low = with.add(tokens_of(5, 1));
    int n_before = 0;
    for (; n_before < 1000; n_before++) {
        with.add(tokens_of(5, 2), 4, 3);
        with.add(tokens_of(5, 3), 4, 3);
        Sequence* started = with.admit().at(0);
        if (started == &low) {
            break;
        }
        // Only those overtake that came within the three seconds.
        CHECK(started->active->submitted < low.active->submitted + seconds(3));
        with.end(*started);
        with.now += milliseconds(100);
    }
    CHECK(n_before <= 60);
}

TEST("no more run than may, and than there are ids for") {
    for (const int max_running : {2, 100}) {
        SchedulerParams params = small_params().scheduler;
        params.max_running = max_running;
        Scheduled with(params);
        for (uint32_t i = 0; i < 10; i++) {
            with.add(tokens_of(3, i), 2);
        }
        CHECK_EQ(static_cast<int>(with.admit().size()), std::min(max_running, 4));
        CHECK(with.admit().empty());
        CHECK_EQ(with.scheduler.waiting().size(), size_t{10} - with.scheduler.running().size());
    }
}

TEST("who begins like a running prompt waits until that is computed, and shares it") {
    Scheduled with;
    const std::vector<Token> shared = tokens_of(100, 1);
    Sequence& leader = with.running_soon(joined(shared, {1, 2}));
    Sequence& follower = with.add(joined(shared, {3, 4}));
    Sequence& other = with.add(tokens_of(20, 2));
    CHECK(with.admit() == Sequences{&other});
    with.step();
    CHECK(with.admit().empty());
    with.step();
    CHECK(leader.n_computed >= 100);
    CHECK(with.admit() == Sequences{&follower});
    CHECK_EQ(follower.n_computed, 100);
}

TEST("nobody waits for a prefix of another namespace, a short one, or without a cache") {
    for (const int reason : {0, 1, 2, 3}) {
        Scheduled with(small_params().scheduler, small_traits(), reason != 2);
        const std::vector<Token> shared = tokens_of(reason == 1 ? 3 : 4, 1);
        with.running_soon(joined(shared, tokens_of(50, 2)));
        Sequence& second = with.add(joined(shared, tokens_of(50, 3)), 4, 0, reason == 0 ? "a" : "");
        CHECK_EQ(with.admit().size(), reason == 3 ? size_t{0} : size_t{1});
        CHECK_EQ(second.n_computed, 0);
    }
}

TEST("nobody waits for a prompt whose leader is past what they have in common") {
    Scheduled with;
    const std::vector<Token> shared = tokens_of(40, 1);
    with.running_soon(joined(shared, tokens_of(60, 2)));
    with.step();
    Sequence& follower = with.add(joined(shared, {1, 2}));
    CHECK(with.admit() == Sequences{&follower});
    CHECK_EQ(follower.n_computed, 40);
}

TEST("a recurrent leader stops where its followers part from it") {
    Scheduled with(small_params().scheduler, small_traits(MemoryKind::recurrent));
    const std::vector<Token> shared = tokens_of(50, 1);
    Sequence& leader = with.running_soon(joined(shared, tokens_of(40, 2)));
    Sequence& follower = with.add(joined(shared, {1, 2}));
    CHECK(with.admit().empty());
    CHECK_EQ(with.step().rows.size(), size_t{50});
    CHECK(with.admit() == Sequences{&follower});
    CHECK_EQ(follower.n_computed, 50);
    CHECK_EQ(leader.n_computed, 50);
}

TEST("nobody overtakes one for which memory has no room") {
    DecoderTraits traits = small_traits();
    traits.n_cells = 100;
    Scheduled with(small_params().scheduler, traits);
    Sequence& running = with.running(tokens_of(40, 1), 20);
    Sequence& large = with.add(tokens_of(60, 2), 20);
    with.add(tokens_of(2, 3), 2);
    CHECK(with.admit().empty());
    CHECK(with.admit().empty());
    with.end(running);
    CHECK(with.admit().at(0) == &large);
}

TEST("room is kept for the growth of those that run, as far as they may grow") {
    // 10 of the prompt, one generated and not computed, and 8 to grow.
    for (const int max_tokens : {100, 5}) {
        DecoderTraits traits = small_traits();
        const int n_growth = max_tokens == 100 ? 8 : 4;
        traits.n_cells = 10 + 1 + n_growth + 20 + 3;
        for (const int n_missing : {0, 1}) {
            traits.n_cells -= n_missing;
            Scheduled with(small_params().scheduler, traits);
            with.running(tokens_of(10, 1), max_tokens);
            with.add(tokens_of(20, 2), 3);
            CHECK_EQ(with.admit().size(), n_missing == 0 ? size_t{1} : size_t{0});
        }
    }
}

TEST("what is evictable counts as room, but for what the request itself shares") {
    DecoderTraits traits = small_traits();
    traits.n_cells = 100;
    Scheduled with(small_params().scheduler, traits);
    const std::vector<Token> old = tokens_of(60, 1);
    with.end(with.running(old, 2));
    with.running(tokens_of(10, 2), 2);
    // 60 are kept, 10 in use and 2 more needed for the one that runs: 88 to have, or 28 beside the prefix.
    Sequence& sharing = with.add(joined(old, tokens_of(27, 3)), 2);
    CHECK(with.admit().empty());
    with.end(sharing);
    Sequence& other = with.add(tokens_of(86, 4), 2);
    CHECK(with.admit() == Sequences{&other});
    with.end(other);
    Sequence& fitting = with.add(joined(old, tokens_of(26, 3)), 2);
    CHECK(with.admit() == Sequences{&fitting});
}

TEST("one that runs alone starts whatever its size") {
    DecoderTraits traits = small_traits();
    traits.n_cells = 50;
    Scheduled with(small_params().scheduler, traits);
    Sequence& large = with.add(tokens_of(49, 1), 100);
    CHECK(with.admit() == Sequences{&large});
}

TEST("a reader that does not read gives its memory to one that has no room beside it") {
    DecoderTraits traits = small_traits();
    traits.n_cells = 100;
    Scheduled with(small_params().scheduler, traits);
    Sequence& slow = with.running(tokens_of(50, 1));
    Sequence& large = with.add(tokens_of(60, 2));
    CHECK(with.admit().empty());
    with.pause(slow);
    CHECK(with.admit() == Sequences{&large});
    CHECK(slow.phase == Phase::waiting);
}
