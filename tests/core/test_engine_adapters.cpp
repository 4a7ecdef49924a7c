// Outputs with different adapters in one engine.
#include "check.h"
#include "engine_fixture.h"

#include <algorithm>

using namespace inllama;

namespace {

std::shared_ptr<const AdapterSet> set_of(const std::string& key) {
    return std::make_shared<const AdapterSet>(key);
}

uint64_t submit(EngineFixture& with, const std::vector<Token>& prompt, int max_tokens,
                const std::shared_ptr<const AdapterSet>& adapters) {
    Request request = with.request(prompt, max_tokens);
    request.adapters = adapters;
    request.min_tokens = max_tokens;
    return with.submit(std::move(request));
}

std::vector<Token> alone(const std::vector<Token>& prompt, int max_tokens,
                         const std::shared_ptr<const AdapterSet>& adapters) {
    EngineFixture with;
    const uint64_t id = submit(with, prompt, max_tokens, adapters);
    with.run();
    return with.received[id].tokens[0];
}

} // namespace

TEST("outputs with different adapters are what they are alone") {
    EngineFixture with;
    const auto french = set_of("1=1;");
    const auto german = set_of("2=1;");
    const std::vector<Token> prompt = tokens_of(20, 1);
    std::map<uint64_t, std::shared_ptr<const AdapterSet>> asked;
    for (int i = 0; i < 3; i++) {
        for (const auto& set : {std::shared_ptr<const AdapterSet>(), french, german}) {
            asked[submit(with, prompt, 12, set)] = set;
        }
    }
    CHECK(with.run());
    for (const auto& [id, set] : asked) {
        CHECK(with.received[id].tokens[0] == alone(prompt, 12, set));
    }
    CHECK(alone(prompt, 12, french) != alone(prompt, 12, german));
    CHECK(alone(prompt, 12, french) != alone(prompt, 12, nullptr));
}

TEST("every step has rows of one set only") {
    EngineFixture with;
    std::map<SequenceId, std::shared_ptr<const AdapterSet>> used;
    int n_mixed = 0;
    int n_changes = 0;
    const auto french = set_of("1=1;");
    std::shared_ptr<const AdapterSet> last;
    with.decoder.script = [&](int, const std::vector<StepRow>& rows) {
        n_changes += with.decoder.adapters() == last ? 0 : 1;
        last = with.decoder.adapters();
        for (const StepRow& row : rows) {
            const auto [known, is_new] = used.emplace(row.sequence, last);
            n_mixed += is_new || known->second == last ? 0 : 1;
        }
        return FakeOutcome{};
    };
    submit(with, tokens_of(9, 1), 20, french);
    submit(with, tokens_of(9, 2), 20, nullptr);
    submit(with, tokens_of(40, 3), 20, french);
    submit(with, tokens_of(40, 4), 20, nullptr);
    CHECK(with.run());
    CHECK_EQ(n_mixed, 0);
    CHECK(n_changes > 4);
}

TEST("prefixes are shared by those with the same adapters and by nobody else") {
    EngineFixture with;
    const auto french = set_of("1=1;");
    const std::vector<Token> prefix = tokens_of(30, 1);
    const auto cached = [&](uint32_t seed, const std::shared_ptr<const AdapterSet>& set) {
        const uint64_t id = submit(with, joined(prefix, tokens_of(4, seed)), 2, set);
        CHECK(with.run());
        return with.received[id].summary->n_cached;
    };
    CHECK_EQ(cached(2, french), 0);
    CHECK_EQ(cached(3, nullptr), 0);
    CHECK_EQ(cached(4, french), 30);
    CHECK_EQ(cached(5, nullptr), 30);
    CHECK_EQ(cached(6, set_of("1=2;")), 0);
    CHECK_EQ(cached(7, set_of("1=1;")), 30);
}

TEST("an output gets as many steps as each of many others with other adapters") {
    EngineFixture with;
    const auto french = set_of("1=1;");
    with.decoder.script = [](int, const std::vector<StepRow>&) {
        return FakeOutcome{DecodeStatus::ok, false, std::chrono::microseconds(500)};
    };
    const uint64_t single = submit(with, tokens_of(5, 1), 40, french);
    std::vector<uint64_t> others;
    for (uint32_t i = 0; i < 3; i++) {
        others.push_back(submit(with, tokens_of(5, 2 + i), 40, nullptr));
    }
    for (int i = 0; i < 40; i++) {
        with.loop.step();
    }
    with.receive();
    const auto n_single = with.received[single].tokens[0].size();
    for (const uint64_t other : others) {
        const auto n_other = with.received[other].tokens[0].size();
        CHECK(std::max(n_single, n_other) - std::min(n_single, n_other) <= 6);
        CHECK(n_other > 12 && n_single > 12);
    }
    CHECK(with.run());
}

TEST("the decoder lets go of adapters that no request has, when it is told to") {
    EngineFixture with;
    auto french = set_of("1=1;");
    const std::weak_ptr<const AdapterSet> seen = french;
    submit(with, tokens_of(5, 1), 3, french);
    french.reset();
    with.loop.drop_adapters();
    CHECK(with.run());
    CHECK(!seen.expired());
    with.loop.drop_adapters();
    CHECK(with.decoder.adapters() == nullptr);
    CHECK(seen.expired());
    const uint64_t after = submit(with, tokens_of(5, 1), 3, nullptr);
    CHECK(with.run());
    CHECK(with.received[after].tokens[0] == alone(tokens_of(5, 1), 3, nullptr));
}

TEST("a step that fails with adapters is computed again with them") {
    EngineFixture with;
    const auto french = set_of("1=1;");
    with.decoder.script = [](int step, const std::vector<StepRow>&) {
        return FakeOutcome{step == 3 ? DecodeStatus::failed : DecodeStatus::ok, false, {}};
    };
    const uint64_t id = submit(with, tokens_of(9, 1), 12, french);
    const uint64_t other = submit(with, tokens_of(9, 2), 12, nullptr);
    CHECK(with.run());
    CHECK(with.received[id].tokens[0] == alone(tokens_of(9, 1), 12, french));
    CHECK(with.received[other].tokens[0] == alone(tokens_of(9, 2), 12, nullptr));
}
