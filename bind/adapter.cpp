#include "bind/adapter.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/model.h"
#include "bind/module.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>

namespace inllama {

PyAdapter::~PyAdapter() {
    const NativeCall inside(NativeCall::Entry::always);
    // Freeing waits for every computation over the model.
    const nb::gil_scoped_release release;
    adapter_.reset();
}

void bind_adapter(nb::module_& m) {
    nb::class_<PyAdapter>(
        m, "Adapter",
        R"doc(A LoRA adapter, to be used with ``Context.set_adapters``. Immutable; any thread.

Raises:
    ModelLoadError: The file is damaged, not a LoRA, or made for another model.
)doc",
        nb::is_weak_referenceable())
        .def(
            "__init__",
            [](PyAdapter* self, const PyModel& model, nb::object path) {
                const std::string file = file_path(path);
                const std::shared_ptr<ModelHandle> handle = model.handle();
                new (self) PyAdapter(call_native([&] { return std::make_shared<Adapter>(handle, file); }));
            },
            "model"_a, "path"_a,
            nb::sig("def __init__(self, model: Model, path: str | os.PathLike[str]) -> None"))
        .def_prop_ro(
            "path", [](const PyAdapter& self) { return text_of(self.adapter()->path()); },
            "The file it was loaded from.")
        .def_prop_ro(
            "metadata", [](const PyAdapter& self) { return self.adapter()->metadata(); },
            "Every metadata entry of the file as text.")
        .def("__repr__",
             [](const PyAdapter& self) { return text_of("Adapter('" + self.adapter()->path() + "')"); });
}

} // namespace inllama
