#include "bind/structure.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "core/either_structure.h"
#include "core/error.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <set>

namespace inllama {

namespace {

using MaskArray = nb::ndarray<nb::numpy, uint32_t, nb::ndim<1>>;

// Follows one output, for tests and measurements.
struct PyMaskSource {
    std::unique_ptr<MaskSource> source;
    size_t n_words;
};

const Structure& compiled(const PyStructure& structure) {
    if (!structure.compiled) {
        throw Error(ErrorKind::UnsupportedError,
                    "this grammar is not compiled: it runs on llama.cpp's own sampler");
    }
    return *structure.compiled;
}

bool accepts(const PyStructure& self, const nb::bytes& output) {
    const Structure& structure = compiled(self);
    const std::string bytes(output.c_str(), output.size());
    return call_native([&] {
        const auto source = structure.start();
        return (bytes.empty() || source->accept_bytes(bytes)) && source->can_end();
    });
}

nb::object fill(PyMaskSource& self) {
    auto* words = new std::vector<uint32_t>(self.n_words);
    const nb::capsule owner(words,
                            [](void* held) noexcept { delete static_cast<std::vector<uint32_t>*>(held); });
    if (!call_native([&] { return self.source->fill(words->data()); })) {
        return nb::none();
    }
    need_numpy();
    return nb::cast(MaskArray(words->data(), {words->size()}, owner));
}

template<class T> std::vector<T> listed(const nb::dict& start, const char* key) {
    return start.contains(key) ? nb::cast<std::vector<T>>(start[key]) : std::vector<T>();
}

} // namespace

const PyStructure* structure_of(const nb::dict& request) {
    if (!request.contains("structure") || nb::object(request["structure"]).is_none()) {
        return nullptr;
    }
    return nb::cast<const PyStructure*>(request["structure"]);
}

StructureStart structure_start_of(const nb::dict& request) {
    StructureStart start;
    if (!request.contains("structure_start") || nb::object(request["structure_start"]).is_none()) {
        return start;
    }
    const auto given = nb::cast<nb::dict>(request["structure_start"]);
    static const std::set<std::string> known = {"after",   "at",     "tokens", "patterns",
                                                "spelled", "beyond", "prefix"};
    for (const auto& [key, value] : given) {
        if (known.count(nb::cast<std::string>(key)) == 0) {
            throw Error(ErrorKind::InvalidRequestError,
                        "structure_start has no key '" + nb::cast<std::string>(key) +
                            "'; there are after, at, tokens, patterns, spelled, beyond and prefix");
        }
    }
    start.after = listed<std::string>(given, "after");
    start.at = listed<std::string>(given, "at");
    start.tokens = listed<Token>(given, "tokens");
    start.patterns = listed<std::string>(given, "patterns");
    start.spelled = listed<Token>(given, "spelled");
    start.beyond = listed<std::string>(given, "beyond");
    start.prefix = given.contains("prefix") ? nb::cast<std::string>(given["prefix"]) : std::string();
    return start;
}

void bind_structure(nb::module_& m) {
    nb::class_<PyMaskSource>(m, "MaskSource", "Follows one output through a structure. One thread at a time.")
        .def("fill", &fill, nb::sig("def fill(self) -> numpy.typing.NDArray[numpy.uint32] | None"),
             "Return a bit per token that may come next, ``None`` if every token may.")
        .def(
            "accept",
            [](PyMaskSource& self, Token token) {
                return call_native([&] { return self.source->accept(token); });
            },
            "token"_a, "Go on with a token; return whether it may come next.")
        .def(
            "accept_bytes",
            [](PyMaskSource& self, const nb::bytes& bytes) {
                const std::string copy(bytes.c_str(), bytes.size());
                return call_native([&] { return self.source->accept_bytes(copy); });
            },
            "data"_a, "Go on with bytes; return whether they may come next.")
        .def(
            "rollback", [](PyMaskSource& self, int n) { call_native([&] { self.source->rollback(n); }); },
            "n"_a, "Take back the last ``n`` accepted steps.")
        .def_prop_ro("can_end", [](const PyMaskSource& self) { return self.source->can_end(); })
        .def_prop_ro("is_done", [](const PyMaskSource& self) { return self.source->is_done(); });

    nb::class_<PyStructure>(m, "Structure", "What the outputs of a request must look like. Any thread.")
        .def_prop_ro(
            "is_compiled", [](const PyStructure& self) { return self.compiled != nullptr; },
            "Whether masks are made of it; otherwise llama.cpp's own sampler follows the grammar.")
        .def_prop_ro(
            "n_bytes", [](const PyStructure& self) { return compiled(self).n_bytes(); },
            "What it holds in memory.")
        .def(
            "either",
            [](const PyStructure& self, const PyStructure& other) {
                static_cast<void>(compiled(self));
                static_cast<void>(compiled(other));
                return PyStructure{std::make_shared<const EitherStructure>(self.compiled, other.compiled),
                                   {}};
            },
            "other"_a, "Return the structure that is this one or ``other``, as the output decides.")
        .def("accepts", &accepts, "output"_a, "Return whether ``output`` is possible as a whole.")
        .def(
            "start",
            [](const PyStructure& self) {
                const Structure& structure = compiled(self);
                return PyMaskSource{call_native([&] { return structure.start(); }),
                                    mask_words(structure.n_tokens())};
            },
            "Return what follows one output through it.");
}

} // namespace inllama
