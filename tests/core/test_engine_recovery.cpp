#include "check.h"
#include "engine_fixture.h"

#include <algorithm>
#include <random>
#include <stdexcept>
#include <string>

using namespace inllama;

namespace {

struct Run {
    EngineFixture engine;
    std::map<uint64_t, std::vector<Token>> prompts;

    explicit Run(MemoryKind memory = MemoryKind::attention) : engine(small_traits(memory)) {}

    void submit(uint32_t n) {
        for (uint32_t i = 0; i < n; i++) {
            const std::vector<Token> prompt = joined(tokens_of(20, 1), tokens_of(6, 50 + i));
            prompts[engine.submit(prompt, 10)] = prompt;
        }
    }

    void check_all_complete(MemoryKind memory = MemoryKind::attention) {
        for (const auto& [id, prompt] : prompts) {
            CHECK(!engine.received[id].error);
            CHECK(engine.received[id].tokens[0] == expected_tokens(prompt, 10, memory));
        }
    }
};

const DecodeStatus kFailures[] = {DecodeStatus::no_room, DecodeStatus::aborted, DecodeStatus::invalid,
                                  DecodeStatus::no_memory, DecodeStatus::failed};

} // namespace

TEST("one failed step changes nobody's output, whatever the failure and the step") {
    for (const MemoryKind memory : {MemoryKind::attention, MemoryKind::window, MemoryKind::recurrent}) {
        for (int failing = 0; failing < 20; failing++) {
            for (size_t kind = 0; kind <= std::size(kFailures); kind++) {
                Run run(memory);
                run.engine.decoder.script = [&](int step, const std::vector<StepRow>&) {
                    FakeOutcome outcome;
                    if (step == failing) {
                        outcome.throws = kind == std::size(kFailures);
                        outcome.status = outcome.throws ? DecodeStatus::ok : kFailures[kind];
                    }
                    return outcome;
                };
                run.submit(3);
                CHECK(run.engine.run());
                run.check_all_complete(memory);
            }
        }
    }
}

TEST("a request that always fails ends alone with its error") {
    for (const DecodeStatus status : {DecodeStatus::invalid, DecodeStatus::failed}) {
        Run run;
        constexpr Token kPoison = 251;
        run.engine.decoder.script = [&](int, const std::vector<StepRow>& rows) {
            FakeOutcome outcome;
            for (const StepRow& row : rows) {
                outcome.status = row.token == kPoison && row.position == 20 ? status : outcome.status;
            }
            return outcome;
        };
        run.submit(3);
        const uint64_t poisoned = run.engine.submit(joined(tokens_of(20, 1), {kPoison, 7}), 10);
        CHECK(run.engine.run());
        CHECK(run.engine.received[poisoned].error.has_value());
        CHECK(run.engine.received[poisoned].error->kind() == ErrorKind::DecodeError);
        run.check_all_complete();
    }
}

TEST("a request that always fails ends soon, also if the steps before the bad one succeed each time") {
    for (const DecodeStatus status : {DecodeStatus::invalid, DecodeStatus::no_memory, DecodeStatus::failed}) {
        for (const Position bad : {45, 59, 62}) { // in the prompt, its last token, in the output
            EngineParams params = small_params();
            params.scheduler.step_rows = 8;
            EngineFixture engine(small_traits(), params);
            int n_failed = 0;
            engine.decoder.script = [&](int, const std::vector<StepRow>& rows) {
                const bool is_bad = std::any_of(rows.begin(), rows.end(),
                                                [&](const StepRow& row) { return row.position == bad; });
                n_failed += is_bad ? 1 : 0;
                return FakeOutcome{is_bad ? status : DecodeStatus::ok};
            };
            std::map<uint64_t, std::vector<Token>> others;
            for (uint32_t i = 0; i < 3; i++) {
                const std::vector<Token> prompt = tokens_of(20, 70 + i);
                others[engine.submit(prompt, 15)] = prompt;
            }
            Request request = engine.request(tokens_of(60, 1), 10);
            request.min_tokens = 10;
            const uint64_t poisoned = engine.submit(std::move(request));
            CHECK(engine.run(2000));
            CHECK(n_failed <= 12);
            CHECK(engine.received[poisoned].error.has_value());
            CHECK(engine.received[poisoned].error->kind() == ErrorKind::DecodeError);
            for (const auto& [id, prompt] : others) {
                CHECK(engine.received[id].tokens[0] == expected_tokens(prompt, 15));
            }
        }
    }
}

