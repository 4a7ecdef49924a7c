#include "core/batch.h"

#include "bind/arrays.h"
#include "bind/module.h"
#include "core/error.h"

#include <nanobind/stl/string.h>

namespace inllama {

namespace {

std::vector<int8_t> output_flags(nb::handle outputs, size_t n) {
    if (nb::isinstance<nb::str>(outputs)) {
        const std::string which(utf8(outputs));
        std::vector<int8_t> flags(n, which == "all" ? 1 : 0);
        if (which == "last" && n > 0) {
            flags.back() = 1;
        }
        if (which != "last" && which != "all" && which != "none") {
            throw Error(ErrorKind::InvalidRequestError,
                        "outputs is '" + which + "'; use 'last', 'all', 'none' or a flag for each token");
        }
        return flags;
    }
    std::vector<int8_t> flags;
    for (nb::handle flag : outputs) {
        flags.push_back(nb::cast<bool>(nb::bool_(flag)) ? 1 : 0);
    }
    return flags;
}

void add_rows(Batch& batch, nb::handle tokens, int64_t sequence, nb::handle positions, nb::handle outputs) {
    BatchRows rows;
    rows.tokens = integers(tokens, "token");
    if (!positions.is_none()) {
        rows.positions = integers(positions, "position");
    }
    if (sequence < INT32_MIN || sequence > INT32_MAX) {
        throw Error(ErrorKind::InvalidRequestError,
                    "sequence " + std::to_string(sequence) + " is out of range");
    }
    rows.sequence = static_cast<SequenceId>(sequence);
    rows.outputs = output_flags(outputs, rows.tokens.size());
    batch.add(rows);
}

constexpr const char* kTypes = "tokens: numpy.typing.NDArray[numpy.integer] | collections.abc.Iterable[int]";

constexpr const char* kDoc = R"doc(Rows of one or many sequences, to be computed together.

Args:
    tokens: Token ids, ``(n_tokens,)``; none for an empty batch to add to.
    sequence: The sequence that the tokens belong to.
    positions: Their positions, ``(n_tokens,)``; by default the sequence goes on where its memory ends.
    outputs: Rows that give logits: ``"last"``, ``"all"``, ``"none"`` or one flag for each token.
)doc";

} // namespace

void bind_batch(nb::module_& m) {
    const std::string rest = ", *, sequence: int = 0, positions: numpy.typing.NDArray[numpy.integer] | "
                             "collections.abc.Iterable[int] | None = None, "
                             "outputs: str | collections.abc.Iterable[bool] = 'last') -> None";
    static const std::string init = "def __init__(self, " + std::string(kTypes) + " = ()" + rest;
    static const std::string add = "def add(self, " + std::string(kTypes) + rest;
    nb::class_<Batch>(m, "Batch", kDoc, nb::is_weak_referenceable())
        .def(
            "__init__",
            [](Batch* self, nb::object tokens, int64_t sequence, nb::object positions, nb::object outputs) {
                new (self) Batch();
                add_rows(*self, tokens, sequence, positions, outputs);
            },
            "tokens"_a = nb::tuple(), nb::kw_only(), "sequence"_a = 0, "positions"_a = nb::none(),
            "outputs"_a = "last", nb::sig(init.c_str()))
        .def(
            "add",
            [](Batch& self, nb::object tokens, int64_t sequence, nb::object positions, nb::object outputs) {
                add_rows(self, tokens, sequence, positions, outputs);
            },
            "tokens"_a, nb::kw_only(), "sequence"_a = 0, "positions"_a = nb::none(), "outputs"_a = "last",
            nb::sig(add.c_str()), "Add tokens of a sequence at the end.")
        .def("clear", &Batch::clear, "Forget all rows.")
        .def("__len__", &Batch::size);
}

} // namespace inllama
