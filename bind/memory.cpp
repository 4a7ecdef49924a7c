#include "core/llama/memory.h"

#include "bind/call.h"
#include "bind/module.h"

#include <nanobind/stl/optional.h>

namespace inllama {

void bind_memory(nb::module_& m) {
    nb::class_<Memory>(m, "Memory",
                       R"doc(What a context remembers of its sequences. Same threads as the context.

``begin`` and ``end`` are positions, ``end`` not included and by default the end of the sequence. Every method raises
``InvalidRequestError`` for a sequence or range that does not exist.
)doc")
        .def(
            "remove",
            [](Memory& self, SequenceId sequence, Position begin, std::optional<Position> end) {
                return call_native([&] { return self.remove(sequence, {begin, end}); });
            },
            "sequence"_a, "begin"_a = 0, "end"_a = nb::none(),
            "Forget a range; ``False``, and nothing changed, if this kind of memory cannot forget only a "
            "part.")
        .def(
            "copy",
            [](Memory& self, SequenceId from, SequenceId to, Position begin, std::optional<Position> end) {
                call_native([&] { self.copy(from, to, {begin, end}); });
            },
            "source"_a, "target"_a, "begin"_a = 0, "end"_a = nb::none(),
            "Let sequence ``target`` share what ``source`` remembers of a range. Raises ``UnsupportedError`` "
            "for a part "
            "where only whole sequences can be copied.")
        .def(
            "keep", [](Memory& self, SequenceId sequence) { call_native([&] { self.keep(sequence); }); },
            "sequence"_a, "Forget every other sequence.")
        .def(
            "add",
            [](Memory& self, SequenceId sequence, Position delta, Position begin,
               std::optional<Position> end) {
                call_native([&] { self.add(sequence, {begin, end}, delta); });
            },
            "sequence"_a, "delta"_a, "begin"_a = 0, "end"_a = nb::none(),
            "Move the positions of a range by ``delta``; ``UnsupportedError`` unless ``can_shift``.")
        .def(
            "divide",
            [](Memory& self, SequenceId sequence, int divisor, Position begin, std::optional<Position> end) {
                call_native([&] { self.divide(sequence, {begin, end}, divisor); });
            },
            "sequence"_a, "divisor"_a, "begin"_a = 0, "end"_a = nb::none(),
            "Divide the positions of a range by ``divisor``, at least 2; ``UnsupportedError`` unless "
            "``can_shift``.")
        .def(
            "clear", [](Memory& self, bool data) { call_native([&] { self.clear(data); }); }, nb::kw_only(),
            "data"_a = false, "Forget everything; with ``data``, also zero the buffers.")
        .def("pos_min", &Memory::pos_min, "sequence"_a,
             "Return the first position of a sequence; ``None`` if empty.")
        .def("pos_max", &Memory::pos_max, "sequence"_a,
             "Return the last position of a sequence; ``None`` if empty.")
        .def_prop_ro("can_shift", &Memory::can_shift, "Whether positions can be moved.")
        .def_prop_ro("n_sequences", &Memory::n_sequences, "How many sequence ids there are.");
}

} // namespace inllama
