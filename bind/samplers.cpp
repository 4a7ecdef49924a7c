#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/context.h"
#include "bind/model.h"
#include "bind/module.h"
#include "core/llama/sampler.h"
#include "core/llama/sampler_stage.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

namespace inllama {

namespace {

uint32_t seed_or_random(std::optional<int64_t> seed) {
    return seed ? checked_seed(*seed) : random_seed();
}

std::vector<std::string> texts(const nb::iterable& values) {
    std::vector<std::string> found;
    for (nb::handle value : values) {
        found.emplace_back(utf8(value));
    }
    return found;
}

void bind_selecting(nb::module_& m) {
    m.def("greedy", [] { return SamplerStage(Greedy{}); }, "Select the largest logit.");
    m.def(
        "dist", [](std::optional<int64_t> seed) { return SamplerStage(Dist{seed_or_random(seed)}); },
        "seed"_a = nb::none(), "Select at random by probability.");
    m.def(
        "mirostat",
        [](double tau, double eta, int64_t m_, std::optional<int64_t> seed) {
            return SamplerStage(Mirostat{seed_or_random(seed), tau, eta, m_});
        },
        "tau"_a = 5.0, "eta"_a = 0.1, "m"_a = 100, "seed"_a = nb::none(),
        "Select so that surprise stays near ``tau`` (arXiv 2007.14966).");
    m.def(
        "mirostat_v2",
        [](double tau, double eta, std::optional<int64_t> seed) {
            return SamplerStage(MirostatV2{seed_or_random(seed), tau, eta});
        },
        "tau"_a = 5.0, "eta"_a = 0.1, "seed"_a = nb::none(), "Mirostat 2.0 (arXiv 2007.14966).");
    m.def(
        "adaptive_p",
        [](double target, double decay, std::optional<int64_t> seed) {
            return SamplerStage(AdaptiveP{target, decay, seed_or_random(seed)});
        },
        "target"_a, "decay"_a = 0.9, "seed"_a = nb::none(),
        "Select so that the chosen probabilities stay near ``target``.");
}

void bind_truncating(nb::module_& m) {
    m.def(
        "top_k", [](int64_t k) { return SamplerStage(TopK{k}); }, "k"_a,
        "Keep the ``k`` largest; 0 keeps all.");
    m.def(
        "top_p", [](double p, int64_t min_keep) { return SamplerStage(TopP{p, min_keep}); }, "p"_a,
        "min_keep"_a = 1, "Keep the most probable tokens that together reach ``p`` (arXiv 1904.09751).");
    m.def(
        "min_p", [](double p, int64_t min_keep) { return SamplerStage(MinP{p, min_keep}); }, "p"_a,
        "min_keep"_a = 1, "Keep tokens of at least ``p`` times the largest probability.");
    m.def(
        "typical_p", [](double p, int64_t min_keep) { return SamplerStage(Typical{p, min_keep}); }, "p"_a,
        "min_keep"_a = 1, "Locally typical sampling (arXiv 2202.00666).");
    m.def(
        "top_n_sigma", [](double n) { return SamplerStage(TopNSigma{n}); }, "n"_a,
        "Keep logits within ``n`` standard deviations of the largest; 0 keeps all.");
    m.def(
        "xtc",
        [](double probability, double threshold, int64_t min_keep, std::optional<int64_t> seed) {
            return SamplerStage(Xtc{probability, threshold, min_keep, seed_or_random(seed)});
        },
        "probability"_a, "threshold"_a = 0.1, "min_keep"_a = 1, "seed"_a = nb::none(),
        "With ``probability``, drop all tokens above ``threshold`` but the least probable of them.");
}

void bind_weighting(nb::module_& m) {
    m.def(
        "temperature", [](double temperature) { return SamplerStage(Temperature{temperature}); },
        "temperature"_a, "Divide the logits; 0 keeps only the largest.");
    m.def(
        "dynamic_temperature",
        [](double temperature, double range, double exponent) {
            return SamplerStage(DynamicTemperature{temperature, range, exponent});
        },
        "temperature"_a, "range"_a, "exponent"_a = 1.0, "Temperature by entropy (arXiv 2309.02772).");
    m.def(
        "penalties",
        [](int64_t last_n, double repeat, double frequency, double presence) {
            return SamplerStage(Penalties{last_n, repeat, frequency, presence});
        },
        "last_n"_a = 64, "repeat"_a = 1.0, "frequency"_a = 0.0, "presence"_a = 0.0,
        "Make tokens of the last ``last_n`` less likely.");
    m.def(
        "dry",
        [](double multiplier, double base, int64_t allowed_length, int64_t last_n, nb::iterable breakers) {
            return SamplerStage(Dry{multiplier, base, allowed_length, last_n, texts(breakers)});
        },
        "multiplier"_a = 0.8, "base"_a = 1.75, "allowed_length"_a = 2, "last_n"_a = 1024,
        "sequence_breakers"_a = nb::make_tuple("\n", ":", "\"", "*"),
        nb::sig("def dry(multiplier: float = 0.8, base: float = 1.75, allowed_length: int = 2, last_n: int = "
                "1024, "
                "sequence_breakers: collections.abc.Iterable[str] = ...) -> SamplerStage"),
        "Penalize tokens that would go on repeating a sequence.");
    m.def(
        "logit_bias",
        [](std::map<Token, double> biases) {
            return SamplerStage(LogitBias{{biases.begin(), biases.end()}});
        },
        "biases"_a, "Add to the logits of tokens; ``-inf`` bans one.");
    m.def(
        "infill", [] { return SamplerStage(Infill{}); },
        "Prefer to end a filled-in middle; after top_k and top_p.");
    m.def(
        "grammar",
        [](nb::str text, nb::str root) {
            return SamplerStage(Grammar{std::string(utf8(text)), std::string(utf8(root)), {}, {}, false});
        },
        "text"_a, "root"_a = "root", "Allow only what a GBNF grammar does.");
    m.def(
        "lazy_grammar",
        [](nb::str text, nb::str root, nb::iterable patterns, std::vector<Token> tokens) {
            return SamplerStage(Grammar{std::string(utf8(text)), std::string(utf8(root)), texts(patterns),
                                        std::move(tokens), true});
        },
        "text"_a, nb::kw_only(), "root"_a = "root", "trigger_patterns"_a = nb::tuple(),
        "trigger_tokens"_a = std::vector<Token>(),
        nb::sig("def lazy_grammar(text: str, *, root: str = 'root', "
                "trigger_patterns: collections.abc.Iterable[str] = (), "
                "trigger_tokens: collections.abc.Sequence[int] = ()) -> SamplerStage"),
        "A GBNF grammar that begins at the first match of a pattern (its first group) or at a trigger "
        "token.");
}

Token sample_array(Sampler& sampler,
                   const nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>& logits,
                   bool accept) {
    return call_native([&] { return sampler.sample(logits.data(), logits.shape(0), accept); });
}

} // namespace

void bind_samplers(nb::module_& m) {
    nb::class_<SamplerStage>(m, "SamplerStage",
                             "One sampler of a chain; made by the functions of inllama.samplers.");
    bind_selecting(m);
    bind_truncating(m);
    bind_weighting(m);

    nb::class_<Sampler>(m, "Sampler", R"doc(A chain of samplers: chooses the next token. One thread at a time.

Args:
    model: The model whose tokens are chosen.
    stages: From ``inllama.samplers``, in order; the last one, and no other, selects.

Raises:
    InvalidRequestError: A stage is out of range, or the chain does not end with its one selecting stage.
    GrammarError: A grammar cannot be enforced; ``.line`` and ``.column`` say where.
)doc",
                        nb::is_weak_referenceable())
        .def(
            "__init__",
            [](Sampler* self, const PyModel& model, std::vector<SamplerStage> chain) {
                const auto tokenizer = model.tokenizer();
                call_native([&] { new (self) Sampler(tokenizer, chain); });
            },
            "model"_a, "stages"_a)
        .def(
            "sample",
            [](Sampler& self, PyContext& context, int64_t row, bool accept) {
                return call_native([&] { return self.sample(context, row, accept); });
            },
            "context"_a, "row"_a = -1, nb::kw_only(), "accept"_a = true,
            R"doc(Return a token chosen from a row of the context's last call.

Args:
    context: Where the logits are.
    row: As in ``Context.logits``.
    accept: Tell the chain that the token is next; then do not call ``accept`` for it.

Raises:
    GrammarError: The grammar allows no token.
    DecodeError: The logits are not all numbers.
)doc")
        .def("sample_logits", &sample_array, "logits"_a, nb::kw_only(), "accept"_a = true,
             nb::sig("def sample_logits(self, logits: numpy.typing.NDArray[numpy.float32], *, accept: bool = "
                     "True) -> int"),
             "Return a token chosen from logits, float32 ``(n_vocab,)``.")
        .def(
            "accept", [](Sampler& self, Token token) { call_native([&] { self.accept(token); }); }, "token"_a,
            "Tell the chain that a token is next which it did not choose, such as one of the prompt. Raises "
            "``GrammarError``, and changes nothing, if a grammar forbids it.")
        .def(
            "accept_prompt",
            [](Sampler& self, nb::object tokens) {
                const std::vector<Token> ids = integers(tokens, "token");
                call_native([&] { self.accept_prompt(ids); });
            },
            "tokens"_a,
            nb::sig("def accept_prompt(self, tokens: numpy.typing.NDArray[numpy.integer] | "
                    "collections.abc.Iterable[int]) -> None"),
            "Tell the chain the tokens of a prompt: penalties see them, grammars do not.")
        .def(
            "reset", [](Sampler& self) { call_native([&] { self.reset(); }); },
            "Forget everything accepted and start the random numbers anew.")
        .def(
            "clone", [](const Sampler& self) { return call_native([&] { return self.clone(); }); },
            "Return a sampler in the same state that goes its own way.");
}

} // namespace inllama
