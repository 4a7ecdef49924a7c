#include "check.h"
#include "core/embed_loop.h"
#include "core/fake_embedder.h"

#include <cmath>
#include <limits>
#include <set>

using namespace inllama;

namespace {

constexpr double kForever = std::numeric_limits<double>::infinity();

struct Got {
    std::shared_ptr<std::vector<float>> values;
    std::optional<Error> error;
    std::optional<FinishReason> finish;
    int n_events = 0;
};

// A loop without a thread: tests take its steps.
struct Texts {
    explicit Texts(EmbedderTraits traits = small()) : embedder(std::make_shared<FakeEmbedder>(traits)) {
        loop.add("mean", embedder);
    }
    ~Texts() { CHECK_EQ(embedder->n_violations(), 0); }
    Texts(const Texts&) = delete;
    Texts& operator=(const Texts&) = delete;

    static EmbedderTraits small() {
        EmbedderTraits traits;
        traits.n_values = 6;
        traits.n_rows_max = 40;
        traits.n_rows_best = 16;
        traits.n_texts_max = 4;
        return traits;
    }

    // A request with texts of these lengths.
    uint64_t submit(const std::vector<int>& lengths, EmbedRequest asked = {}) {
        asked.embedder = "mean";
        for (const int length : lengths) {
            for (int i = 0; i < length; i++) {
                asked.tokens.push_back(next_token_++ % 997);
            }
            asked.ends.push_back(asked.tokens.size());
        }
        asked.events = events;
        requests.push_back(asked);
        auto active = std::make_shared<ActiveEmbedding>(std::move(asked), embedder->traits());
        active->id = requests.size();
        active->control = std::make_shared<RequestControl>(std::make_shared<Bell>());
        loop.submit(active);
        return active->id;
    }

    void receive() {
        loop.flush();
        for (Event& event : events->take()) {
            Got& of = got[event.request];
            of.n_events++;
            of.values = event.values;
            of.finish = event.finish;
            if (event.error) {
                of.error = *event.error;
            }
            CHECK(event.summary != nullptr);
        }
    }

    void run(double seconds = kForever) {
        for (int i = 0; i < 1000 && !loop.is_empty(); i++) {
            loop.step(seconds);
        }
        CHECK(loop.is_empty());
        receive();
    }

    // What text `text` of a request must give.
    std::vector<float> expected(uint64_t id, size_t text) const {
        const EmbedRequest& asked = requests[id - 1];
        const size_t begin = text == 0 ? 0 : asked.ends[text - 1];
        FakeEmbedder alone(embedder->traits());
        alone.embed({{asked.tokens.data() + begin, static_cast<int>(asked.ends[text] - begin)}});
        std::vector<float> values;
        const size_t n_vectors = embedder->traits().is_pooled ? 1 : asked.ends[text] - begin;
        const int n = asked.n_dimensions > 0 ? asked.n_dimensions : embedder->traits().n_values;
        for (size_t i = 0; i < n_vectors; i++) {
            const float* vector = alone.vector(static_cast<int>(i));
            values.insert(values.end(), vector, vector + n);
            normalize(values.data() + values.size() - n, static_cast<size_t>(n), asked.normalization);
        }
        return values;
    }

    void check_all(uint64_t id) {
        std::vector<float> all;
        for (size_t text = 0; text < requests[id - 1].ends.size(); text++) {
            const std::vector<float> one = expected(id, text);
            all.insert(all.end(), one.begin(), one.end());
        }
        CHECK(got[id].values != nullptr);
        CHECK(got[id].values != nullptr && *got[id].values == all);
        CHECK_EQ(got[id].n_events, 1);
    }

    std::shared_ptr<FakeEmbedder> embedder;
    EmbedLoop loop;
    std::shared_ptr<EventQueue> events = std::make_shared<EventQueue>();
    std::vector<EmbedRequest> requests;
    std::map<uint64_t, Got> got;

