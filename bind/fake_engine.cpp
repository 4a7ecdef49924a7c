#include "core/fake_decoder.h"

#include "bind/call.h"
#include "bind/engine.h"
#include "core/fake_embedder.h"
#include "core/script_sampler.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace inllama {

namespace {

// As llama.cpp has them.
constexpr int kIds = 256;
constexpr int kFakeValues = 64; // of a vector
// Its structures are small: over 257 tokens.
constexpr size_t kMaxFakeCachedBytes = size_t{4} << 20;

// Over a decoder without a model. A token is a byte; one more ends an output.
class FakeEngine : public PyEngine {
  public:
    FakeEngine(std::shared_ptr<const FakeVocab> vocab, std::unique_ptr<Engine> made,
               std::function<FakeOutcome()> script, EmbedderLimits limits, int n_rows_best)
        : PyEngine(std::move(made), vocab), script_(std::move(script)), limits_(limits),
          n_rows_best_(n_rows_best), vocab_(std::move(vocab)),
          structures_(std::make_unique<StructureCompiler>(vocab_, kMaxFakeCachedBytes)) {}

    void check_token(Token token) const override { inllama::check_token(token, vocab_->size()); }

    PyStructure structure(const std::string& kind, const GbnfSource& source) const override {
        PyStructure made = compiled_structure(*structures_, kind, source,
                                              [this](std::string_view name) { return named_token(name); });
        if (!made.compiled) {
            throw Error(ErrorKind::UnsupportedError,
                        "only llama.cpp's own sampler can follow this grammar, and a fake engine has none");
        }
        return made;
    }

    const StructureCompiler& structures() const override { return *structures_; }

    std::string pooling(const std::optional<std::string>& asked) const override {
        return asked.value_or("mean");
    }
    EmbedderLimits embedder_limits(const std::string& pooling) const override {
        EmbedderLimits limits = limits_;
        limits.n_values = pooling == "rank" ? 1 : limits.n_values;
        return limits;
    }
    void need_embedder(const std::string& pooling, int64_t) override {
        EmbedderTraits traits;
        traits.n_values = embedder_limits(pooling).n_values;
        traits.n_rows_max = static_cast<int>(limits_.n_rows);
        traits.n_rows_best = n_rows_best_;
        traits.is_pooled = pooling != "none";
        auto made = std::make_shared<FakeEmbedder>(traits);
        made->script = [script = script_](int, const std::vector<TokenRun>&) { return script(); };
        engine().add_embedder(pooling, std::move(made));
    }

    std::shared_ptr<const AdapterSet> adapters(const nb::dict& request) override {
        std::string key;
        for (nb::handle one : nb::cast<nb::list>(request["adapters"])) {
            const auto pair = nb::cast<nb::tuple>(one);
            key += nb::cast<std::string>(pair[0]) + '=' + std::to_string(nb::cast<float>(pair[1])) + ';';
        }
        std::weak_ptr<const AdapterSet>& known = sets_[key];
        std::shared_ptr<const AdapterSet> set = known.lock();
        if (set == nullptr && !key.empty()) {
            set = std::make_shared<AdapterSet>(key);
            known = set;
        }
        return set;
    }

    SamplerMaker sampler_maker(const nb::dict& fields, const nb::dict& request,
                               bool has_processors) const override {
        const auto reply = nb::cast<nb::bytes>(request["reply"]);
        auto script = std::make_shared<Script>();
        script->text.assign(reply.c_str(), reply.size());
        script->fails_after = option<std::optional<size_t>>(request, "fails_after");
        script->has_end = !option<bool>(fields, "ignore_eos");
        const Token end = vocab_->size() - 1;
        // What else decides the choice does it by the logits.
        const bool obeys_logits =
            has_processors || structure_of(request) != nullptr || !request["reasoning"].is_none();
        const SamplerMaker make = [script = std::shared_ptr<const Script>(std::move(script)), end,
                                   obeys_logits](uint32_t) {
            return std::make_unique<ScriptSampler>(script, end, obeys_logits);
        };
        return masked(make, request, vocab_);
    }

