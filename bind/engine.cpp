#include "bind/engine.h"

#include "bind/adapter.h"
#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/embedding.h"
#include "bind/engine_state.h"
#include "bind/event_queue.h"
#include "bind/model.h"
#include "bind/sampling_params.h"
#include "bind/stats.h"
#include "bind/structure.h"
#include "core/faulty_decoder.h"
#include "core/llama/adapters.h"
#include "core/llama/decoder.h"
#include "core/llama/embedders.h"
#include "core/llama/row_sampler.h"
#include "core/llama/sampler.h"
#include "core/llama/sampler_chain.h"
#include "core/llama/vocab.h"
#include "core/masked_sampler.h"
#include "core/no_decoder.h"
#include "core/reasoning_budget.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <limits>

namespace inllama {

PyEngine::~PyEngine() {
    if (engine_ != nullptr && engine_->is_foreign()) {
        static_cast<void>(engine_.release()); // its thread, its locks and who waits for them are the parent's
        return;
    }
    const NativeCall inside(NativeCall::Entry::always);
    const nb::gil_scoped_release release;
    engine_.reset();
}

EngineParams engine_params(const nb::dict& options) {
    EngineParams params;
    params.scheduler.max_running = option<int>(options, "max_running");
    params.scheduler.step_rows = option<int>(options, "step_tokens");
    params.scheduler.prefill_rows = option<int>(options, "prefill_chunk");
    params.prefix_cache = option<bool>(options, "prefix_cache");
    params.max_queue = option<int>(options, "max_queue");
    params.store.max_memory_bytes = option<uint64_t>(options, "prefix_memory");
    params.store.folder = option<std::optional<std::string>>(options, "prefix_folder").value_or("");
    params.store.max_file_bytes =
        params.store.folder.empty() ? 0 : option<uint64_t>(options, "prefix_folder_bytes");
    return params;
}

PyEngine::SamplerMaker masked(PyEngine::SamplerMaker inner, const nb::dict& request,
                              std::shared_ptr<const Vocab> vocab) {
    const PyStructure* structure = structure_of(request);
    if (structure == nullptr || !structure->compiled) {
        return inner;
    }
    if (structure->compiled->n_tokens() != vocab->size()) {
        throw Error(ErrorKind::InvalidRequestError, "the structure was made for another vocabulary");
    }
    return [inner = std::move(inner), compiled = structure->compiled, start = structure_start_of(request),
            vocab = std::move(vocab)](uint32_t seed) {
        return std::make_unique<MaskedSampler>(inner(seed), compiled, vocab, start);
    };
}

PyStructure compiled_structure(StructureCompiler& compiler, const std::string& kind, const GbnfSource& source,
                               const StructureCompiler::FindToken& find_token) {
    if (kind == "ebnf") {
        return {compiler.compile(source.text, "root"), ""};
    }
    auto compiled = compiler.compile_gbnf(source, find_token);
    return {compiled, compiled ? "" : source.text};
}

namespace {

// The grammar that llama.cpp's own sampler follows, as no masks are made of it.
std::optional<Grammar> sampler_grammar(const nb::dict& request) {
    const PyStructure* structure = structure_of(request);
    if (structure == nullptr || structure->compiled) {
        return std::nullopt;
    }
    const StructureStart start = structure_start_of(request);
    if (!start.after.empty() || !start.at.empty() || !start.spelled.empty()) {
        throw Error(ErrorKind::UnsupportedError,
                    "this grammar runs on llama.cpp's own sampler, which begins at a token or pattern only; "
                    "write the grammar without what xgrammar does not know, such as control tokens");
    }
    return Grammar{structure->gbnf, "root", start.patterns, start.tokens, !start.is_immediate()};
}

// Over a model of llama.cpp.
class LlamaEngine : public PyEngine {
  public:
    LlamaEngine(const std::shared_ptr<const Tokenizer>& tokenizer,
                std::shared_ptr<StructureCompiler> structures, std::unique_ptr<Engine> made,
                std::unique_ptr<LlamaEmbedders> embedders)
        : PyEngine(std::move(made), std::make_shared<LlamaVocab>(tokenizer)), tokenizer_(tokenizer),
          structures_(std::move(structures)), embedders_(std::move(embedders)) {}

