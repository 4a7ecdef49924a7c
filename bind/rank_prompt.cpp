#include "core/llama/rank_prompt.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/model.h"

#include <nanobind/stl/string.h>

namespace inllama {

void bind_rank_prompt(nb::module_& m) {
    nb::class_<RankPrompt>(m, "RankPrompt", "A query and a document as tokens. Immutable; any thread.")
        .def(
            "__init__",
            [](RankPrompt* self, const PyModel& model) {
                const std::shared_ptr<const Tokenizer> tokenizer = model.tokenizer();
                call_native([&] { new (self) RankPrompt(tokenizer); });
            },
            "model"_a)
        .def(
            "encode",
            [](const RankPrompt& self, nb::str query, nb::str document) {
                const std::string first(utf8(query));
                const std::string second(utf8(document));
                return to_array(call_native([&] { return self.encode(first, second); }));
            },
            "query"_a, "document"_a,
            nb::sig("def encode(self, query: str, document: str) -> numpy.typing.NDArray[numpy.int32]"),
            "Return the tokens of which the model scores both, int32 ``(n_tokens,)``.");
}

} // namespace inllama