TEST("memory without room for several requests is tried with one of them alone") {
    EngineFixture engine;
    int n_failed = 0;
    engine.decoder.script = [&](int, const std::vector<StepRow>&) {
        n_failed++;
        return FakeOutcome{n_failed <= 300 ? DecodeStatus::no_room : DecodeStatus::ok};
    };
    std::vector<uint64_t> ids;
    for (uint32_t i = 0; i < 3; i++) {
        ids.push_back(engine.submit(tokens_of(20, 400 + i), 5));
    }
    CHECK(engine.run(2000));
    CHECK(n_failed <= 12);
    for (const uint64_t id : ids) {
        CHECK(engine.received[id].error->kind() == ErrorKind::ContextFullError);
    }
}

TEST("an exception from any call of the decoder changes nobody's output") {
    for (const MemoryKind memory : {MemoryKind::attention, MemoryKind::window, MemoryKind::recurrent}) {
        for (const char* name : {"logits", "copy", "remove", "clear", "pos_min", "pos_max"}) {
            for (int failing = 0; failing < 8; failing++) {
                Run run(memory);
                int n = 0;
                run.engine.decoder.interference = [&](const char* called) {
                    if (std::string(called) == name && n++ == failing) {
                        throw std::runtime_error("out of the blue");
                    }
                };
                run.submit(3);
                CHECK(run.engine.run());
                run.check_all_complete(memory);
            }
        }
    }
}

TEST("exceptions without end leave no request without an end, and the engine usable") {
    for (const char* name : {"logits", "copy", "remove", "clear"}) {
        Run run;
        run.engine.decoder.interference = [&](const char* called) {
            if (std::string(called) == name) {
                throw std::runtime_error("out of the blue");
            }
        };
        run.submit(5);
        CHECK(run.engine.run(5000));
        int n_errors = 0;
        for (const auto& [id, prompt] : run.prompts) {
            CHECK(run.engine.received[id].summary.has_value());
            n_errors += run.engine.received[id].error ? 1 : 0;
        }
        CHECK(std::string(name) != "logits" || n_errors == 5);
        run.engine.decoder.interference = nullptr;
        const uint64_t next = run.engine.submit(tokens_of(9, 5), 4);
        CHECK(run.engine.run());
        CHECK(run.engine.received[next].tokens[0] == expected_tokens(tokens_of(9, 5), 4));
    }
}

TEST("a prompt that cannot be encoded ends alone, and those behind it have their turn") {
    DecoderTraits traits = small_traits(MemoryKind::whole);
    traits.has_encoder = true;
    traits.n_run_ids = 1;
    traits.n_ids = 1;
    EngineFixture engine(traits);
    int n = 0;
    engine.decoder.interference = [&](const char* name) {
        if (std::string(name) == "encode" && n++ < 2) {
            throw std::runtime_error("no");
        }
    };
    std::vector<uint64_t> ids;
    for (uint32_t i = 0; i < 4; i++) {
        ids.push_back(engine.submit(tokens_of(5, i), 3));
    }
    // Whoever sleeps when there is nothing to do is not woken by an end.
    while (!engine.loop.is_empty()) {
        CHECK(engine.loop.step());
        engine.receive();
        if (check::n_failed > 0) {
            break;
        }
    }
    CHECK(engine.received[ids[0]].error && engine.received[ids[1]].error);
    CHECK_EQ(engine.received[ids[2]].tokens[0].size(), size_t{3});
    CHECK_EQ(engine.received[ids[3]].tokens[0].size(), size_t{3});
}

