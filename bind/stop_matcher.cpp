#include "core/stop_matcher.h"

#include "bind/module.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

namespace inllama {

void bind_stop_matcher(nb::module_& m) {
    nb::class_<StopMatcher>(m, "StopMatcher", "Finds stop strings in streamed text. One thread at a time.")
        .def(nb::init<std::vector<std::string>>(), "stops"_a)
        .def(
            "push",
            [](StopMatcher& self, std::string_view piece) {
                const StopMatcher::Step step = self.push(piece);
                return nb::make_tuple(step.text, step.stop);
            },
            "piece"_a, nb::sig("def push(self, piece: str) -> tuple[str, int | None]"),
            "Return the text to publish now and the index of the stop string that matched.")
        .def("flush", &StopMatcher::flush, "Return the text held back, at the end of the stream.");
}

} // namespace inllama
