// Prefixes that are evicted and come back, saved and loaded.
#include "check.h"
#include "engine_fixture.h"

#include <filesystem>
#include <random>

using namespace inllama;

namespace {

DecoderTraits traits_of(MemoryKind memory, int n_cells = 512) {
    DecoderTraits traits = small_traits(memory);
    traits.identity = "model=1 k=f16";
    traits.n_cells = n_cells;
    traits.n_positions = std::min(traits.n_positions, n_cells);
    return traits;
}

EngineParams with_store(uint64_t n_bytes, const std::string& folder = "") {
    EngineParams params = small_params();
    params.store.max_memory_bytes = n_bytes;
    params.store.folder = folder;
    params.store.max_file_bytes = folder.empty() ? 0 : 1 << 20;
    params.store.least_tokens = 4;
    return params;
}

struct Answer {
    std::shared_ptr<std::vector<uint8_t>> state;
    int n_tokens = 0;
    std::optional<Error> error;
};

Answer exchange(EngineFixture& with, StateRequest request) {
    const auto events = std::make_shared<EventQueue>();
    auto active = std::make_shared<ActiveState>();
    active->request = std::move(request);
    active->request.events = events;
    active->control = std::make_shared<RequestControl>(with.bell);
    with.loop.exchange(active);
    with.loop.flush();
    const std::vector<Event> got = events->take();
    CHECK_EQ(got.size(), size_t{1});
    Answer answer{got[0].state, got[0].summary->n_prompt, {}};
    if (got[0].error) {
        answer.error = *got[0].error;
    }
    return answer;
}

Answer saved(EngineFixture& with, const std::vector<Token>& tokens) {
    StateRequest request;
    request.tokens = tokens;
    return exchange(with, std::move(request));
}

Answer loaded(EngineFixture& with, const std::vector<uint8_t>& state) {
    StateRequest request;
    request.prefix = std::make_shared<const SavedPrefix>(
        decode_prefix({reinterpret_cast<const char*>(state.data()), state.size()}));
    return exchange(with, std::move(request));
}

constexpr MemoryKind kKinds[] = {MemoryKind::attention, MemoryKind::window, MemoryKind::recurrent};

} // namespace

TEST("a prefix that was evicted comes back instead of being computed") {
    for (const MemoryKind kind : kKinds) {
        EngineFixture with(traits_of(kind, 120), with_store(1 << 20));
        const std::vector<Token> first = tokens_of(60, 1);
        const uint64_t begun = with.submit(first, 4);
        CHECK(with.run());
        std::vector<Token> longer = joined(first, with.received[begun].tokens[0]);
        for (uint32_t seed = 2; seed < 6; seed++) { // for recurrent memory until its ids are used up
            for (int i = 0; i < (kind == MemoryKind::recurrent ? 3 : 1); i++) {
                with.submit(tokens_of(60, 100 * seed + static_cast<uint32_t>(i)), 4);
                CHECK(with.run());
            }
        }
        longer.push_back(7);
        const uint64_t again = with.submit(longer, 8);
        CHECK(with.run());
        CHECK(with.loop.stats().n_recalled_tokens >= 60);
        CHECK(with.received[again].summary->n_cached >= 60);
        CHECK(with.received[again].tokens[0] == expected_tokens(longer, 8, kind));
    }
}

TEST("without a store it is computed again") {
    EngineFixture with(traits_of(MemoryKind::attention, 120));
    const std::vector<Token> first = tokens_of(60, 1);
    for (const uint32_t seed : {1u, 2u, 3u, 1u}) {
        with.submit(tokens_of(60, seed), 4);
        CHECK(with.run());
    }
    CHECK_EQ(with.received[4].summary->n_cached, 0);
    CHECK_EQ(with.loop.stats().n_recalled_tokens, uint64_t{0});
}

TEST("only the part that fits the prompt is kept of a longer one that comes back") {
    EngineFixture with(traits_of(MemoryKind::attention, 120), with_store(1 << 20));
    const std::vector<Token> first = tokens_of(60, 1);
    with.submit(first, 4);
    CHECK(with.run());
    with.submit(tokens_of(100, 2), 4);
    CHECK(with.run());
    const std::vector<Token> other = joined({first.begin(), first.begin() + 40}, tokens_of(10, 9));
    const uint64_t id = with.submit(other, 6);
    CHECK(with.run());
    CHECK_EQ(with.received[id].summary->n_cached, 40);
    CHECK(with.received[id].tokens[0] == expected_tokens(other, 6));
}

TEST("a stored prefix that is refused is not tried again") {
    EngineFixture with(traits_of(MemoryKind::attention, 120), with_store(1 << 20));
    with.submit(tokens_of(60, 1), 4);
    CHECK(with.run());
    with.submit(tokens_of(100, 2), 4);
    CHECK(with.run());
    int n_loads = 0;
    with.decoder.interference = [&](const char* name) {
        if (std::string(name) == "load") {
            n_loads++;
            throw std::runtime_error("no");
        }
    };
    for (int i = 0; i < 2; i++) {
        const uint64_t id = with.submit(joined(tokens_of(60, 1), {static_cast<Token>(3 + i)}), 3);
        CHECK(with.run());
        CHECK(!with.received[id].error);
    }
    CHECK_EQ(n_loads, 1);
}

