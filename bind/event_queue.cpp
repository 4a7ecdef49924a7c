#include "bind/event_queue.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/errors.h"
#include "core/platform/process.h"

#include <nanobind/stl/optional.h>

#include <cmath>
#include <limits>

namespace inllama {

namespace {

// Tuples are made entry by entry: this runs once per chunk of every stream.
class Tuple {
  public:
    explicit Tuple(size_t n) : tuple_(nb::steal<nb::tuple>(PyTuple_New(static_cast<Py_ssize_t>(n)))) {
        if (!tuple_.is_valid()) {
            throw nb::python_error();
        }
    }

    void add(nb::object value) { PyTuple_SET_ITEM(tuple_.ptr(), n_++, value.release().ptr()); }
    nb::tuple take() { return std::move(tuple_); }

  private:
    nb::tuple tuple_;
    Py_ssize_t n_ = 0;
};

nb::tuple tuple_of(const std::vector<Token>& tokens) {
    Tuple made(tokens.size());
    for (const Token token : tokens) {
        made.add(nb::int_(token));
    }
    return made.take();
}

nb::object logprobs_of(const Event& event) {
    if (event.logprobs.empty()) {
        return nb::none();
    }
    Tuple rows(event.logprobs.size());
    for (const TokenLogprobs& one : event.logprobs) {
        Tuple top(one.top.size());
        for (const auto& [token, value] : one.top) {
            top.add(nb::make_tuple(token, value));
        }
        rows.add(nb::make_tuple(one.chosen, top.take()));
    }
    return rows.take();
}

nb::object finish_of(const Event& event) {
    static const char* const kNames[] = {"stop", "length", "cancelled"};
    return event.finish ? nb::object(nb::str(kNames[static_cast<size_t>(*event.finish)])) : nb::none();
}

nb::object summary_of(const Event& event) {
    if (event.summary == nullptr) {
        return nb::none();
    }
    const RequestSummary& summary = *event.summary;
    return nb::make_tuple(summary.n_prompt, summary.n_cached, summary.n_completion, summary.queued_s,
                          summary.prefill_s, summary.first_token_s, summary.total_s);
}

// (request, output, text, tokens, logprobs, finish, stop string's index, stop token, error, summary, values,
// state)
nb::tuple to_tuple(Event& event) {
    const auto* index = std::get_if<size_t>(&event.stop);
    const auto* token = std::get_if<Token>(&event.stop);
    Tuple made(12);
    made.add(nb::int_(event.request));
    made.add(nb::int_(event.output));
    made.add(nb::str(event.text.data(), event.text.size()));
    made.add(tuple_of(event.tokens));
    made.add(logprobs_of(event));
    made.add(finish_of(event));
    made.add(index != nullptr ? nb::object(nb::int_(*index)) : nb::none());
    made.add(token != nullptr ? nb::object(nb::int_(*token)) : nb::none());
    made.add(event.error ? to_exception(*event.error) : nb::none());
    made.add(summary_of(event));
    made.add(event.values ? nb::cast(to_array(std::move(*event.values))) : nb::none());
    made.add(event.state ? nb::bytes(event.state->data(), event.state->size()) : nb::object(nb::none()));
    return made.take();
}

} // namespace

PyEventQueue::PyEventQueue() : process(process_id()) {}

PyEventQueue::~PyEventQueue() {
    if (process != process_id()) {
        static_cast<void>(new std::shared_ptr<EventQueue>(std::move(queue)));
        static_cast<void>(new decltype(unread)(std::move(unread)));
    }
}

void PyEventQueue::check_process() const {
    if (process != process_id()) {
        throw Error(ErrorKind::ForkedEngineError,
                    "this request was made before the process forked and stays with the parent");
    }
}

namespace {

nb::list take(PyEventQueue& self, double wait, std::optional<size_t> limit, bool are_read) {
    const NativeCall inside; // a daemon thread that comes here while Python ends goes no further
    self.check_process();
    const size_t n_max = limit.value_or(std::numeric_limits<size_t>::max());
    std::vector<Event> taken = self.queue->take(n_max, are_read);
    if (taken.empty() && wait > 0) {
        const auto time = std::chrono::milliseconds(std::lround(std::min(wait, 60.0) * 1000));
        call_native([&] { self.queue->wait_for(time); });
        taken = self.queue->take(n_max, are_read);
    }
    nb::list events;
    for (Event& event : taken) {
        if (!are_read && event.summary != nullptr) {
            self.unread.erase(event.request);
        } else if (!are_read) {
            self.unread.try_emplace(event.request, event.control);
        }
        events.append(to_tuple(event));
    }
    return events;
}

} // namespace

void bind_event_queue(nb::module_& m) {
    nb::class_<PyEventQueue>(m, "EventQueue", "Carries events from engines to one consumer.")
        .def(nb::init<>())
        .def(
            "take", &take, "wait"_a = 0.0, "limit"_a = nb::none(), "are_read"_a = true,
            nb::sig(
                "def take(self, wait: float = 0.0, limit: int | None = None, are_read: bool = True) -> "
                "list[tuple[int, int, str, "
                "tuple[int, ...], typing.Any, "
                "str | None, int | None, int | None, Exception | None, tuple[int, int, int, float, float, "
                "float, float] | None, typing.Any]]"),
            "Return the events there are, at most ``limit``; if there are none, wait for some, at most so "
            "many seconds. Each "
            "is: request, "
            "output, text, tokens, logprobs, finish, index of the stop string, stop token, error, summary, "
            "logits. A request pauses while too many of its events are not read; with ``are_read=False`` the "
            "consumer says so with ``note_read``.")
        .def(
            "note_read",
            [](PyEventQueue& self, uint64_t request, int n) {
                const auto found = self.unread.find(request);
                if (found != self.unread.end()) {
                    found->second->note_read(n);
                }
            },
            "request"_a, "n"_a = 1, "Count events of a request as read that were taken before.")
        .def(
            "descriptor", [](PyEventQueue& self) { return self.queue->descriptor(); },
            "Return a file descriptor that is readable while there are events.");
}

} // namespace inllama
