#include "core/engine.h"
#include "core/llama/adapter.h"
#include "core/llama/adapters.h"
#include "core/llama/backend.h"
#include "core/llama/context.h"
#include "core/llama/decoder.h"
#include "core/llama/embedders.h"
#include "core/llama/memory.h"
#include "core/llama/model.h"
#include "core/llama/row_sampler.h"
#include "core/llama/sampler_chain.h"
#include "core/llama/vocab.h"
#include "tests/core/check.h"

#include <atomic>
#include <thread>

using namespace inllama;

namespace {

const std::string kRoot = INLLAMA_SOURCE_DIR;
constexpr int kRequests = 6;
constexpr int kTokens = 24;

struct Loaded {
    Model model{kRoot + "/src/inllama/models/demo.gguf", {}};
    std::shared_ptr<const Tokenizer> tokenizer = std::make_shared<Tokenizer>(model.handle());
};

std::unique_ptr<Engine> make_engine(const Loaded& loaded) {
    DecoderParams decoding;
    decoding.context.n_ctx = 1024;
    decoding.context.n_threads = 2;
    decoding.max_running = 4;
    EngineParams params;
    params.scheduler.max_running = 4;
    params.n_sampling_threads = 2;
    return std::make_unique<Engine>(std::make_unique<LlamaDecoder>(loaded.model.handle(), decoding),
                                    std::make_shared<LlamaVocab>(loaded.tokenizer), params);
}

Request make_request(const Loaded& loaded, const std::shared_ptr<EventQueue>& events, int i) {
    Request request;
    request.prompt =
        loaded.tokenizer->encode("Once upon a time, number " + std::to_string(i % 3), true, false);
    SamplingParams sampling;
    sampling.ignore_eos = true;
    request.samplers.push_back(std::make_unique<LlamaRowSampler>(
        loaded.tokenizer, stages_for(sampling, static_cast<uint32_t>(i), *loaded.tokenizer)));
    request.max_tokens = kTokens;
    request.n_logprobs = i % 2 == 0 ? 3 : -1;
    request.events = events;
    return request;
}

// Tokens that came until every request had ended.
int compute(const Loaded& loaded, Engine& engine) {
    const auto events = std::make_shared<EventQueue>();
    for (int i = 0; i < kRequests; i++) {
        engine.submit(make_request(loaded, events, i));
    }
    int n_tokens = 0;
    for (int n_ended = 0; n_ended < kRequests;) {
        events->wait_for(std::chrono::milliseconds(100));
        for (const Event& event : events->take()) {
            n_tokens += static_cast<int>(event.tokens.size());
            n_ended += event.summary ? 1 : 0;
        }
    }
    return n_tokens;
}

} // namespace

TEST("adapters load, are used and go while two engines decode over one model") {
    start_backend();
    const Loaded loaded;
    const auto first = make_engine(loaded);
    const auto second = make_engine(loaded);
    std::atomic<bool> is_over{false};
    std::atomic<int> n_adapters{0};
    std::thread adapting([&] {
        ContextParams params;
        params.n_ctx = 64;
        params.n_threads = 1;
        Context context(loaded.model.handle(), params);
        do {
            const auto adapter = std::make_shared<Adapter>(loaded.model.handle(),
                                                           kRoot + "/tests/model/fixtures/lora_demo.gguf");
            context.set_adapters({{adapter, 0.5f}});
            Memory(context.handle()).clear(false);
            Batch batch;
            batch.add({{1, 2, 3}, std::nullopt, 0, {0, 0, 1}});
            context.decode(batch);
            context.set_adapters({});
            n_adapters++;
        } while (!is_over);
    });
    int from_second = 0;
    std::thread other([&] { from_second = compute(loaded, *second); });
    const int from_first = compute(loaded, *first);
    other.join();
    is_over = true;
    adapting.join();
    CHECK_EQ(from_first, kRequests * kTokens);
    CHECK_EQ(from_second, kRequests * kTokens);
    CHECK(n_adapters > 0);
}

