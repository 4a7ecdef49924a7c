// Random requests to an engine, in every kind of memory: all get their own output, and nothing stays behind.
#include "check.h"
#include "engine_fixture.h"

#include <algorithm>
#include <random>

using namespace inllama;

namespace {

constexpr int kCells = 150;
constexpr int kLongest = 40; // tokens of an output

class Trial {
  public:
    Trial(MemoryKind kind, bool has_cache, uint32_t seed)
        : engine_(traits_of(kind), params_of(has_cache)), random_(seed) {}

    void operate() {
        const uint32_t what = one_of(20);
        if (what < 4 && engine_.loop.n_requests() < 12) {
            submit();
        } else if (what == 4 && !asked_.empty()) {
            // Mostly one that is there.
            const uint64_t last = asked_.rbegin()->first;
            engine_.loop.cancel(last - std::min<uint64_t>(last, one_of(14)));
        } else if (what == 5) {
            read_slowly();
        } else if (what == 6 && one_of(200) == 0) {
            engine_.loop.fail_all(Error(ErrorKind::EngineClosedError, "closed"));
        } else {
            engine_.loop.expire();
            engine_.loop.step();
        }
        engine_.receive();
        const Stats stats = engine_.loop.stats();
        CHECK_EQ(stats.n_cells_used, engine_.decoder.n_cells_used());
        CHECK(stats.n_cells_used <= kCells);
        CHECK(stats.n_running <= 4);
        CHECK_EQ(stats.n_submitted - stats.n_finished, engine_.loop.n_requests());
    }

    void end() {
        for (int i = 0; i < 20000 && !engine_.loop.is_empty(); i++) {
            engine_.loop.expire();
            engine_.loop.step();
            engine_.receive();
            read_slowly();
        }
        read_slowly(); // it may have been empty before that
        CHECK(engine_.loop.is_empty());
        CHECK(!engine_.loop.step());
        for (const auto& [id, asked] : asked_) {
            check_output(id, asked);
        }
        const Stats stats = engine_.loop.stats();
        CHECK_EQ(stats.n_running + stats.n_waiting, 0);
        CHECK_EQ(stats.n_finished, static_cast<uint64_t>(asked_.size()));
        n_preempted = stats.n_preemptions;
        n_cancelled = stats.n_cancelled;
        n_shared = stats.n_cached_tokens;
    }

    // One that needs all of memory finds all of it, and those after it find every id.
    void check_nothing_is_lost(bool is_shared) {
        Request large = engine_.request(tokens_of(kCells - 10, 77), 10);
        large.min_tokens = 10;
        const uint64_t id = engine_.submit(std::move(large));
        CHECK(engine_.run());
        CHECK_EQ(engine_.received[id].tokens[0].size(), size_t{10});
        // Its last token is not computed: one cell is left, where a kept sequence of one token may stay.
        const int n_kept = engine_.loop.stats().n_cached_sequences;
        CHECK(is_shared ? n_kept == 1 || n_kept == 2 : n_kept == 0);
        CHECK_EQ(engine_.decoder.n_cells_used(), is_shared ? kCells - 2 + n_kept : 0);
        const DecoderTraits& traits = engine_.decoder.traits();
        for (int i = 0; i < traits.n_run_ids; i++) {
            Request request = engine_.request(tokens_of(2, 900 + static_cast<uint32_t>(i)), 3);
            request.min_tokens = 3;
            engine_.submit(std::move(request));
        }
        engine_.loop.step();
        CHECK_EQ(engine_.loop.stats().n_running, traits.n_run_ids);
        for (int i = 0; i < traits.n_ids; i++) {
            engine_.submit(tokens_of(3, 950 + static_cast<uint32_t>(i)), 1);
        }
        CHECK(engine_.run());
        CHECK_EQ(engine_.loop.stats().n_cached_sequences, is_shared ? traits.n_ids - traits.n_run_ids : 0);
        for (const auto& [request, control] : engine_.controls) {
            CHECK_EQ(control->n_unread.load(), 0);
            CHECK_EQ(control.use_count(), 1L); // no event and no request holds it
        }
    }

    uint64_t n_preempted = 0, n_cancelled = 0, n_shared = 0;
    int n_complete = 0;

  private:
    struct Asked {
        std::vector<Token> prompt;
        int max_tokens;
        int n_outputs;
    };

