#include "check.h"
#include "engine_fixture.h"

#include <set>

using namespace inllama;

namespace {

const MemoryKind kKinds[] = {MemoryKind::attention, MemoryKind::window, MemoryKind::recurrent};

} // namespace

TEST("a request gives the tokens that follow its prompt, and ends at max_tokens") {
    EngineFixture engine;
    engine.decoder.next_token = [](const std::vector<Token>& tokens) { return tokens.back() + 1; };
    const uint64_t id = engine.submit({'a'}, 5);
    CHECK(engine.run());
    CHECK_EQ(engine.received[id].text[0], std::string("bcdef"));
    CHECK(engine.received[id].finish[0] == FinishReason::length);
    CHECK_EQ(engine.received[id].summary->n_completion, 5);
    CHECK_EQ(engine.received[id].summary->n_prompt, 1);
}

TEST("an output ends with a token that ends outputs, a stop token or a stop string") {
    EngineFixture engine;
    engine.decoder.next_token = [&](const std::vector<Token>& tokens) {
        return tokens.back() == 'e' ? engine.vocab.size() - 1 : tokens.back() + 1;
    };
    const uint64_t ends = engine.submit({'a'}, 50);
    Request with_token = engine.request({'a'}, 50);
    with_token.stop_tokens = {'d'};
    const uint64_t stops = engine.submit(std::move(with_token));
    Request with_text = engine.request({'a'}, 50);
    with_text.stops = {"cd"};
    const uint64_t matches = engine.submit(std::move(with_text));
    CHECK(engine.run());
    CHECK_EQ(engine.received[ends].text[0], std::string("bcde"));
    CHECK_EQ(engine.received[stops].text[0], std::string("bc"));
    CHECK_EQ(engine.received[matches].text[0], std::string("b"));
    for (const uint64_t id : {ends, stops, matches}) {
        CHECK(engine.received[id].finish[0] == FinishReason::stop);
    }
}

TEST("no token ends an output before min_tokens") {
    EngineFixture engine;
    engine.decoder.next_token = [&](const std::vector<Token>&) { return engine.vocab.size() - 1; };
    Request request = engine.request({'a'}, 50);
    request.min_tokens = 3;
    const uint64_t id = engine.submit(std::move(request));
    CHECK(engine.run());
    CHECK_EQ(engine.received[id].tokens[0].size(), size_t{3});
    CHECK(engine.received[id].finish[0] == FinishReason::stop);
}

TEST("a prefix of many requests is computed once") {
    for (const int n : {2, 16, 64}) {
        EngineFixture engine;
        const std::vector<Token> shared = tokens_of(100, 1);
        for (int i = 0; i < n; i++) {
            engine.submit(joined(shared, tokens_of(8, 100 + static_cast<uint32_t>(i))), 4);
        }
        CHECK(engine.run());
        const Stats stats = engine.loop.stats();
        CHECK_EQ(stats.n_prefill_rows, static_cast<uint64_t>(100 + 8 * n));
        CHECK_EQ(stats.n_cached_tokens, static_cast<uint64_t>(100 * (n - 1)));
    }
}

TEST("recurrent memory computes a prefix of requests that come together once") {
    EngineFixture engine(small_traits(MemoryKind::recurrent));
    const std::vector<Token> shared = tokens_of(100, 1);
    for (uint32_t i = 0; i < 16; i++) {
        engine.submit(joined(shared, tokens_of(8, 100 + i)), 4);
    }
    CHECK(engine.run());
    CHECK_EQ(engine.loop.stats().n_prefill_rows, static_cast<uint64_t>(100 + 8 * 16));
}

TEST("the prompt is shared by the outputs of one request") {
    EngineFixture engine;
    const uint64_t id = engine.submit(tokens_of(100, 3), 6, 8);
    CHECK(engine.run());
    // The last token of the prompt gives each output its first logits.
    CHECK_EQ(engine.loop.stats().n_prefill_rows, uint64_t{100 + 7});
    CHECK_EQ(engine.received[id].finish.size(), size_t{8});
    CHECK(engine.received[id].tokens[7] == engine.received[id].tokens[0]);
}

TEST("a conversation goes on where it ended") {
    EngineFixture engine;
    const std::vector<Token> first = tokens_of(60, 5);
    const uint64_t id = engine.submit(first, 10);
    CHECK(engine.run());
    const std::vector<Token> second = joined(joined(first, engine.received[id].tokens[0]), tokens_of(5, 6));
    const uint64_t next = engine.submit(second, 4);
    CHECK(engine.run());
    // All but the last generated token, which was never computed.
    CHECK_EQ(engine.received[next].summary->n_cached, 69);
}