  private:
    // A token that is a byte is named by its id only.
    std::optional<Token> named_token(std::string_view name) const {
        const std::string digits(name.substr(0, 2) == "<[" ? name.substr(2, name.size() - 4) : "");
        const bool is_known = !digits.empty() && digits.size() < 10 && std::stol(digits) < vocab_->size();
        return is_known ? std::optional<Token>(static_cast<Token>(std::stol(digits))) : std::nullopt;
    }

    std::function<FakeOutcome()> script_;
    EmbedderLimits limits_;
    int n_rows_best_;
    std::map<std::string, std::weak_ptr<const AdapterSet>> sets_; // by key; with the GIL
    std::shared_ptr<const FakeVocab> vocab_;
    std::unique_ptr<StructureCompiler> structures_;
};

DecoderTraits traits_of(const nb::dict& options, int n_vocab) {
    DecoderTraits traits;
    const int n_ctx = option<int>(options, "n_ctx");
    const bool is_split = option<std::string>(options, "kv_mode") == "split";
    traits.n_run_ids = option<int>(options, "max_running");
    traits.n_ids = is_split ? traits.n_run_ids : kIds;
    traits.memory = is_split ? MemoryKind::whole : MemoryKind::attention;
    traits.n_cells = n_ctx;
    traits.n_positions = is_split ? std::max(1, n_ctx / traits.n_run_ids) : n_ctx;
    traits.n_rows_max = std::max(option<int>(options, "step_tokens"), traits.n_run_ids);
    traits.n_vocab = n_vocab;
    traits.identity = is_split ? "" : "model=fake";
    return traits;
}

void construct(FakeEngine* self, const nb::dict& options, double step_s, const PyFaults& given) {
    const auto vocab = std::make_shared<const FakeVocab>(0);
    const DecoderTraits traits = traits_of(options, vocab->size());
    auto decoder = std::make_unique<FakeDecoder>(traits);
    const auto delay =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::duration<double>(step_s));
    decoder->has_opinion = false;
    const std::function<FakeOutcome()> script = [faults = given.faults, delay] {
        return FakeOutcome{faults->take(), false, delay};
    };
    decoder->script = [script](int, const std::vector<StepRow>&) { return script(); };
    EmbedderLimits limits;
    limits.n_values = kFakeValues;
    limits.n_positions = traits.n_positions;
    limits.n_rows = traits.n_positions;
    limits.bytes_per_row = 1;
    const EngineParams params = engine_params(options);
    new (self) FakeEngine(
        vocab, call_native([&] { return std::make_unique<Engine>(std::move(decoder), vocab, params); }),
        script, limits, traits.n_rows_max);
}

DecodeStatus status_of(const std::string& name) {
    const std::pair<const char*, DecodeStatus> known[] = {{"ok", DecodeStatus::ok},
                                                          {"no_room", DecodeStatus::no_room},
                                                          {"aborted", DecodeStatus::aborted},
                                                          {"no_memory", DecodeStatus::no_memory},
                                                          {"failed", DecodeStatus::failed}};
    for (const auto& [known_name, status] : known) {
        if (name == known_name) {
            return status;
        }
    }
    throw Error(ErrorKind::InvalidRequestError,
                "status is '" + name + "'; use one of failed, no_room, no_memory, aborted")
        .with("option", "status")
        .with("value", name);
}

} // namespace

void bind_fake_engine(nb::module_& m) {
    nb::class_<PyFaults>(m, "FakeFaults", "Steps of engines that shall fail.")
        .def(nb::init<>())
        .def(
            "add",
            [](PyFaults& self, int n, const std::string& status) { self.faults->add(n, status_of(status)); },
            "n"_a, "status"_a,
            "Let the next ``n`` steps fail: ``failed, no_room, no_memory, aborted``; or pass: ``ok``.");
    nb::class_<FakeEngine, PyEngine>(m, "FakeEngine",
                                     "Computes without a model: ``reply`` in a request is what it writes.")
        .def("__init__", &construct, "options"_a, "step_s"_a, "faults"_a,
             nb::sig("def __init__(self, options: dict[str, object], step_s: float, faults: FakeFaults) -> "
                     "None"));
}

} // namespace inllama
