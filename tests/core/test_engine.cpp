#include "check.h"
#include "core/engine.h"
#include "core/fake_decoder.h"
#include "core/fake_embedder.h"
#include "engine_fixture.h"

#include <atomic>
#include <thread>

using namespace inllama;

namespace {

struct Threaded {
    std::unique_ptr<FakeDecoder> decoder = std::make_unique<FakeDecoder>(small_traits());
    std::shared_ptr<FakeVocab> vocab = std::make_shared<FakeVocab>();

    Request request(std::vector<Token> prompt, int max_tokens, std::shared_ptr<EventQueue> events) const {
        Request made;
        made.prompt = std::move(prompt);
        made.samplers.push_back(std::make_unique<FakeSampler>(vocab->size() - 1));
        made.max_tokens = max_tokens;
        made.min_tokens = max_tokens;
        made.events = std::move(events);
        return made;
    }
};

// Reads a queue until its request has ended; gives its tokens.
std::vector<Token> read_all(EventQueue& events, std::optional<Error>* error = nullptr) {
    std::vector<Token> tokens;
    while (true) {
        events.wait_for(std::chrono::milliseconds(1000));
        for (const Event& event : events.take()) {
            tokens.insert(tokens.end(), event.tokens.begin(), event.tokens.end());
            if (event.summary) {
                if (event.error && error != nullptr) {
                    *error = *event.error;
                }
                return tokens;
            }
        }
    }
}

} // namespace

