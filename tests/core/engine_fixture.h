// An engine loop over the fake decoder, and what tests ask of it.
#pragma once

#include "check.h"
#include "core/engine_loop.h"
#include "core/fake_decoder.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace inllama {

inline DecoderTraits small_traits(MemoryKind memory = MemoryKind::attention) {
    DecoderTraits traits;
    traits.memory = memory;
    traits.n_cells = 512;
    traits.n_positions = 256;
    traits.n_run_ids = 4;
    traits.n_ids = memory == MemoryKind::whole ? 4 : 12;
    traits.n_rows_max = 64;
    traits.n_window = memory == MemoryKind::window ? 8 : 0;
    traits.n_vocab = FakeVocab().size();
    return traits;
}

inline EngineParams small_params() {
    EngineParams params;
    params.scheduler.max_running = 4;
    params.scheduler.step_rows = 64;
    params.scheduler.prefill_rows = 8;
    params.scheduler.join_tokens = 4;
    params.scheduler.reserve_tokens = 8;
    return params;
}

// What came for one request.
struct Received {
    std::map<int, std::string> text; // by output
    std::map<int, std::vector<Token>> tokens;
    std::map<int, FinishReason> finish;
    std::optional<Error> error;
    std::optional<RequestSummary> summary;
    int n_events = 0;
};

// A loop without a thread: tests take its steps.
class EngineFixture {
  public:
    explicit EngineFixture(DecoderTraits traits = small_traits(), EngineParams params = small_params())
        : decoder(traits), loop(decoder, vocab, params) {}
    ~EngineFixture() { CHECK_EQ(decoder.n_violations(), 0); }
    EngineFixture(const EngineFixture&) = delete;
    EngineFixture& operator=(const EngineFixture&) = delete;

    Request request(std::vector<Token> prompt, int max_tokens, int n_outputs = 1) const {
        Request made;
        made.prompt = std::move(prompt);
        for (int i = 0; i < n_outputs; i++) {
            made.samplers.push_back(std::make_unique<FakeSampler>(vocab.size() - 1));
        }
        made.max_tokens = max_tokens;
        made.events = events;
        return made;
    }

    uint64_t submit(Request request) {
        auto active = std::make_shared<ActiveRequest>();
        active->id = next_id_++;
        active->request = std::move(request);
        active->control = std::make_shared<RequestControl>(bell);
        active->submitted = Clock::now();
        controls[active->id] = active->control;
        loop.submit(active);
        return active->id;
    }

    uint64_t submit(std::vector<Token> prompt, int max_tokens, int n_outputs = 1) {
        return submit(request(std::move(prompt), max_tokens, n_outputs));
    }

    // Takes steps until nothing is left to do, at most `n_max`; says whether that is so.
    bool run(int n_max = 20000) {
        for (int i = 0; i < n_max; i++) {
            loop.expire();
            const bool has_computed = loop.step();
            receive();
            if (!has_computed && loop.is_empty()) {
                return true;
            }
        }
        return loop.is_empty();
    }

    void receive() {
        loop.flush();
        for (Event& event : events->take()) {
            Received& of = received[event.request];
            of.n_events++;
            of.text[event.output] += event.text;
            for (const Token token : event.tokens) {
                of.tokens[event.output].push_back(token);
            }
            if (event.finish) {
                of.finish[event.output] = *event.finish;
            }
            if (event.error) {
                of.error = *event.error;
            }
            if (event.summary) {
                of.summary = *event.summary;
            }
        }
    }

    FakeVocab vocab;
    FakeDecoder decoder;
    EngineLoop loop;
    std::shared_ptr<EventQueue> events = std::make_shared<EventQueue>();
    std::shared_ptr<Bell> bell = std::make_shared<Bell>();
    std::map<uint64_t, Received> received;
    std::map<uint64_t, std::shared_ptr<RequestControl>> controls;

  private:
    uint64_t next_id_ = 1;
};

// Tokens that differ from those of every other seed soon.
inline std::vector<Token> tokens_of(int n, uint32_t seed) {
    std::vector<Token> tokens;
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        tokens.push_back(static_cast<Token>((seed >> 16) % 250));
    }
    return tokens;
}

inline std::vector<Token> joined(std::vector<Token> a, const std::vector<Token>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

// What a request gives that is computed alone, without a cache.
inline std::vector<Token> expected_tokens(const std::vector<Token>& prompt, int max_tokens,
                                          MemoryKind memory = MemoryKind::attention) {
    EngineParams params = small_params();
    params.prefix_cache = false;
    EngineFixture alone(small_traits(memory), params);
    const uint64_t id = alone.submit(prompt, max_tokens);
    alone.run();
    return alone.received[id].tokens[0];
}

} // namespace inllama
