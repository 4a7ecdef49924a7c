// Requests with structures: masks are prepared while steps are computed, and survive steps that fail.
#include "check.h"
#include "core/masked_sampler.h"
#include "engine_fixture.h"
#include "structure_fixture.h"

using namespace inllama;

namespace {

EngineParams with_threads(int n) {
    EngineParams params = small_params();
    params.n_sampling_threads = n;
    return params;
}

Request structured(const EngineFixture& engine, const std::shared_ptr<const Structure>& structure,
                   uint32_t seed, int n_outputs = 1) {
    Request request = engine.request(tokens_of(20, seed), 100, n_outputs);
    for (auto& sampler : request.samplers) {
        sampler = std::make_unique<MaskedSampler>(std::move(sampler), structure,
                                                  std::make_shared<const FakeVocab>(), StructureStart{});
    }
    request.is_structured = true;
    return request;
}

} // namespace

TEST("outputs with a structure follow it beside others without, on any number of threads") {
    for (const int n_threads : {1, 2, 4}) {
        EngineFixture engine(small_traits(), with_threads(n_threads));
        const auto structure = std::make_shared<TextsStructure>(std::vector<std::string>{"{\"a\": 1}"});
        const uint64_t free = engine.submit(tokens_of(20, 7), 12);
        std::vector<uint64_t> ids;
        for (uint32_t i = 0; i < 5; i++) {
            ids.push_back(engine.submit(structured(engine, structure, i, 2)));
        }
        CHECK(engine.run());
        for (const uint64_t id : ids) {
            for (const int output : {0, 1}) {
                CHECK_EQ(engine.received[id].text[output], std::string("{\"a\": 1}"));
                CHECK(engine.received[id].finish[output] == FinishReason::stop);
            }
        }
        CHECK_EQ(engine.received[free].tokens[0], expected_tokens(tokens_of(20, 7), 12));
        CHECK_EQ(structure->n_fills.load(), 5 * 2 * 9); // one for each token and the end
        CHECK_EQ(engine.loop.stats().n_structured, uint64_t{5});
    }
}

TEST("masks that were prepared for steps that failed are neither lost nor computed again") {
    for (const int n_threads : {1, 4}) {
        EngineFixture engine(small_traits(), with_threads(n_threads));
        engine.decoder.script = [](int step, const std::vector<StepRow>&) {
            FakeOutcome outcome;
            outcome.throws = step % 7 == 3;
            outcome.status = step % 5 == 2   ? DecodeStatus::aborted
                             : step % 5 == 4 ? DecodeStatus::failed
                                             : DecodeStatus::ok;
            return outcome;
        };
        const auto structure = std::make_shared<TextsStructure>(std::vector<std::string>{"[1, 2, 3]"});
        std::vector<uint64_t> ids;
        for (uint32_t i = 0; i < 3; i++) {
            ids.push_back(engine.submit(structured(engine, structure, i)));
        }
        CHECK(engine.run());
        int n_chosen = 0;
        for (const uint64_t id : ids) {
            if (!engine.received[id].error) {
                CHECK_EQ(engine.received[id].text[0], std::string("[1, 2, 3]"));
                n_chosen += 10;
            }
        }
        CHECK(n_chosen > 0);
        CHECK(structure->n_fills.load() >= n_chosen);
        CHECK(structure->n_fills.load() <= 3 * 10);
    }
}

TEST("a structure survives that its output gives way to others") {
    DecoderTraits traits = small_traits();
    traits.n_cells = 64;
    EngineFixture engine(traits, with_threads(2));
    const auto structure = std::make_shared<TextsStructure>(std::vector<std::string>{std::string(40, 'y')});
    std::vector<uint64_t> ids;
    for (uint32_t i = 0; i < 4; i++) {
        ids.push_back(engine.submit(structured(engine, structure, i)));
    }
    CHECK(engine.run());
    for (const uint64_t id : ids) {
        CHECK_EQ(engine.received[id].text[0], std::string(40, 'y'));
    }
    CHECK(engine.loop.stats().n_preemptions > 0);
    CHECK_EQ(structure->n_fills.load(), 4 * 41);
}

TEST("what fails while masks are prepared ends its own request only") {
    EngineFixture engine(small_traits(), with_threads(4));
    const auto broken = std::make_shared<TextsStructure>(std::vector<std::string>{"a"}, true);
    const auto sound = std::make_shared<TextsStructure>(std::vector<std::string>{"fine"});
    const uint64_t fails = engine.submit(structured(engine, broken, 1));
    const uint64_t works = engine.submit(structured(engine, sound, 2));
    CHECK(engine.run());
    CHECK(engine.received[fails].error && engine.received[fails].error->kind() == ErrorKind::GrammarError);
    CHECK_EQ(engine.received[works].text[0], std::string("fine"));
}

TEST("a complete structure ends its output before min_tokens") {
    EngineFixture engine;
    const auto structure = std::make_shared<TextsStructure>(std::vector<std::string>{"no"});
    Request request = structured(engine, structure, 1);
    request.min_tokens = 25;
    const uint64_t id = engine.submit(std::move(request));
    CHECK(engine.run());
    CHECK_EQ(engine.received[id].text[0], std::string("no"));
    CHECK(engine.received[id].finish[0] == FinishReason::stop);
}