TEST("threads that submit at the same time each get their own output") {
    Threaded with;
    EngineParams params = small_params();
    params.n_sampling_threads = 2;
    Engine engine(std::move(with.decoder), with.vocab, params);
    std::atomic<int> n_wrong{0};
    std::vector<std::thread> threads;
    for (uint32_t thread = 0; thread < 8; thread++) {
        threads.emplace_back([&, thread] {
            for (uint32_t i = 0; i < 20; i++) {
                const std::vector<Token> prompt =
                    joined(tokens_of(30, i % 3), tokens_of(4, thread * 100 + i));
                const auto events = std::make_shared<EventQueue>();
                engine.submit(with.request(prompt, 12, events));
                EngineFixture alone;
                Request request = with.request(prompt, 12, alone.events);
                const uint64_t id = alone.submit(std::move(request));
                alone.run();
                n_wrong += read_all(*events) == alone.received[id].tokens[0] ? 0 : 1;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK_EQ(n_wrong.load(), 0);
    CHECK_EQ(engine.stats().n_running, 0);
}

TEST("close ends every request with EngineClosedError") {
    Threaded with;
    with.decoder->script = [](int, const std::vector<StepRow>&) {
        return FakeOutcome{DecodeStatus::ok, false, std::chrono::microseconds(500)};
    };
    Engine engine(std::move(with.decoder), with.vocab, small_params());
    std::vector<std::shared_ptr<EventQueue>> queues;
    for (uint32_t i = 0; i < 10; i++) {
        queues.push_back(std::make_shared<EventQueue>());
        engine.submit(with.request(tokens_of(20, i), 200, queues.back()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    engine.close();
    for (const auto& queue : queues) {
        std::optional<Error> error;
        read_all(*queue, &error);
        CHECK(error && error->kind() == ErrorKind::EngineClosedError);
    }
    CHECK_THROWS(engine.submit(with.request({1}, 1, queues[0])), Error,
                 thrown.kind() == ErrorKind::EngineClosedError, "EngineClosedError");
    engine.close();
}

TEST("a full queue refuses, and says when there is room") {
    Threaded with;
    std::atomic<bool> may_go{false};
    with.decoder->script = [&](int, const std::vector<StepRow>&) {
        while (!may_go) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        return FakeOutcome{};
    };
    EngineParams params = small_params();
    params.max_queue = 2;
    Engine engine(std::move(with.decoder), with.vocab, params);
    std::vector<std::shared_ptr<EventQueue>> queues;
    for (uint32_t i = 0; i < 6; i++) {
        queues.push_back(std::make_shared<EventQueue>());
        engine.submit(with.request(tokens_of(5, i), 3, queues.back()));
    }
    const auto extra = std::make_shared<EventQueue>();
    CHECK_THROWS(engine.submit(with.request({1}, 1, extra)), Error,
                 thrown.kind() == ErrorKind::QueueFullError, "QueueFullError");
    CHECK(!engine.wait_for_room(std::chrono::milliseconds(1)));
    CHECK_EQ(engine.stats().n_rejected_full, uint64_t{1});
    may_go = true;
    CHECK(engine.wait_for_room(std::chrono::milliseconds(10000)));
    engine.submit(with.request({1}, 1, extra));
    read_all(*extra);
    for (const auto& queue : queues) {
        read_all(*queue);
    }
}

TEST("who comes again for room is not counted as rejected") {
    Threaded with;
    std::atomic<bool> may_go{false};
    with.decoder->script = [&](int, const std::vector<StepRow>&) {
        while (!may_go) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return FakeOutcome{};
    };
    EngineParams params = small_params();
    params.max_queue = 0;
    Engine engine(std::move(with.decoder), with.vocab, params);
    const auto events = std::make_shared<EventQueue>();
    for (uint32_t i = 0; i < 4; i++) {
        engine.submit(with.request(tokens_of(5, i), 3, events));
    }
    for (int i = 0; i < 3; i++) {
        CHECK_THROWS(engine.submit(with.request({1}, 1, events), true), Error,
                     thrown.kind() == ErrorKind::QueueFullError, "QueueFullError");
    }
    CHECK_EQ(engine.stats().n_rejected_full, uint64_t{0});
    may_go = true;
}

TEST("who is cancelled is told before the next step is computed") {
    Threaded with;
    const auto events = std::make_shared<EventQueue>();
    const auto others = std::make_shared<EventQueue>();
    std::atomic<Engine*> engine_at{nullptr};
    std::atomic<uint64_t> id{0};
    std::atomic<int> n_told_at{-1};
    int n_cancelled_at = -1;
    with.decoder->script = [&](int step, const std::vector<StepRow>&) {
        if (id == 0) {
            return FakeOutcome{DecodeStatus::ok, false, std::chrono::microseconds(200)};
        }
        if (n_cancelled_at < 0) {
            n_cancelled_at = step;
            engine_at.load()->cancel(id);
        }
        for (const Event& event : events->take()) {
            if (event.summary && n_told_at < 0) {
                n_told_at = step - n_cancelled_at;
            }
        }
        return FakeOutcome{DecodeStatus::ok, false, std::chrono::microseconds(200)};
    };
    Engine engine(std::move(with.decoder), with.vocab, small_params());
    engine_at = &engine;
    const Ticket ticket = engine.submit(with.request(tokens_of(4, 1), 200, events));
    engine.submit(with.request(tokens_of(4, 2), 200, others));
    id = ticket.id;
    read_all(*others);
    CHECK_EQ(n_told_at.load(), 1);
}

TEST("a prompt that can never fit is refused at once") {
    Threaded with;
    Engine engine(std::move(with.decoder), with.vocab, small_params());
    const auto events = std::make_shared<EventQueue>();
    CHECK_THROWS(engine.submit(with.request(tokens_of(256, 1), 1, events)), Error,
                 thrown.kind() == ErrorKind::ContextFullError, "ContextFullError");
    engine.submit(with.request(tokens_of(255, 1), 1, events));
    CHECK_EQ(read_all(*events).size(), size_t{1});
}

TEST("cancelling from another thread ends a request within a step") {
    Threaded with;
    with.decoder->script = [](int, const std::vector<StepRow>&) {
        return FakeOutcome{DecodeStatus::ok, false, std::chrono::microseconds(200)};
    };
    Engine engine(std::move(with.decoder), with.vocab, small_params());
    const auto events = std::make_shared<EventQueue>();
    const Ticket ticket = engine.submit(with.request(tokens_of(20, 1), 230, events));
    std::thread other([&] { engine.cancel(ticket.id); });
    other.join();
    CHECK(read_all(*events).size() < size_t{230});
    CHECK_EQ(engine.stats().n_cancelled, uint64_t{1});
}

TEST("texts have their share beside an output, however long they were beside one that nobody reads") {
    Threaded with;
    const auto slow = [](int, const auto&) {
        return FakeOutcome{DecodeStatus::ok, false, std::chrono::microseconds(500)};
    };
    with.decoder->script = slow;
    Engine engine(std::move(with.decoder), with.vocab, small_params());
    EmbedderTraits traits;
    traits.n_values = 4;
    traits.n_rows_max = traits.n_rows_best = 8;
    auto embedder = std::make_shared<FakeEmbedder>(traits);
    embedder->script = slow;
    engine.add_embedder("mean", embedder);
    const auto embed = [&](int n_texts) {
        EmbedRequest request;
        request.embedder = "mean";
        for (int i = 1; i <= n_texts; i++) {
            request.tokens.resize(static_cast<size_t>(8 * i), 5);
            request.ends.push_back(request.tokens.size());
        }
        request.events = std::make_shared<EventQueue>();
        engine.submit(request);
        return request.events;
    };
    const auto unread = std::make_shared<EventQueue>();
    Request paused = with.request(tokens_of(5, 1), 100, unread);
    paused.n_unread_max = 1;
    engine.submit(std::move(paused));
    CHECK(embed(400)->wait_for(std::chrono::milliseconds(10000)));
    const auto read = std::make_shared<EventQueue>();
    engine.submit(with.request(tokens_of(5, 2), 200, read));
    const auto texts = embed(20);
    CHECK(texts->wait_for(std::chrono::milliseconds(10000)));
    bool has_ended = false;
    for (const Event& event : read->take()) {
        has_ended = has_ended || event.summary != nullptr;
    }
    CHECK(!has_ended);
    read_all(*read);
}