    void check_token(Token token) const override { tokenizer_->check_token(token); }

    PyStructure structure(const std::string& kind, const GbnfSource& source) const override {
        PyStructure made = compiled_structure(*structures_, kind, source, [this](std::string_view name) {
            return tokenizer_->named_token(name);
        });
        if (!made.compiled) {
            const Sampler probe(tokenizer_,
                                {Grammar{source.text, "root", {}, {}, false}, Greedy{}}); // or throws
        }
        return made;
    }

    const StructureCompiler& structures() const override { return *structures_; }

    std::shared_ptr<const AdapterSet> adapters(const nb::dict& request) override {
        std::vector<ScaledAdapter> asked;
        for (nb::handle one : nb::cast<nb::list>(request["adapters"])) {
            const auto pair = nb::cast<nb::tuple>(one);
            asked.emplace_back(nb::cast<PyAdapter&>(pair[0]).adapter(), nb::cast<float>(pair[1]));
        }
        return asked.empty() ? nullptr : adapters_.get(*tokenizer_->model(), std::move(asked));
    }

    SamplerMaker sampler_maker(const nb::dict& fields, const nb::dict& request, bool) const override {
        const SamplerMaker make = [sampling = sampling_params_of(fields), grammar = sampler_grammar(request),
                                   tokenizer = tokenizer_](uint32_t seed) {
            return std::make_unique<LlamaRowSampler>(tokenizer,
                                                     stages_for(sampling, seed, *tokenizer, grammar));
        };
        return masked(make, request, vocab());
    }

    std::string pooling(const std::optional<std::string>& asked) const override {
        return embedders_->pooling(asked);
    }
    EmbedderLimits embedder_limits(const std::string& pooling) const override {
        return embedders_->limits(pooling);
    }
    void need_embedder(const std::string& pooling, int64_t n_rows) override {
        embedders_->need(pooling, n_rows, [&](std::shared_ptr<Embedder> made) {
            engine().add_embedder(pooling, std::move(made));
        });
    }

