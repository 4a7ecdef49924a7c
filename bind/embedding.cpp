#include "bind/embedding.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/event_queue.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>

namespace inllama {

namespace {

Normalization normalization_of(const std::string& name) {
    if (name == "l2") {
        return Normalization::l2;
    }
    return name == "max_abs" ? Normalization::max_abs : Normalization::none;
}

nb::tuple limits_of(const PyEngine& self, const std::optional<std::string>& asked) {
    std::string pooling;
    const EmbedderLimits limits = call_native([&] {
        pooling = self.pooling(asked);
        return self.embedder_limits(pooling);
    });
    return nb::make_tuple(pooling, limits.n_values, limits.n_positions, limits.n_rows, limits.bytes_per_row);
}

uint64_t submit_texts(PyEngine& self, const PyEventQueue& events, nb::handle texts, const nb::dict& request,
                      bool is_waiting) {
    EmbedRequest made;
    size_t n_longest = 1;
    for (nb::handle text : nb::iter(texts)) {
        const std::vector<Token> tokens = integers(text, "token");
        made.tokens.insert(made.tokens.end(), tokens.begin(), tokens.end());
        made.ends.push_back(made.tokens.size());
        n_longest = std::max(n_longest, tokens.size());
    }
    made.embedder = option<std::string>(request, "pooling");
    made.n_dimensions = option<int>(request, "dimensions");
    made.normalization = normalization_of(option<std::string>(request, "normalize"));
    made.priority = option<int>(request, "priority");
    if (const auto timeout = option<std::optional<double>>(request, "timeout_s")) {
        const std::chrono::duration<double> time(std::min(*timeout, 1e9));
        made.deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(time);
    }
    made.events = events.queue;
    return call_native([&] {
        size_t text = 0;
        for (size_t i = 0; i < made.tokens.size(); i++) {
            while (i >= made.ends[text]) {
                text++;
            }
            try {
                self.check_token(made.tokens[i]);
            } catch (Error& error) {
                throw Error(error).with("index", text);
            }
        }
        self.need_embedder(made.embedder, static_cast<int64_t>(n_longest));
        return self.engine().submit(std::move(made), is_waiting).id;
    });
}

} // namespace

void bind_embedding(nb::class_<PyEngine>& engine) {
    engine
        .def("embedding_limits", &limits_of, "pooling"_a.none(),
             nb::sig("def embedding_limits(self, pooling: str | None) -> tuple[str, int, int, int, int]"),
             "Return the pooling, by default the model's own, the number of values of a vector, the tokens "
             "that the model can compute in one text, those for which there may be memory, and the bytes of "
             "it that each needs.")
        .def("submit_texts", &submit_texts, "events"_a, "texts"_a, "request"_a, "is_waiting"_a = false,
             nb::sig("def submit_texts(self, events: EventQueue, texts: "
                     "collections.abc.Iterable[numpy.typing.NDArray[numpy.integer] | "
                     "collections.abc.Iterable[int]], request: dict[str, object], is_waiting: bool = False) "
                     "-> int"),
             "Take texts as tokens; return the request's number. One event brings all vectors through "
             "``events``.");
}

} // namespace inllama
