#include "core/prefix_cache.h"

#include "tests/core/cache_model.h"
#include "tests/core/check.h"

using namespace inllama;

namespace {

const MemoryKind kKinds[] = {MemoryKind::attention, MemoryKind::window, MemoryKind::recurrent};

std::vector<Token> first(const std::vector<Token>& tokens, int n) {
    return {tokens.begin(), tokens.begin() + n};
}

} // namespace

TEST("a text that goes on where another ended computes only what is new") {
    for (const MemoryKind kind : kKinds) {
        Cached with(kind);
        const std::vector<Token> text = tokens_of(40, 1);
        CHECK_EQ(with.compute(text), 0);
        CHECK_EQ(with.compute(joined(text, {1, 2, 3})), 40);
        CHECK_EQ(with.cache.n_used(), 43);
        CHECK_EQ(with.memory.n_cells_used(), 43);
    }
}

TEST("attention memory shares any prefix") {
    Cached with(MemoryKind::attention);
    const std::vector<Token> text = tokens_of(40, 1);
    with.compute(text);
    for (const int n : {1, 17, 39}) {
        CHECK_EQ(with.compute(joined(first(text, n), {251, 252})), n);
    }
    CHECK_EQ(with.cache.n_used(), 40 + 3 * 2);
}

TEST("window memory shares a prefix only where the window before its end is still there") {
    Cached with(MemoryKind::window);
    const std::vector<Token> text = tokens_of(40, 1);
    with.compute(text);
    // The window of 8 that follows position n begins at n - 7, and the last row saw 32 to 39.
    CHECK_EQ(with.match(joined(first(text, 38), {251})), 0);
    CHECK_EQ(with.match(joined(first(text, 39), {251})), 39);
    CHECK_EQ(with.cache.known("", text, 20), 20);
    const std::vector<Token> short_text = tokens_of(8, 2);
    with.compute(short_text);
    CHECK_EQ(with.match(joined(first(short_text, 5), {251})), 5);
}

TEST("recurrent memory shares a sequence only as it is") {
    Cached with(MemoryKind::recurrent);
    const std::vector<Token> text = tokens_of(40, 1);
    const SequenceId run = with.open(text);
    with.append(run, first(text, 25));
    with.cache.snapshot(run);
    with.append(run, {text.begin() + 25, text.end()});
    CHECK_EQ(with.match(first(text, 24)), 0);
    CHECK_EQ(with.match(first(text, 25)), 25);
    CHECK_EQ(with.match(first(text, 39)), 25);
    CHECK_EQ(with.cache.known("", text, 39), 39);
    CHECK_EQ(with.match(joined(text, {1})), 40);
    with.close(run, false);
    CHECK_EQ(with.match(joined(text, {1})), 25);
    CHECK_EQ(with.cache.n_used(), 25);
}

TEST("what a running sequence has computed is shared before it ends") {
    Cached with(MemoryKind::attention);
    const std::vector<Token> text = tokens_of(30, 1);
    const SequenceId run = with.open(text);
    with.append(run, first(text, 20));
    CHECK_EQ(with.compute(text), 20);
    with.append(run, {7});
    CHECK_EQ(with.cache.n_used(), 31);
    CHECK_EQ(with.cache.length(run), 21);
}

TEST("no more is shared than the limit allows") {
    for (const MemoryKind kind : kKinds) {
        Cached with(kind);
        const std::vector<Token> text = tokens_of(20, 1);
        with.compute(text);
        CHECK_EQ(with.cache.match("", text, 0).n, 0);
        CHECK_EQ(with.cache.match("", text, 19).n, kind == MemoryKind::recurrent ? 0 : 19);
        CHECK_EQ(with.cache.match("", text, 20).n, 20);
    }
}

TEST("namespaces share no cell of the same text") {
    for (const MemoryKind kind : kKinds) {
        Cached with(kind);
        const std::vector<Token> text = tokens_of(30, 1);
        for (const char* name : {"", "a", "b"}) {
            CHECK_EQ(with.match(text, name), 0);
            CHECK_EQ(with.cache.known(name, text, 30), 0);
            CHECK_EQ(with.compute(text, name), 0);
            CHECK_EQ(with.match(text, name), 30);
        }
        CHECK_EQ(with.memory.n_cells_used(), 90);
    }
}