  private:
    std::shared_ptr<const Tokenizer> tokenizer_;
    std::shared_ptr<StructureCompiler> structures_;
    std::unique_ptr<LlamaEmbedders> embedders_;
    AdapterSets adapters_;
};

} // namespace

DecoderParams decoder_params(const nb::dict& options) {
    DecoderParams params;
    params.context.n_ctx = option<std::optional<int64_t>>(options, "n_ctx");
    params.context.n_threads = option<std::optional<int64_t>>(options, "n_threads");
    params.context.flash_attention = option<std::string>(options, "flash_attention");
    params.context.kv_type_k = option<std::string>(options, "kv_type_k");
    params.context.kv_type_v = option<std::string>(options, "kv_type_v");
    params.max_running = option<int>(options, "max_running");
    params.step_rows = option<int>(options, "step_tokens");
    params.is_split = option<std::string>(options, "kv_mode") == "split";
    return params;
}

namespace {

void construct(LlamaEngine* self, const PyModel& model, const nb::dict& options, const PyFaults* faults) {
    const DecoderParams decoding = decoder_params(options);
    EngineParams params = engine_params(options);
    const std::shared_ptr<ModelHandle> handle = model.handle();
    const std::shared_ptr<const Tokenizer> tokenizer = model.tokenizer();
    const std::shared_ptr<StructureCompiler> structures = model.structures();
    const std::shared_ptr<FakeFaults> failing = faults != nullptr ? faults->faults : nullptr;
    const auto embed_memory = option<int64_t>(options, "embed_memory");
    std::unique_ptr<LlamaEmbedders> embedders;
    std::unique_ptr<Engine> engine = call_native([&] {
        std::shared_ptr<ThreadPools> threads;
        std::unique_ptr<Decoder> decoder;
        if (generates_text(*handle)) {
            auto made = std::make_unique<LlamaDecoder>(handle, decoding);
            params.n_sampling_threads = made->n_threads();
            threads = made->threads();
            decoder = std::move(made);
        } else {
            decoder = std::make_unique<NoDecoder>(handle->n_ctx_train);
        }
        if (failing != nullptr) {
            decoder = std::make_unique<FaultyDecoder>(std::move(decoder), failing);
        }
        embedders = std::make_unique<LlamaEmbedders>(handle, decoding.context, decoding.step_rows,
                                                     embed_memory, std::move(threads));
        return std::make_unique<Engine>(std::move(decoder), std::make_shared<LlamaVocab>(tokenizer), params);
    });
    new (self) LlamaEngine(tokenizer, structures, std::move(engine), std::move(embedders));
}

// Of the request's key "reasoning": (budget, opening tag, closing tags, tokens of one, whether it is open).
std::optional<ReasoningLimit> reasoning_of(const nb::dict& request, const std::vector<Token>& spelled) {
    const nb::object given = request["reasoning"];
    if (given.is_none()) {
        return std::nullopt;
    }
    const auto parts = nb::cast<nb::tuple>(given);
    ReasoningLimit limit;
    limit.n_tokens = nb::cast<int>(parts[0]);
    limit.start = nb::cast<std::string>(parts[1]);
    limit.ends = nb::cast<std::vector<std::string>>(parts[2]);
    limit.closing = nb::cast<std::vector<Token>>(parts[3]);
    limit.is_open = nb::cast<bool>(parts[4]);
    limit.spelled = spelled;
    return limit;
}

uint64_t submit(PyEngine& self, const PyEventQueue& events, nb::object prompt, nb::dict fields,
                const std::vector<int64_t>& seeds, const nb::dict& request, const PyEventQueue* processors,
                bool is_waiting) {
    Request made;
    made.prompt = integers(prompt, "token");
    for (const Token token : made.prompt) {
        self.check_token(token);
    }
    const auto max_tokens = option<std::optional<int>>(request, "max_tokens");
    made.max_tokens = max_tokens.value_or(std::numeric_limits<int>::max());
    made.stops = option<std::vector<std::string>>(request, "stop");
    made.stop_tokens = integers(request["stop_token_ids"], "stop token");
    std::sort(made.stop_tokens.begin(), made.stop_tokens.end());
    for (const Token token : made.stop_tokens) {
        self.check_token(token);
    }
    made.spelled_tokens = integers(request["spelled_token_ids"], "spelled token");
    std::sort(made.spelled_tokens.begin(), made.spelled_tokens.end());
    made.n_scored = option<int>(request, "n_scored");
    if (const auto timeout = option<std::optional<double>>(request, "timeout_s")) {
        const std::chrono::duration<double> time(std::min(*timeout, 1e9));
        made.deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(time);
    }
    made.min_tokens = option<int>(request, "min_tokens");
    made.priority = option<int>(request, "priority");
    made.salt = option<std::string>(request, "cache_salt");
    made.adapters = self.adapters(request);
    made.n_logprobs = option<int>(request, "logprobs");
    made.is_streaming = option<bool>(request, "is_streaming");
    const PyStructure* structure = structure_of(request);
    made.is_structured = structure != nullptr && structure->compiled;
    made.has_sampler_grammar = structure != nullptr && !structure->compiled;
    made.events = events.queue;
    made.processors = processors != nullptr ? processors->queue : nullptr;
    const PyEngine::SamplerMaker make_sampler = self.sampler_maker(fields, request, processors != nullptr);
    const auto reasoning = reasoning_of(request, made.spelled_tokens);
    std::vector<uint32_t> checked;
    for (const int64_t seed : seeds) {
        checked.push_back(checked_seed(seed));
    }
    return call_native([&] {
        for (const uint32_t seed : checked) {
            std::unique_ptr<RowSampler> sampler = make_sampler(seed);
            if (reasoning) {
                sampler = std::make_unique<ReasoningBudget>(std::move(sampler), self.vocab(), *reasoning);
            }
            made.samplers.push_back(std::move(sampler));
        }
        return self.engine().submit(std::move(made), is_waiting).id;
    });
}

void resume(
    PyEngine& self, uint64_t request, int output,
    const std::optional<nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>>& logits) {
    ProcessedRow row;
    row.request = request;
    row.output = output;
    const auto n_vocab = static_cast<size_t>(self.engine().traits().n_vocab);
    if (!logits || logits->size() != n_vocab) {
        row.error = std::make_shared<const Error>(ErrorKind::EngineError, "a logits processor failed");
    } else {
        row.logits.assign(logits->data(), logits->data() + n_vocab);
    }
    self.engine().resume(std::move(row));
}

} // namespace

void bind_engine(nb::module_& m) {
    nb::class_<PyEngine> engine(m, "Engine", "Computes requests on a thread of its own. Any thread.",
                                nb::is_weak_referenceable());
    bind_embedding(engine);
    bind_engine_state(engine);
    engine
        .def("submit", &submit, "events"_a, "prompt"_a, "fields"_a, "seeds"_a, "request"_a,
             "processors"_a.none(), "is_waiting"_a = false,
             nb::sig("def submit(self, events: EventQueue, prompt: numpy.typing.NDArray[numpy.integer] | "
                     "collections.abc.Iterable[int], fields: dict[str, object], seeds: "
                     "collections.abc.Sequence[int], request: dict[str, object], processors: EventQueue | "
                     "None, is_waiting: bool = False) -> int"),
             "Take a request, whose events come through ``events``; return its number. Its rows of logits go "
             "to ``processors``, if given, and come back through ``resume``. Who waits for room is not "
             "counted as "
             "rejected.")
        .def(
            "structure",
            [](const PyEngine& self, const std::string& kind, nb::str text, std::vector<Token> spelled,
               const std::string& hole, const std::string& filling) {
                std::sort(spelled.begin(), spelled.end());
                const GbnfSource source{std::string(utf8(text)), std::move(spelled), hole, filling};
                return call_native([&] { return self.structure(kind, source); });
            },
            "kind"_a, "text"_a, "spelled"_a = nb::list(), "hole"_a = "", "filling"_a = "",
            nb::sig("def structure(self, kind: str, text: str, spelled: collections.abc.Sequence[int] = (), "
                    "hole: str = '', filling: str = '') -> Structure"),
            "Return what a grammar, ``gbnf`` or ``ebnf``, asks of an output; the same one is compiled once. "
            "For "
            "GBNF: control tokens that can come where a literal has their spelling, and a rule whose place "
            "an "
            "``ebnf`` takes.")
        .def_prop_ro(
            "structure_counts",
            [](const PyEngine& self) {
                const auto [n_compiled, n_found] = self.structures().counts();
                return nb::make_tuple(n_compiled, n_found, self.structures().n_cached_bytes());
            },
            nb::sig("def structure_counts(self) -> tuple[int, int, int]"),
            "Structures compiled and found again, and the bytes of those that are kept.")
        .def("resume", &resume, "request"_a, "output"_a, "logits"_a.none(),
             "Go on with an output from processed logits, ``(n_vocab,)``; with ``None`` its request fails.")
        .def(
            "wait_for_room",
            [](PyEngine& self, double seconds) {
                const auto time =
                    std::chrono::milliseconds(static_cast<int64_t>(std::min(seconds, 60.0) * 1000));
                return call_native([&] { return self.engine().wait_for_room(time); });
            },
            "seconds"_a, "Wait until the queue has room, at most so long; return whether it has.")
        .def(
            "cancel", [](PyEngine& self, uint64_t request) { self.engine().cancel(request); }, "request"_a,
            "End a request at the next step.")
        .def(
            "drop_adapters", [](PyEngine& self) { self.engine().drop_adapters(); },
            "Let go of adapters that no request has.")
        .def(
            "close",
            [](PyEngine& self) {
                const NativeCall inside(NativeCall::Entry::always);
                const nb::gil_scoped_release release;
                self.engine().close();
            },
            "End all requests and the thread.")
        .def_prop_ro("closed", [](const PyEngine& self) { return self.engine().is_closed(); })
        .def_prop_ro(
            "n_ctx", [](const PyEngine& self) { return self.engine().traits().n_positions; },
            "Positions of the longest sequence.")
        .def(
            "stats", [](const PyEngine& self) { return stats_of(self.engine().stats()); },
            nb::sig("def stats(self) -> dict[str, typing.Any]"),
            "Return what the engine has done and is doing.");
    nb::class_<LlamaEngine, PyEngine>(m, "LlamaEngine", "Computes with a model.")
        .def("__init__", &construct, "model"_a, "options"_a, "faults"_a = nb::none(),
             nb::sig(
                 "def __init__(self, model: Model, options: dict[str, object], faults: FakeFaults | None = "
                 "None) -> None"));
}

} // namespace inllama