TEST("what an engine had is there for the next one, in files") {
    const auto folder =
        std::filesystem::temp_directory_path() / ("inllama-state-" + std::to_string(std::random_device()()));
    const std::vector<Token> first = tokens_of(60, 1);
    {
        EngineFixture with(traits_of(MemoryKind::attention), with_store(0, folder.string()));
        with.submit(first, 4);
        CHECK(with.run());
        with.loop.store_prefixes();
    }
    EngineFixture with(traits_of(MemoryKind::attention), with_store(0, folder.string()));
    const uint64_t id = with.submit(joined(first, {3}), 6);
    CHECK(with.run());
    CHECK_EQ(with.received[id].summary->n_cached, 60);
    CHECK(with.received[id].tokens[0] == expected_tokens(joined(first, {3}), 6));
    std::filesystem::remove_all(folder);
}

TEST("a saved prefix goes on in another engine as in its own") {
    for (const MemoryKind kind : kKinds) {
        EngineFixture with(traits_of(kind));
        const std::vector<Token> first = tokens_of(60, 1);
        const uint64_t begun = with.submit(first, 5);
        CHECK(with.run());
        std::vector<Token> longer = joined(first, with.received[begun].tokens[0]);
        const Answer answer = saved(with, longer);
        CHECK(!answer.error);
        CHECK_EQ(answer.n_tokens, 64); // the last token was never computed
        EngineFixture other(traits_of(kind));
        const Answer back = loaded(other, *answer.state);
        CHECK_EQ(back.n_tokens, 64);
        longer.push_back(9);
        const uint64_t id = other.submit(longer, 8);
        CHECK(other.run());
        CHECK_EQ(other.received[id].summary->n_cached, 64);
        CHECK(other.received[id].tokens[0] == expected_tokens(longer, 8, kind));
    }
}

TEST("what was never computed cannot be saved, and is no error") {
    EngineFixture with(traits_of(MemoryKind::attention));
    const Answer answer = saved(with, tokens_of(9, 1));
    CHECK(!answer.error);
    CHECK_EQ(answer.n_tokens, 0);
}

TEST("a state of another decoder, or for a memory without states, is refused") {
    EngineFixture with(traits_of(MemoryKind::attention));
    with.submit(tokens_of(60, 1), 4);
    CHECK(with.run());
    const Answer answer = saved(with, tokens_of(60, 1));
    DecoderTraits changed = traits_of(MemoryKind::attention);
    changed.identity = "model=1 k=q8_0";
    EngineFixture other(changed);
    const Answer refused = loaded(other, *answer.state);
    CHECK(refused.error && refused.error->kind() == ErrorKind::StateError);
    CHECK(refused.error && std::string(refused.error->what()).find("another k") != std::string::npos);
    EngineFixture whole(traits_of(MemoryKind::whole));
    CHECK(saved(whole, tokens_of(60, 1)).error->kind() == ErrorKind::UnsupportedError);
    other.submit(tokens_of(9, 1), 3);
    CHECK(other.run());
}

TEST("a state for which memory has no room is not loaded, and running requests go on") {
    EngineFixture with(traits_of(MemoryKind::attention));
    with.submit(tokens_of(100, 1), 4);
    CHECK(with.run());
    const Answer answer = saved(with, tokens_of(100, 1));
    EngineFixture small(traits_of(MemoryKind::attention, 120));
    small.submit(tokens_of(20, 3), 1);
    CHECK(small.run());
    const uint64_t running = small.submit(tokens_of(60, 2), 30);
    for (int i = 0; i < 15; i++) {
        small.loop.step();
    }
    CHECK_EQ(loaded(small, *answer.state).n_tokens, 0);
    CHECK_EQ(small.loop.stats().n_cached_sequences, 1); // nothing was evicted for nothing
    CHECK(small.run());
    CHECK(small.received[running].tokens[0] == expected_tokens(tokens_of(60, 2), 30));
}

TEST("a state that is loaded twice is there once") {
    EngineFixture with(traits_of(MemoryKind::attention));
    with.submit(tokens_of(60, 1), 4);
    CHECK(with.run());
    const Answer answer = saved(with, tokens_of(60, 1));
    const int n_used = with.loop.stats().n_cells_used;
    CHECK_EQ(loaded(with, *answer.state).n_tokens, 60);
    CHECK_EQ(with.loop.stats().n_cells_used, n_used);
}

TEST("prefixes with adapters and salts come back to their own only") {
    EngineFixture with(traits_of(MemoryKind::attention));
    const auto adapters = std::make_shared<const AdapterSet>("1=1;");
    Request request = with.request(tokens_of(60, 1), 4);
    request.adapters = adapters;
    request.salt = "s";
    with.submit(std::move(request));
    CHECK(with.run());
    CHECK_EQ(saved(with, tokens_of(60, 1)).n_tokens, 0);
    StateRequest asked;
    asked.tokens = tokens_of(60, 1);
    asked.adapters = adapters;
    asked.salt = "s";
    CHECK_EQ(exchange(with, asked).n_tokens, 60);
}