TEST("a sequence that is not kept leaves nothing, but for what others share") {
    for (const MemoryKind kind : kKinds) {
        Cached with(kind);
        const std::vector<Token> text = tokens_of(30, 1);
        with.compute(text, "", false);
        CHECK_EQ(with.memory.n_cells_used(), 0);
        with.compute(text);
        with.compute(joined(text, {1, 2}), "", false);
        CHECK_EQ(with.memory.n_cells_used(), 30);
        CHECK_EQ(with.match(joined(text, {1, 2})), 30);
    }
}

TEST("what was used longest ago is evicted first, and being shared is a use") {
    for (const MemoryKind kind : kKinds) {
        Cached with(kind);
        for (const uint32_t seed : {1, 2, 3}) {
            with.compute(tokens_of(20, seed));
        }
        with.compute(joined(tokens_of(20, 1), {5}));
        for (const uint32_t seed : {2, 3}) {
            CHECK_EQ(with.match(tokens_of(20, seed)), 20);
            CHECK(with.cache.evict_one());
            CHECK_EQ(with.match(tokens_of(20, seed)), 0);
        }
        CHECK_EQ(with.match(joined(tokens_of(20, 1), {5, 6})), 21);
        while (with.cache.evict_one()) {
        }
        CHECK_EQ(with.cache.n_evicted(), uint64_t{61});
    }
}

TEST("the end of a text is evicted before its beginning, which others may begin with") {
    Cached with(MemoryKind::attention);
    const std::vector<Token> text = tokens_of(30, 1);
    with.compute(text);
    with.compute(joined(first(text, 20), {251}));
    CHECK(with.cache.evict_one());
    CHECK_EQ(with.match(text), 20);
    CHECK_EQ(with.cache.n_used(), 21);
    CHECK(with.cache.evict_one());
    CHECK_EQ(with.match(text), 20);
    CHECK_EQ(with.cache.n_used(), 20);
    CHECK(with.cache.evict_one());
    CHECK_EQ(with.cache.n_used(), 0);
}

TEST("cells of a running sequence are not evicted") {
    for (const MemoryKind kind : kKinds) {
        Cached with(kind, 50);
        with.compute(tokens_of(20, 1));
        const SequenceId run = with.open(joined(tokens_of(20, 1), {5}));
        with.append(run, {5, 6});
        with.compute(tokens_of(10, 2));
        CHECK_EQ(with.cache.n_evictable(), 10);
        CHECK(!with.cache.make_room(29));
        CHECK_EQ(with.cache.n_used(), 22);
        CHECK_EQ(with.memory.pos_max(run), 21);
        with.close(run, false);
        CHECK(with.cache.make_room(50));
        CHECK_EQ(with.cache.n_used(), 0);
    }
}

TEST("room is made by evicting no more than is needed") {
    Cached with(MemoryKind::attention, 100);
    for (uint32_t seed = 0; seed < 5; seed++) {
        with.compute(tokens_of(20, seed));
    }
    CHECK(with.cache.make_room(21));
    CHECK_EQ(with.cache.n_used(), 60);
    CHECK(with.cache.make_room(40));
    CHECK_EQ(with.cache.n_used(), 60);
    CHECK_EQ(with.match(tokens_of(20, 2)), 20);
}

TEST("a match says how many of its cells nobody uses now") {
    Cached with(MemoryKind::attention);
    const std::vector<Token> text = tokens_of(30, 1);
    with.compute(text);
    CHECK_EQ(with.cache.match("", text, 25).n_unused, 25);
    const SequenceId run = with.open(first(text, 11));
    CHECK_EQ(with.cache.length(run), 10);
    CHECK_EQ(with.cache.match("", text, 25).n_unused, 15);
    CHECK_EQ(with.cache.match("", text, 10).n_unused, 0);
    with.close(run, false);
    CHECK_EQ(with.cache.match("", text, 25).n_unused, 25);
}

