// Log-probabilities of tokens that the prompt has already.
#include "check.h"
#include "core/logprobs.h"
#include "engine_fixture.h"

#include <algorithm>
#include <cmath>

using namespace inllama;

namespace {

struct Scores {
    std::vector<Token> tokens;
    std::vector<TokenLogprobs> logprobs;
    std::optional<FinishReason> finish;
    std::optional<RequestSummary> summary;
};

struct ScoringFixture : EngineFixture {
    using EngineFixture::EngineFixture;

    Request scoring(std::vector<Token> prompt, int n_scored, int n_top = 0) const {
        Request made = request(std::move(prompt), 1);
        made.n_scored = n_scored;
        made.n_logprobs = n_top;
        return made;
    }

    std::map<uint64_t, Scores> run_all() {
        std::map<uint64_t, Scores> scores;
        for (int i = 0; i < 2000 && !loop.is_empty(); i++) {
            loop.step();
            loop.flush();
            for (Event& event : events->take()) {
                Scores& of = scores[event.request];
                of.tokens.insert(of.tokens.end(), event.tokens.begin(), event.tokens.end());
                of.logprobs.insert(of.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
                of.finish = event.finish ? event.finish : of.finish;
                if (event.summary) {
                    of.summary = *event.summary;
                }
            }
        }
        return scores;
    }
};

// What the decoder says of `prompt`'s last tokens when it computes them one by one.
std::vector<float> expected(const std::vector<Token>& prompt, int n_scored) {
    FakeDecoder decoder(small_traits());
    std::vector<float> logprobs;
    const auto n_vocab = static_cast<size_t>(decoder.traits().n_vocab);
    for (size_t i = 0; i + 1 < prompt.size(); i++) {
        decoder.decode({{prompt[i], static_cast<Position>(i), 0, true}});
        if (i + 1 + static_cast<size_t>(n_scored) >= prompt.size()) {
            logprobs.push_back(logprobs_of(decoder.logits(0), n_vocab, prompt[i + 1], 0).chosen);
        }
    }
    return logprobs;
}

void check_scores(const Scores& got, const std::vector<Token>& prompt, int n_scored) {
    CHECK(got.tokens == std::vector<Token>(prompt.end() - n_scored, prompt.end()));
    const std::vector<float> wanted = expected(prompt, n_scored);
    CHECK_EQ(got.logprobs.size(), wanted.size());
    for (size_t i = 0; i < std::min(wanted.size(), got.logprobs.size()); i++) {
        CHECK(std::abs(got.logprobs[i].chosen - wanted[i]) < 1e-6f);
    }
}

} // namespace

TEST("the scored tokens are the end of the prompt, each with what the model thinks of it there") {
    ScoringFixture fixture;
    for (const int n_scored : {1, 5, 39}) {
        const std::vector<Token> prompt = tokens_of(40, 7 + static_cast<uint32_t>(n_scored));
        const uint64_t id = fixture.submit(fixture.scoring(prompt, n_scored));
        const Scores got = fixture.run_all()[id];
        check_scores(got, prompt, n_scored);
        CHECK_EQ(got.summary->n_completion, 0);
    }
    CHECK(fixture.loop.is_empty());
}

TEST("scoring gives as many likeliest tokens as were asked for, and the greedy one is the first") {
    ScoringFixture fixture;
    const std::vector<Token> prompt = tokens_of(20, 3);
    const std::vector<Token> next = expected_tokens(prompt, 4);
    const uint64_t id = fixture.submit(fixture.scoring(joined(prompt, next), 4, 3));
    const Scores got = fixture.run_all()[id];
    CHECK_EQ(got.logprobs.size(), 4u);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ(got.logprobs[i].top.size(), 3u);
        CHECK_EQ(got.logprobs[i].top[0].first, next[i]);
    }
}

TEST("scoring never takes more rows with logits than a step may have") {
    DecoderTraits traits = small_traits();
    traits.n_outputs_max = 6;
    ScoringFixture fixture(traits);
    size_t most = 0;
    fixture.decoder.script = [&](int, const std::vector<StepRow>& rows) {
        most =
            std::max(most, static_cast<size_t>(std::count_if(
                               rows.begin(), rows.end(), [](const StepRow& row) { return row.has_output; })));
        return FakeOutcome{};
    };
    std::map<uint64_t, std::vector<Token>> prompts;
    for (uint32_t seed = 0; seed < 4; seed++) {
        const std::vector<Token> prompt = tokens_of(30, 100 + seed);
        prompts[fixture.submit(fixture.scoring(prompt, 20))] = prompt;
    }
    fixture.submit(tokens_of(12, 5), 20);
    const auto scores = fixture.run_all();
    CHECK(most <= 6);
    for (const auto& [id, prompt] : prompts) {
        check_scores(scores.at(id), prompt, 20);
    }
}

TEST("scoring shares the prefix before the scored tokens, and no more") {
    ScoringFixture fixture;
    const std::vector<Token> prompt = tokens_of(40, 9);
    fixture.submit(fixture.scoring(prompt, 10));
    fixture.run_all();
    const int64_t n_before = fixture.decoder.n_rows();
    const uint64_t again = fixture.submit(fixture.scoring(prompt, 10));
    const Scores got = fixture.run_all()[again];
    check_scores(got, prompt, 10);
    CHECK_EQ(got.summary->n_cached, 29);
    CHECK_EQ(fixture.decoder.n_rows() - n_before, 11);
}

TEST("scores are complete after failed steps and preemption") {
    ScoringFixture fixture;
    fixture.decoder.script = [](int step, const std::vector<StepRow>&) {
        return FakeOutcome{step % 3 == 1 ? DecodeStatus::failed : DecodeStatus::ok, false, {}};
    };
    const std::vector<Token> prompt = tokens_of(60, 11);
    Request request = fixture.scoring(prompt, 40);
    const uint64_t id = fixture.submit(std::move(request));
    check_scores(fixture.run_all()[id], prompt, 40);
}