TEST("a decoder that always fails ends every request with an error") {
    for (const DecodeStatus status : {DecodeStatus::invalid, DecodeStatus::no_memory, DecodeStatus::failed}) {
        Run run;
        run.engine.decoder.script = [&](int, const std::vector<StepRow>&) { return FakeOutcome{status}; };
        run.submit(5);
        CHECK(run.engine.run());
        for (const auto& [id, prompt] : run.prompts) {
            CHECK(run.engine.received[id].error.has_value());
        }
        CHECK_EQ(run.engine.decoder.n_cells_used(), 0);
    }
}

TEST("memory that has no room although nothing is in it is the request's error") {
    Run run;
    run.engine.decoder.script = [&](int, const std::vector<StepRow>&) {
        return FakeOutcome{DecodeStatus::no_room};
    };
    run.submit(2);
    CHECK(run.engine.run());
    for (const auto& [id, prompt] : run.prompts) {
        CHECK(run.engine.received[id].error->kind() == ErrorKind::ContextFullError);
    }
}

TEST("a sampler that throws ends its own request") {
    struct Throwing : RowSampler {
        void accept_prompt(const std::vector<Token>&) override {}
        Token choose(const float*, size_t, bool) override {
            throw Error(ErrorKind::GrammarError, "it broke");
        }
    };
    Run run;
    run.submit(2);
    Request request = run.engine.request(tokens_of(10, 3), 5, 2);
    request.samplers[1] = std::make_unique<Throwing>();
    const uint64_t bad = run.engine.submit(std::move(request));
    CHECK(run.engine.run());
    CHECK(run.engine.received[bad].error->kind() == ErrorKind::GrammarError);
    run.check_all_complete();
}

TEST("random requests, cancels and failures leave nothing behind") {
    for (const MemoryKind memory :
         {MemoryKind::attention, MemoryKind::window, MemoryKind::recurrent, MemoryKind::whole}) {
        std::mt19937 random(7);
        const auto one_of = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
        DecoderTraits traits = small_traits(memory);
        traits.n_cells = memory == MemoryKind::recurrent ? 100000 : 300;
        EngineFixture engine(traits);
        engine.decoder.script = [&](int, const std::vector<StepRow>&) {
            FakeOutcome outcome;
            if (one_of(40) == 0) {
                const uint32_t kind = one_of(6);
                outcome.throws = kind == 5;
                outcome.status = kind < 5 ? kFailures[kind] : DecodeStatus::ok;
            }
            return outcome;
        };
        std::vector<uint64_t> ids;
        int n_operations = 0;
        while (n_operations < 10000) {
            n_operations++;
            const uint32_t what = one_of(10);
            if (what < 3 && engine.loop.n_requests() < 12) {
                const std::vector<Token> prompt =
                    joined(tokens_of(static_cast<int>(one_of(40)) + 1, one_of(4)),
                           tokens_of(static_cast<int>(one_of(30)), one_of(9)));
                Request request =
                    engine.request(prompt, static_cast<int>(one_of(30)) + 1, static_cast<int>(one_of(3)) + 1);
                request.salt = one_of(5) == 0 ? "other" : "";
                request.priority = static_cast<int>(one_of(3));
                ids.push_back(engine.submit(std::move(request)));
            } else if (what == 3 && !ids.empty()) {
                engine.loop.cancel(ids[one_of(static_cast<uint32_t>(ids.size()))]);
            } else {
                engine.loop.step();
            }
            engine.receive();
            if (memory == MemoryKind::attention) {
                CHECK_EQ(engine.loop.stats().n_cells_used, engine.decoder.n_cells_used());
            }
        }
        engine.decoder.script = nullptr;
        CHECK(engine.run());
        for (const uint64_t id : ids) {
            const Received& got = engine.received[id];
            CHECK(got.summary.has_value());
            CHECK(got.error.has_value() || !got.finish.empty());
            CHECK_EQ(engine.controls[id]->n_unread.load(), 0);
        }
        const Stats stats = engine.loop.stats();
        CHECK_EQ(stats.n_running + stats.n_waiting, 0);
        // Whoever comes now finds every id and cell.
        Request request = engine.request(tokens_of(150, 77), 100);
        request.min_tokens = 100;
        const uint64_t last = engine.submit(std::move(request));
        CHECK(engine.run());
        CHECK_EQ(engine.received[last].tokens[0].size(), size_t{100});
    }
}