  private:
    Token next_token_ = 1;
};

} // namespace

TEST("each text gets its own vector, whatever was computed with it") {
    Texts texts;
    const uint64_t first = texts.submit({3, 1, 7, 16, 2, 2, 9});
    const uint64_t second = texts.submit({5, 40, 1});
    texts.run();
    texts.check_all(first);
    texts.check_all(second);
    CHECK(texts.embedder->n_steps() < 10);
}

TEST("a request without texts has no vectors") {
    Texts texts;
    const uint64_t none = texts.submit({});
    texts.run();
    CHECK(texts.got[none].values != nullptr && texts.got[none].values->empty());
}

TEST("texts fill steps up to what is best, and a longer one has a step alone") {
    Texts texts;
    std::vector<std::multiset<int>> steps;
    texts.embedder->script = [&](int, const std::vector<TokenRun>& runs) {
        steps.emplace_back();
        for (const TokenRun& run : runs) {
            steps.back().insert(run.n);
        }
        return FakeOutcome{};
    };
    texts.submit({10, 6, 12, 4, 30, 1});
    texts.run();
    const std::vector<std::multiset<int>> expected = {{12, 4}, {10, 6}, {1}, {30}};
    CHECK(steps == expected);
}

TEST("vectors of tokens stand in the order of the texts") {
    EmbedderTraits traits = Texts::small();
    traits.is_pooled = false;
    Texts texts(traits);
    const uint64_t id = texts.submit({2, 9, 1, 5});
    texts.run();
    texts.check_all(id);
}

TEST("vectors are cut to their first values and then normalized") {
    Texts texts;
    for (const Normalization how : {Normalization::none, Normalization::l2, Normalization::max_abs}) {
        EmbedRequest asked;
        asked.n_dimensions = 4;
        asked.normalization = how;
        const uint64_t id = texts.submit({5, 3}, asked);
        texts.run();
        texts.check_all(id);
        const std::vector<float>& values = *texts.got[id].values;
        CHECK_EQ(values.size(), size_t{8});
        double squares = 0;
        float largest = 0;
        for (size_t i = 0; i < 4; i++) {
            squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
            largest = std::max(largest, std::fabs(values[i]));
        }
        CHECK(how != Normalization::l2 || std::fabs(squares - 1) < 1e-5);
        CHECK(how != Normalization::max_abs || std::fabs(largest - 1) < 1e-5);
    }
    float zeros[3] = {0, 0, 0};
    normalize(zeros, 3, Normalization::l2);
    CHECK_EQ(zeros[1], 0.0f);
}

TEST("a short request does not wait for a long one") {
    Texts texts;
    const uint64_t longer = texts.submit(std::vector<int>(200, 8));
    for (int i = 0; i < 20; i++) {
        texts.loop.step(kForever);
    }
    const uint64_t shorter = texts.submit({8, 8});
    texts.loop.step(kForever);
    texts.loop.step(kForever);
    texts.receive();
    CHECK_EQ(texts.got[shorter].n_events, 1);
    CHECK_EQ(texts.got[longer].n_events, 0);
    texts.run();
    texts.check_all(longer);
}

TEST("short requests that keep coming do not starve a long one") {
    Texts texts;
    const uint64_t longer = texts.submit(std::vector<int>(20, 16));
    for (int i = 0; i < 60 && !texts.loop.is_empty(); i++) {
        if (i % 2 == 0) {
            texts.submit({16});
        }
        texts.loop.step(kForever);
    }
    texts.receive();
    CHECK_EQ(texts.got[longer].n_events, 1);
    texts.run();
}

TEST("the more important request goes first") {
    Texts texts;
    const uint64_t normal = texts.submit(std::vector<int>(8, 16));
    EmbedRequest asked;
    asked.priority = 5;
    const uint64_t urgent = texts.submit(std::vector<int>(8, 16), asked);
    for (int i = 0; i < 8; i++) {
        texts.loop.step(kForever);
    }
    texts.receive();
    CHECK_EQ(texts.got[urgent].n_events, 1);
    CHECK_EQ(texts.got[normal].n_events, 0);
    texts.run();
}