TEST("outputs with adapters, texts and states at the same time in one engine") {
    start_backend();
    const Loaded loaded;
    const auto engine = make_engine(loaded);
    ContextParams computing;
    computing.n_threads = 2;
    LlamaEmbedders embedders(loaded.model.handle(), computing, 128, 64 << 20, nullptr);
    std::atomic<bool> is_over{false};
    std::atomic<int> n_texts{0};
    std::atomic<int> n_states{0};
    const auto embed = [&](size_t n_tokens) {
        const auto events = std::make_shared<EventQueue>();
        do {
            embedders.need("mean", static_cast<int64_t>(n_tokens), [&](std::shared_ptr<Embedder> made) {
                engine->add_embedder("mean", std::move(made));
            });
            EmbedRequest request;
            request.embedder = "mean";
            for (size_t end = n_tokens; end <= 4 * n_tokens; end += n_tokens) {
                request.tokens.resize(end, static_cast<Token>(end % 500 + 10));
                request.ends.push_back(end);
            }
            request.events = events;
            engine->submit(std::move(request));
            std::vector<Event> got;
            while (got.empty()) {
                events->wait_for(std::chrono::milliseconds(100));
                got = events->take();
            }
            n_texts += got[0].values != nullptr && !got[0].error ? 4 : 0;
        } while (!is_over);
    };
    const auto exchange = [&] {
        const auto events = std::make_shared<EventQueue>();
        do {
            StateRequest request;
            request.tokens = loaded.tokenizer->encode("Once upon a time, number 1", true, false);
            request.events = events;
            engine->submit(std::move(request));
            events->wait_for(std::chrono::milliseconds(1000));
            for (const Event& event : events->take()) {
                if (event.state != nullptr && event.summary->n_prompt > 0) {
                    StateRequest back;
                    const auto* bytes = reinterpret_cast<const char*>(event.state->data());
                    back.prefix =
                        std::make_shared<const SavedPrefix>(decode_prefix({bytes, event.state->size()}));
                    back.events = events;
                    engine->submit(std::move(back));
                    n_states++;
                }
            }
        } while (!is_over);
    };
    std::vector<std::thread> others;
    others.emplace_back(embed, 20);
    others.emplace_back(embed, 200);
    others.emplace_back(exchange);
    AdapterSets sets;
    int n_tokens = 0;
    for (int round = 0; round < 2; round++) {
        const auto adapter =
            std::make_shared<Adapter>(loaded.model.handle(), kRoot + "/tests/model/fixtures/lora_demo.gguf");
        const auto events = std::make_shared<EventQueue>();
        for (int i = 0; i < kRequests; i++) {
            Request request = make_request(loaded, events, i);
            request.adapters = i % 2 == 0 ? nullptr : sets.get(*loaded.model.handle(), {{adapter, 1.0f}});
            engine->submit(std::move(request));
        }
        for (int n_ended = 0; n_ended < kRequests;) {
            events->wait_for(std::chrono::milliseconds(100));
            for (const Event& event : events->take()) {
                n_tokens += static_cast<int>(event.tokens.size());
                n_ended += event.summary ? 1 : 0;
            }
        }
        engine->drop_adapters();
    }
    is_over = true;
    for (std::thread& other : others) {
        other.join();
    }
    CHECK_EQ(n_tokens, 2 * kRequests * kTokens);
    CHECK(n_texts > 0);
    CHECK(n_states > 0);
}

TEST("engines over one model are closed by one thread while others submit and cancel") {
    start_backend();
    const Loaded loaded;
    std::atomic<int> n_refused{0};
    for (int round = 0; round < 3; round++) {
        const auto engine = make_engine(loaded);
        const auto events = std::make_shared<EventQueue>();
        std::vector<std::thread> users;
        for (int user = 0; user < 3; user++) {
            users.emplace_back([&, user] {
                try {
                    for (int i = 0;; i++) {
                        const Ticket ticket = engine->submit(make_request(loaded, events, user + i));
                        if (i % 2 == 0) {
                            engine->cancel(ticket.id);
                        }
                        events->wait_for(std::chrono::milliseconds(5));
                        events->take();
                    }
                } catch (const Error& error) {
                    n_refused += error.kind() == ErrorKind::EngineClosedError ? 1 : 0;
                }
            });
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50 * (round + 1)));
        engine->close();
        for (std::thread& user : users) {
            user.join();
        }
        CHECK_EQ(engine->stats().n_running, 0);
    }
    CHECK_EQ(n_refused.load(), 9);
}