TEST("output does not depend on what else runs or is cached") {
    for (const MemoryKind memory : kKinds) {
        for (const int rows : {1, 7, 64}) {
            EngineParams params = small_params();
            params.scheduler.step_rows = rows;
            EngineFixture engine(small_traits(memory), params);
            std::map<uint64_t, std::vector<Token>> prompts;
            for (uint32_t i = 0; i < 24; i++) {
                const std::vector<Token> prompt =
                    joined(tokens_of(20, i % 3), joined(tokens_of(10, i % 6), tokens_of(3, i)));
                prompts[engine.submit(prompt, 12)] = prompt;
            }
            CHECK(engine.run());
            for (const auto& [id, prompt] : prompts) {
                CHECK(engine.received[id].tokens[0] == expected_tokens(prompt, 12, memory));
            }
        }
    }
}

TEST("namespaces share nothing") {
    EngineFixture engine;
    const std::vector<Token> prompt = tokens_of(80, 9);
    for (const char* name : {"a", "b", ""}) {
        Request request = engine.request(prompt, 2);
        request.salt = name;
        engine.submit(std::move(request));
    }
    CHECK(engine.run());
    CHECK_EQ(engine.loop.stats().n_prefill_rows, uint64_t{3 * 80});
    CHECK_EQ(engine.loop.stats().n_cached_tokens, uint64_t{0});
}

TEST("without a prefix cache everything is computed and nothing stays") {
    EngineParams params = small_params();
    params.prefix_cache = false;
    EngineFixture engine(small_traits(), params);
    for (int i = 0; i < 3; i++) {
        engine.submit(tokens_of(50, 1), 3);
    }
    CHECK(engine.run());
    CHECK_EQ(engine.loop.stats().n_prefill_rows, uint64_t{150});
    CHECK_EQ(engine.decoder.n_cells_used(), 0);
}

TEST("a long prompt does not stop those that are decoding") {
    EngineFixture engine;
    const uint64_t running = engine.submit(tokens_of(4, 1), 40);
    while (engine.received[running].tokens[0].size() < 3) {
        engine.loop.step();
        engine.receive();
    }
    engine.submit(tokens_of(200, 2), 4);
    for (int i = 0; i < 10; i++) {
        const size_t n_before = engine.received[running].tokens[0].size();
        engine.loop.step();
        engine.receive();
        CHECK(engine.received[running].tokens[0].size() >= n_before);
    }
    // At most one of these steps held its text back.
    CHECK(engine.received[running].tokens[0].size() >= 11);
    CHECK(engine.run());
}

TEST("a cancelled request ends at once and leaves what it computed") {
    EngineFixture engine;
    const std::vector<Token> prompt = tokens_of(60, 4);
    const uint64_t id = engine.submit(prompt, 100);
    engine.loop.step();
    engine.loop.step();
    engine.loop.cancel(id);
    engine.receive();
    CHECK(engine.received[id].finish[0] == FinishReason::cancelled);
    CHECK_EQ(engine.loop.stats().n_running, 0);
    const uint64_t again = engine.submit(prompt, 2);
    CHECK(engine.run());
    CHECK_EQ(engine.received[again].summary->n_cached, 59);
}

TEST("a reader that does not read stops its own request alone") {
    EngineFixture engine;
    engine.decoder.next_token = [](const std::vector<Token>&) { return Token{'x'}; };
    Request slow = engine.request({'a'}, 50);
    slow.n_unread_max = 4;
    slow.events = std::make_shared<EventQueue>();
    const auto slow_events = slow.events;
    engine.submit(std::move(slow));
    const uint64_t quick = engine.submit({'b'}, 50);
    for (int i = 0; i < 100; i++) {
        engine.loop.step();
        engine.receive();
    }
    CHECK(engine.received[quick].finish.count(0) == 1);
    CHECK(!engine.loop.is_empty());
    size_t n = 0;
    while (!engine.loop.is_empty()) {
        for (const Event& event : slow_events->take()) {
            n += event.tokens.size();
        }
        engine.loop.step();
        engine.loop.flush();
    }
    for (const Event& event : slow_events->take()) {
        n += event.tokens.size();
    }
    CHECK_EQ(n, size_t{50});
}

TEST("a deadline ends a request that waits or runs") {
    EngineFixture engine;
    Request request = engine.request(tokens_of(10, 1), 100);
    request.deadline = Clock::now();
    const uint64_t late = engine.submit(std::move(request));
    const uint64_t other = engine.submit(tokens_of(10, 2), 5);
    CHECK(engine.run());
    CHECK(engine.received[late].error->kind() == ErrorKind::DeadlineError);
    CHECK(engine.received[other].finish[0] == FinishReason::length);
}