    static DecoderTraits traits_of(MemoryKind kind) {
        DecoderTraits traits = small_traits(kind);
        traits.n_cells = kCells;
        traits.n_positions = kCells;
        return traits;
    }
    static EngineParams params_of(bool has_cache) {
        EngineParams params = small_params();
        params.prefix_cache = has_cache;
        return params;
    }
    uint32_t one_of(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
    int below(uint32_t n) { return static_cast<int>(one_of(n)); }

    void submit() {
        Asked asked;
        asked.prompt = joined(tokens_of(below(40), one_of(4)), tokens_of(1 + below(20), 9 + one_of(9)));
        asked.max_tokens = 1 + below(kLongest);
        asked.n_outputs = 1 + below(3);
        Request request = engine_.request(asked.prompt, asked.max_tokens, asked.n_outputs);
        request.min_tokens = asked.max_tokens;
        request.salt = one_of(5) == 0 ? "other" : "";
        request.priority = below(3);
        if (one_of(20) == 0) {
            request.deadline = Clock::now() + std::chrono::microseconds(below(2000));
        }
        if (one_of(6) == 0) {
            request.n_unread_max = 1 + below(6);
            request.events = slow_;
        }
        asked_[engine_.submit(std::move(request))] = asked;
    }

    // Reads what waits for the reader that does so seldom.
    void read_slowly() {
        engine_.events.swap(slow_);
        engine_.receive();
        engine_.events.swap(slow_);
    }

    void check_output(uint64_t id, const Asked& asked) {
        const Received& got = engine_.received[id];
        CHECK(got.summary.has_value());
        CHECK(got.error.has_value() || static_cast<int>(got.finish.size()) == asked.n_outputs);
        const std::vector<Token>& expected = expected_of(asked.prompt);
        for (const auto& [output, tokens] : got.tokens) {
            const auto finish = got.finish.find(output);
            const bool is_complete = finish != got.finish.end() && finish->second == FinishReason::length;
            const auto n_asked = static_cast<size_t>(asked.max_tokens);
            CHECK(is_complete ? tokens.size() == n_asked : tokens.size() <= n_asked);
            CHECK(std::equal(tokens.begin(), tokens.end(), expected.begin()));
            n_complete += is_complete ? 1 : 0;
        }
    }

    // What a memory of its own gives.
    const std::vector<Token>& expected_of(const std::vector<Token>& prompt) {
        std::vector<Token>& expected = expected_[prompt];
        if (expected.empty()) {
            FakeDecoder alone(small_traits());
            FakeSampler sampler(engine_.vocab.size() - 1);
            std::vector<Token> tokens = prompt;
            const size_t n_all = prompt.size() + kLongest;
            for (size_t at = 0; tokens.size() < n_all; at++) {
                alone.decode({{tokens[at], static_cast<Position>(at), 0, true}});
                if (at + 1 == tokens.size()) {
                    const auto n_vocab = static_cast<size_t>(engine_.vocab.size());
                    tokens.push_back(sampler.choose(alone.logits(0), n_vocab, false));
                }
            }
            expected.assign(tokens.begin() + static_cast<long>(prompt.size()), tokens.end());
        }
        return expected;
    }

    EngineFixture engine_;
    std::mt19937 random_;
    std::shared_ptr<EventQueue> slow_ = std::make_shared<EventQueue>();
    std::map<uint64_t, Asked> asked_;
    std::map<std::vector<Token>, std::vector<Token>> expected_;
};

} // namespace

TEST("ten thousand random operations give everybody his own output and leave nothing behind") {
    for (const MemoryKind kind :
         {MemoryKind::attention, MemoryKind::window, MemoryKind::recurrent, MemoryKind::whole}) {
        for (const bool has_cache : {true, false}) {
            const bool is_shared = has_cache && kind != MemoryKind::whole;
            Trial trial(kind, has_cache, 20261006);
            for (int i = 0; i < 10000; i++) {
                trial.operate();
            }
            trial.end();
            CHECK(trial.n_preempted > 20 && trial.n_cancelled > 20 && trial.n_complete > 100);
            CHECK_EQ(trial.n_shared > 0, is_shared);
            trial.check_nothing_is_lost(is_shared);
        }
    }
}

TEST("recurrent memory computes the prefix of two or many requests that come together once") {
    for (const int n : {2, 64}) {
        EngineFixture engine(small_traits(MemoryKind::recurrent));
        const std::vector<Token> shared = tokens_of(100, 1);
        for (int i = 0; i < n; i++) {
            engine.submit(joined(shared, tokens_of(8, 100 + static_cast<uint32_t>(i))), 4);
        }
        CHECK(engine.run());
        CHECK_EQ(engine.loop.stats().n_prefill_rows, static_cast<uint64_t>(100 + 8 * n));
        CHECK_EQ(engine.loop.stats().n_cached_tokens, static_cast<uint64_t>(100 * (n - 1)));
    }
}