TEST("a step takes as few texts as its time allows, and at least one") {
    Texts texts;
    std::vector<size_t> sizes;
    texts.embedder->script = [&](int, const std::vector<TokenRun>& runs) {
        sizes.push_back(runs.size());
        return FakeOutcome{DecodeStatus::ok, false, std::chrono::microseconds(2000)};
    };
    texts.submit({4, 4, 4, 4});
    texts.run();
    CHECK_EQ(sizes.back(), size_t{4});
    for (int i = 0; i < 8; i++) {
        texts.submit({4, 4, 4, 4});
        texts.run(1e-9);
    }
    CHECK_EQ(sizes.back(), size_t{1});
    for (int i = 0; i < 4; i++) {
        texts.submit({4, 4, 4, 4});
        texts.run(10);
    }
    CHECK_EQ(sizes.back(), size_t{4});
}

TEST("a text that fails ends its request and no other") {
    Texts texts;
    const std::vector<Token>* bad = nullptr;
    const uint64_t good = texts.submit({4, 4});
    const uint64_t failing = texts.submit({3, 5});
    bad = &texts.requests[failing - 1].tokens;
    texts.embedder->script = [&](int step, const std::vector<TokenRun>& runs) {
        FakeOutcome outcome;
        for (const TokenRun& run : runs) {
            if (run.tokens[0] == (*bad)[3]) {
                outcome.status = DecodeStatus::failed;
                outcome.throws = step % 2 == 0;
            }
        }
        return outcome;
    };
    texts.run();
    texts.check_all(good);
    CHECK(texts.got[failing].error.has_value());
    CHECK(texts.got[failing].error && texts.got[failing].error->kind() == ErrorKind::DecodeError);
    CHECK(texts.got[failing].error && texts.got[failing].error->field("index") != nullptr);
    Stats stats;
    texts.loop.count(stats);
    CHECK(stats.n_failed_steps >= 2);
    CHECK_EQ(stats.n_texts_waiting, 0);
}

TEST("a text alone in a step that fails once is computed again") {
    Texts texts;
    texts.embedder->script = [](int step, const std::vector<TokenRun>&) {
        return FakeOutcome{step == 0 ? DecodeStatus::failed : DecodeStatus::ok, false, {}};
    };
    const uint64_t id = texts.submit({4});
    texts.run();
    texts.check_all(id);
}

TEST("a step that fails once costs time only") {
    Texts texts;
    texts.embedder->script = [](int step, const std::vector<TokenRun>&) {
        return FakeOutcome{step == 0 ? DecodeStatus::no_memory : DecodeStatus::ok, false, {}};
    };
    const uint64_t id = texts.submit({4, 4, 4});
    texts.run();
    texts.check_all(id);
}

TEST("a request can be cancelled, run out of time, or end with the engine") {
    Texts texts;
    const uint64_t cancelled = texts.submit({8, 8, 8});
    texts.loop.step(kForever);
    texts.loop.cancel(cancelled);
    texts.loop.cancel(cancelled);
    EmbedRequest late;
    late.deadline = Clock::now();
    const uint64_t expired = texts.submit({4}, late);
    CHECK(texts.loop.next_deadline().has_value());
    texts.loop.expire();
    const uint64_t closed = texts.submit({4});
    texts.loop.fail_all(Error(ErrorKind::EngineClosedError, "closed"));
    texts.run();
    CHECK(texts.got[cancelled].finish == FinishReason::cancelled && texts.got[cancelled].values == nullptr);
    CHECK(texts.got[expired].error && texts.got[expired].error->kind() == ErrorKind::DeadlineError);
    CHECK(texts.got[closed].error && texts.got[closed].error->kind() == ErrorKind::EngineClosedError);
}
