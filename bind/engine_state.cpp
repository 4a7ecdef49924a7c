#include "bind/engine_state.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/event_queue.h"

#include <nanobind/stl/string.h>

namespace inllama {

namespace {

uint64_t save_state(PyEngine& self, const PyEventQueue& events, nb::handle tokens, const nb::dict& request) {
    StateRequest made;
    made.tokens = integers(tokens, "token");
    made.salt = option<std::string>(request, "cache_salt");
    made.adapters = self.adapters(request);
    made.events = events.queue;
    return call_native([&] { return self.engine().submit(std::move(made)).id; });
}

uint64_t load_state(PyEngine& self, const PyEventQueue& events, nb::bytes state) {
    StateRequest made;
    made.events = events.queue;
    const std::string_view bytes(state.c_str(), state.size());
    return call_native([&] {
        made.prefix = std::make_shared<const SavedPrefix>(decode_prefix(bytes));
        return self.engine().submit(std::move(made)).id;
    });
}

} // namespace

void bind_engine_state(nb::class_<PyEngine>& engine) {
    engine
        .def("save_state", &save_state, "events"_a, "tokens"_a, "request"_a,
             nb::sig("def save_state(self, events: EventQueue, tokens: numpy.typing.NDArray[numpy.integer] | "
                     "collections.abc.Iterable[int], request: dict[str, object]) -> int"),
             "Save what memory holds of the beginning of ``tokens``; return the request's number. One event "
             "brings the bytes through ``events``, and its summary the number of tokens.")
        .def("load_state", &load_state, "events"_a, "state"_a,
             "Load what ``save_state`` gave; return the request's number. One event's summary brings the "
             "number of tokens; 0: memory has no room for them. Raises ``StateError`` for damaged bytes.");
}

} // namespace inllama