TEST("more requests than memory holds are computed by turns") {
    DecoderTraits traits = small_traits();
    traits.n_cells = 100;
    traits.n_positions = 100;
    EngineFixture engine(traits);
    std::map<uint64_t, std::vector<Token>> prompts;
    for (uint32_t i = 0; i < 6; i++) {
        prompts[engine.submit(tokens_of(30, i), 60)] = tokens_of(30, i);
    }
    CHECK(engine.run());
    CHECK(engine.loop.stats().n_preemptions > 0);
    for (const auto& [id, prompt] : prompts) {
        CHECK(engine.received[id].tokens[0] == expected_tokens(prompt, 60));
        CHECK(!engine.received[id].error);
    }
}

TEST("an output ends when the longest sequence is reached") {
    DecoderTraits traits = small_traits();
    traits.n_positions = 20;
    EngineFixture engine(traits);
    const uint64_t id = engine.submit(tokens_of(15, 1), 100);
    CHECK(engine.run());
    CHECK_EQ(engine.received[id].tokens[0].size(), size_t{5});
    CHECK(engine.received[id].finish[0] == FinishReason::length);
}

TEST("a higher priority goes first, and waiting makes up for it") {
    EngineParams params = small_params();
    params.scheduler.max_running = 1;
    EngineFixture engine(small_traits(), params);
    std::vector<uint64_t> order;
    std::map<uint64_t, int> priorities;
    for (const int priority : {0, 5, 3}) {
        Request request = engine.request(tokens_of(10, static_cast<uint32_t>(priority)), 2);
        request.priority = priority;
        priorities[engine.submit(std::move(request))] = priority;
    }
    std::set<uint64_t> seen;
    while (!engine.loop.is_empty()) {
        engine.loop.step();
        engine.receive();
        for (const auto& [id, got] : engine.received) {
            if (got.summary && seen.insert(id).second) {
                order.push_back(id);
            }
        }
    }
    CHECK_EQ(priorities[order[0]], 5);
    CHECK_EQ(priorities[order[1]], 3);
    CHECK_EQ(priorities[order[2]], 0);
}

TEST("readers that do not read keep nobody else from running") {
    EngineFixture engine;
    engine.decoder.next_token = [](const std::vector<Token>&) { return Token{'x'}; };
    const auto unread = std::make_shared<EventQueue>();
    for (uint32_t i = 0; i < 6; i++) {
        Request slow = engine.request(tokens_of(5, i), 50);
        slow.n_unread_max = 2;
        slow.events = unread;
        engine.submit(std::move(slow));
    }
    const uint64_t quick = engine.submit({'b'}, 50);
    for (int i = 0; i < 300; i++) {
        engine.loop.step();
        engine.receive();
    }
    CHECK(engine.received[quick].finish.count(0) == 1);
    std::map<uint64_t, size_t> n;
    while (!engine.loop.is_empty()) {
        for (const Event& event : unread->take()) {
            n[event.request] += event.tokens.size();
        }
        engine.loop.step();
        engine.loop.flush();
    }
    for (const Event& event : unread->take()) {
        n[event.request] += event.tokens.size();
    }
    CHECK_EQ(n.size(), size_t{6});
    for (const auto& [id, n_tokens] : n) {
        CHECK_EQ(n_tokens, size_t{50});
    }
}

TEST("a reader that does not read gives its memory to others") {
    DecoderTraits traits = small_traits();
    traits.n_cells = 100;
    traits.n_positions = 100;
    EngineFixture engine(traits);
    engine.decoder.next_token = [](const std::vector<Token>&) { return Token{'x'}; };
    Request slow = engine.request(tokens_of(5, 1), 90);
    slow.n_unread_max = 50;
    slow.events = std::make_shared<EventQueue>();
    const auto unread = slow.events;
    engine.submit(std::move(slow));
    const uint64_t quick = engine.submit(tokens_of(5, 1), 80);
    for (int i = 0; i < 300; i++) {
        engine.loop.step();
        engine.receive();
    }
    CHECK(engine.received[quick].finish.count(0) == 1);
    size_t n = 0;
    while (!engine.loop.is_empty()) {
        for (const Event& event : unread->take()) {
            n += event.tokens.size();
        }
        engine.loop.step();
        engine.loop.flush();
    }
    for (const Event& event : unread->take()) {
        n += event.tokens.size();
    }
    CHECK_EQ(n, size_t{90});
}
