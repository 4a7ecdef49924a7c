#include "core/llama/adapter.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/model.h"
#include "bind/module.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

namespace inllama {

void bind_adapter(nb::module_& m) {
    nb::class_<Adapter>(m, "Adapter",
                        R"doc(A LoRA adapter, to be used with ``Context.set_adapters``. Immutable; any thread.

Raises:
    ModelLoadError: The file is damaged, not a LoRA, or made for another model.
)doc",
                        nb::is_weak_referenceable())
        .def(
            "__init__",
            [](Adapter* self, const PyModel& model, nb::object path) {
                const std::string file = file_path(path);
                call_native([&] { new (self) Adapter(model.handle(), file); });
            },
            "model"_a, "path"_a,
            nb::sig("def __init__(self, model: Model, path: str | os.PathLike[str]) -> None"))
        .def_prop_ro(
            "path", [](const Adapter& adapter) { return text_of(adapter.path()); },
            "The file it was loaded from.")
        .def_prop_ro("metadata", &Adapter::metadata, "Every metadata entry of the file as text.")
        .def("__repr__", [](const Adapter& adapter) { return text_of("Adapter('" + adapter.path() + "')"); });
}

} // namespace inllama