TEST("kept sequences that a longer one covers give their ids back, where any part can be shared") {
    Cached with(MemoryKind::attention);
    const std::vector<Token> text = tokens_of(100, 1);
    for (int n = 10; n <= 100; n += 10) {
        with.compute(first(text, n));
        CHECK_EQ(with.cache.n_cached_sequences(), 1);
    }
    CHECK_EQ(with.cache.n_used(), 100);
}

TEST("a sequence that a running one covers takes no id when it is kept") {
    Cached with(MemoryKind::attention);
    const std::vector<Token> text = tokens_of(20, 1);
    const SequenceId first_run = with.open(text);
    with.append(first_run, text);
    const SequenceId longer_run = with.open(joined(text, {1}));
    with.append(longer_run, {1, 2});
    with.close(first_run);
    CHECK_EQ(with.cache.n_cached_sequences(), 0);
    CHECK_EQ(with.match(text), 20);
    with.close(longer_run);
    CHECK_EQ(with.cache.n_cached_sequences(), 1);
    CHECK_EQ(with.cache.n_used(), 22);
}

TEST("with all ids taken the sequence that was used longest ago makes place for a new one") {
    for (const MemoryKind kind : kKinds) {
        Cached with(kind);
        const int n_ids = with.memory.traits().n_ids - with.memory.traits().n_run_ids;
        for (int i = 0; i <= n_ids; i++) {
            with.compute(tokens_of(10, static_cast<uint32_t>(i)));
        }
        CHECK_EQ(with.cache.n_cached_sequences(), n_ids);
        CHECK_EQ(with.match(tokens_of(10, 0)), 0);
        CHECK_EQ(with.match(tokens_of(10, 1)), 10);
        CHECK_EQ(with.match(tokens_of(10, static_cast<uint32_t>(n_ids))), 10);
    }
}

TEST("every run id is given once, and comes back when its sequence is closed") {
    Cached with(MemoryKind::attention);
    std::set<SequenceId> ids;
    for (int i = 0; i < with.memory.traits().n_run_ids; i++) {
        CHECK(with.cache.has_run_id());
        ids.insert(with.open({i, 1}));
    }
    CHECK(!with.cache.has_run_id());
    CHECK_EQ(static_cast<int>(ids.size()), with.memory.traits().n_run_ids);
    with.close(*ids.begin());
    CHECK_EQ(with.open({9}), *ids.begin());
}

TEST("clearing forgets running and kept sequences and frees every cell and id") {
    for (const MemoryKind kind : kKinds) {
        Cached with(kind);
        with.compute(tokens_of(20, 1));
        while (with.cache.has_run_id()) {
            const SequenceId run = with.open(tokens_of(20, 2));
            with.append(run, {1, 2, 3});
            with.cache.snapshot(run);
        }
        with.cache.clear();
        CHECK_EQ(with.cache.n_used() + with.memory.n_cells_used() + with.cache.n_cached_sequences(), 0);
        CHECK_EQ(with.match(tokens_of(20, 1)), 0);
        for (int i = 0; i < with.memory.traits().n_run_ids; i++) {
            CHECK_EQ(with.open({i}), i);
        }
        CHECK(!with.cache.has_run_id());
    }
}

TEST("a disabled cache and memory that cannot share keep nothing") {
    for (const MemoryKind kind : {MemoryKind::attention, MemoryKind::whole}) {
        Memory memory(small_traits(kind));
        PrefixCache cache(memory, kind == MemoryKind::whole);
        CHECK(!cache.is_enabled());
        const std::vector<Token> text = tokens_of(10, 1);
        for (int i = 0; i < 2; i++) {
            const PrefixCache::Opened opened = cache.open("", text, 9);
            CHECK_EQ(opened.n_cached, 0);
            memory.decode({{text[0], 0, opened.id, false}});
            cache.append(opened.id, text.data(), 1);
            cache.snapshot(opened.id);
            CHECK_EQ(cache.match("", text, 9).n + cache.known("", text, 9), 0);
            cache.close(opened.id, true);
            CHECK_EQ(cache.n_used() + memory.n_cells_used() + cache.n_cached_sequences(), 0);
        }
    }
}
