// That everybody who waits starts and ends some time, whatever else comes.
#include "check.h"
#include "engine_fixture.h"

#include <functional>

using namespace inllama;

namespace {

class Stream {
  public:
    explicit Stream(DecoderTraits traits = small_traits(), EngineParams params = small_params())
        : engine(traits, params) {}

    // As if it had come so long ago; else a test would have to wait.
    uint64_t submit(std::vector<Token> prompt, int max_tokens, int priority = 0, Clock::duration age = {}) {
        Request request = engine.request(std::move(prompt), max_tokens);
        request.priority = priority;
        request.min_tokens = max_tokens;
        auto active = std::make_shared<ActiveRequest>();
        active->id = ++n_submitted;
        active->request = std::move(request);
        active->control = std::make_shared<RequestControl>(engine.bell);
        active->submitted = start - age;
        engine.loop.submit(active);
        return active->id;
    }

    // A prompt that nobody else has.
    std::vector<Token> fresh(int n) { return tokens_of(n, 1000 + ++n_prompts_); }

    bool has_ended(uint64_t id) { return engine.received[id].summary.has_value(); }
    bool has_begun(uint64_t id) { return engine.received[id].n_events > 0; }

    // Takes steps until the request has ended, with `n_waiting` others behind it all the time. Gives the
    // number of steps.
    int run_behind(uint64_t id, int n_waiting, const std::function<void()>& submit_other) {
        int n_steps = 0;
        for (; n_steps < 20000 && !has_ended(id); n_steps++) {
            while (engine.loop.stats().n_waiting < n_waiting) {
                submit_other();
            }
            engine.loop.step();
            engine.receive();
        }
        CHECK(has_ended(id));
        return n_steps;
    }

    EngineFixture engine;
    Clock::time_point start = Clock::now();
    uint64_t n_submitted = 0;

  private:
    uint32_t n_prompts_ = 0;
};

} // namespace

TEST("a request of low priority is overtaken only by as many as come before waiting makes up for it") {
    EngineParams params = small_params();
    params.scheduler.max_running = 1;
    params.scheduler.aging = std::chrono::hours(1);
    Stream stream(small_traits(), params);
    const auto age = std::chrono::hours(1000);
    const uint64_t low = stream.submit(stream.fresh(10), 3, 0, age);
    int n_hours = 0;
    stream.run_behind(low, 4, [&] {
        stream.submit(stream.fresh(10), 3, 5, age - std::chrono::hours(n_hours));
        n_hours++;
    });
    int n_before = 0;
    for (uint64_t id = low + 1; id <= stream.n_submitted; id++) {
        n_before += stream.has_begun(id) ? 1 : 0;
    }
    CHECK_EQ(n_before, 5);
}

TEST("a request that needs most of memory is not overtaken by small ones that come later") {
    DecoderTraits traits = small_traits();
    traits.n_cells = 100;
    traits.n_positions = 100;
    Stream stream(traits);
    for (int i = 0; i < 3; i++) {
        stream.submit(stream.fresh(8), 12);
    }
    stream.engine.loop.step();
    const uint64_t large = stream.submit(stream.fresh(80), 10);
    // A few steps until the first ones have ended, then the rows of its prompt.
    CHECK(stream.run_behind(large, 4, [&] { stream.submit(stream.fresh(4), 6); }) <= 250);
}

TEST("a request that gives way to more important ones in full memory comes to its end") {
    DecoderTraits traits = small_traits();
    traits.n_cells = 100;
    traits.n_positions = 100;
    const std::vector<Token> prompt = tokens_of(30, 1);
    for (const int reserve : {0, 8}) {
        EngineParams params = small_params();
        params.scheduler.reserve_tokens = reserve;
        params.scheduler.aging = std::chrono::hours(1);
        Stream alone;
        const uint64_t only = alone.submit(prompt, 40);
        CHECK(alone.engine.run());
        Stream stream(traits, params);
        const uint64_t low = stream.submit(prompt, 40, 0, std::chrono::hours(1000));
        const int n_steps = stream.run_behind(low, 4, [&] { stream.submit(stream.fresh(10), 30, 5); });
        CHECK(n_steps <= 2000);
        CHECK(stream.engine.loop.stats().n_preemptions > 0);
        CHECK(stream.engine.received[low].tokens[0] == alone.engine.received[only].tokens[0]);
    }
}

TEST("a prompt is computed while outputs without end fill the steps") {
    EngineParams params = small_params();
    params.scheduler.step_rows = 3;
    params.scheduler.aging = std::chrono::hours(1);
    Stream stream(small_traits(), params);
    for (int i = 0; i < 3; i++) {
        stream.submit(stream.fresh(2), 200);
    }
    stream.engine.loop.step();
    const uint64_t id = stream.submit(stream.fresh(60), 1);
    const int n_steps = stream.run_behind(id, 1, [&] { stream.submit(stream.fresh(2), 200); });
    CHECK(n_steps <= 2 * 60 + 6);
}

TEST("an output grows at least in every second step while prompts without end are computed") {
    Stream stream;
    const uint64_t id = stream.submit(stream.fresh(4), 50);
    const int n_steps = stream.run_behind(id, 4, [&] { stream.submit(stream.fresh(100), 1); });
    CHECK(n_steps >= 50 && n_steps <= 2 * 50 + 2);
}

TEST("outputs take turns where a step has fewer rows than there are outputs") {
    EngineParams params = small_params();
    params.scheduler.step_rows = 2;
    Stream stream(small_traits(), params);
    std::vector<uint64_t> ids;
    for (int i = 0; i < 4; i++) {
        ids.push_back(stream.submit(stream.fresh(3), 100));
    }
    for (int i = 0; i < 120; i++) {
        stream.engine.loop.step();
        stream.engine.receive();
    }
    size_t least = 1000;
    size_t most = 0;
    for (const uint64_t id : ids) {
        const size_t n = stream.engine.received[id].tokens[0].size();
        least = std::min(least, n);
        most = std::max(most, n);
    }
    CHECK(least >= 40);
    CHECK(most - least <= 8); // they started one after the other
}

TEST("with one row a step, outputs and prompts take turns") {
    EngineParams params = small_params();
    params.scheduler.step_rows = 1;
    Stream stream(small_traits(), params);
    const uint64_t id = stream.submit(stream.fresh(4), 50);
    const int n_steps = stream.run_behind(id, 4, [&] { stream.submit(stream.fresh(1), 1); });
    CHECK(n_steps <= 4 * 50);
    const uint64_t prompt = stream.submit(stream.fresh(40), 1);
    const int n_more = stream.run_behind(prompt, 2, [&] { stream.submit(stream.fresh(1), 200); });
    CHECK(n_more <= 6 * 40);
}
