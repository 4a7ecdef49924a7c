#include "core/event_queue.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/errors.h"
#include "bind/module.h"

#include <nanobind/stl/shared_ptr.h>

#include <cmath>

namespace inllama {

namespace {

nb::tuple tuple_of(const std::vector<Token>& tokens) {
    nb::list list;
    for (const Token token : tokens) {
        list.append(token);
    }
    return nb::tuple(list);
}

nb::object logprobs_of(const Event& event) {
    if (event.logprobs.empty()) {
        return nb::none();
    }
    nb::list rows;
    for (const TokenLogprobs& one : event.logprobs) {
        nb::list top;
        for (const auto& [token, value] : one.top) {
            top.append(nb::make_tuple(token, value));
        }
        rows.append(nb::make_tuple(one.chosen, nb::tuple(top)));
    }
    return nb::tuple(rows);
}

const char* const kFinishNames[] = {"stop", "length", "cancelled"};

// (request, output, text, tokens, logprobs, finish, stop string's index, stop token, error, summary)
nb::tuple to_tuple(const Event& event) {
    const auto* index = std::get_if<size_t>(&event.stop);
    const auto* token = std::get_if<Token>(&event.stop);
    const RequestSummary* summary = event.summary.get();
    return nb::make_tuple(
        event.request, event.output, nb::str(event.text.data(), event.text.size()), tuple_of(event.tokens),
        logprobs_of(event),
        event.finish ? nb::object(nb::str(kFinishNames[static_cast<size_t>(*event.finish)])) : nb::none(),
        index != nullptr ? nb::object(nb::int_(*index)) : nb::none(),
        token != nullptr ? nb::object(nb::int_(*token)) : nb::none(),
        event.error ? to_exception(*event.error) : nb::none(),
        summary == nullptr
            ? nb::object(nb::none())
            : nb::object(nb::make_tuple(summary->n_prompt, summary->n_cached, summary->n_completion,
                                        summary->queued_s, summary->prefill_s, summary->first_token_s,
                                        summary->total_s)));
}

} // namespace

void bind_event_queue(nb::module_& m) {
    nb::class_<EventQueue>(m, "EventQueue", "Carries events from engines to one consumer.")
        .def(nb::init<>())
        .def(
            "take",
            [](EventQueue& self) {
                const NativeCall inside; // a daemon thread that comes here while Python ends goes no further
                nb::list events;
                for (const Event& event : self.take()) {
                    events.append(to_tuple(event));
                }
                return events;
            },
            nb::sig("def take(self) -> list[tuple[int, int, str, tuple[int, ...], typing.Any, str | None, "
                    "int | None, int | None, Exception | None, tuple[int, int, int, float, float, float, "
                    "float] | None]]"),
            "Return all events there are: request, output, text, tokens, logprobs, finish, index of the stop "
            "string, stop token, error, summary.")
        .def(
            "wait",
            [](EventQueue& self, double seconds) {
                const auto time = std::chrono::milliseconds(std::lround(std::min(seconds, 60.0) * 1000));
                return call_native([&] { return self.wait_for(time); });
            },
            "seconds"_a, "Wait for events, at most so long; return whether there are some.")
        .def("descriptor", &EventQueue::descriptor,
             "Return a file descriptor that is readable while there are events.");
}

} // namespace inllama
