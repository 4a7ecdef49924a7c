#include "core/llama/estimate.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/engine.h"
#include "bind/model.h"
#include "core/platform/memory.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace inllama {

namespace {

ModelParams model_params(const nb::dict& loading) {
    ModelParams params;
    params.gpu_layers = layers_of(loading["gpu_layers"]);
    params.split_mode = option<std::string>(loading, "split_mode");
    params.devices = option<std::vector<std::string>>(loading, "devices");
    params.tensor_split = option<std::vector<float>>(loading, "tensor_split");
    params.kv_overrides = metadata_values(nb::cast<nb::dict>(loading["kv_overrides"]));
    for (const auto& [tensors, type] :
         option<std::map<std::string, std::string>>(loading, "tensor_overrides")) {
        params.tensor_overrides.emplace_back(tensors, type);
    }
    params.repack = option<bool>(loading, "repack");
    return params;
}

nb::list uses_of(const MemoryPlan& plan, const nb::dict& engine) {
    const DecoderParams decoder = decoder_params(engine);
    nb::list uses;
    for (const MemoryUse& use : call_native([&] { return plan.uses(decoder); })) {
        uses.append(nb::make_tuple(use.buffer, use.device, use.is_host, use.model, use.context, use.compute,
                                   use.output));
    }
    return uses;
}

} // namespace

void bind_estimate(nb::module_& m) {
    nb::class_<MemoryPlan>(m, "MemoryPlan", "A model without weights, to plan with.")
        .def(
            "__init__",
            [](MemoryPlan* self, nb::object path, const nb::dict& loading) {
                const std::string file = file_path(path);
                const ModelParams params = model_params(loading);
                call_native([&] { new (self) MemoryPlan(file, params); });
            },
            "path"_a, "loading"_a,
            nb::sig("def __init__(self, path: str | os.PathLike[str], loading: dict[str, object]) -> None"))
        .def("uses", uses_of, "engine"_a,
             nb::sig("def uses(self, engine: dict[str, object]) -> "
                     "list[tuple[str, str, bool, int, int, int, int]]"),
             "Return what would be allocated, as (buffer, device, is_host, model, context, compute, output) "
             "in "
             "bytes.")
        .def_prop_ro("n_ctx_train", &MemoryPlan::n_ctx_train, "Tokens of context that it was trained with.")
        .def_prop_ro("n_layer", &MemoryPlan::n_layer, "Number of layers.");
    m.def("memory_limit_bytes", &memory_limit_bytes,
          "Bytes that this process could ever hold: the machine's, or its cgroup's limit; 0 if unknown.");
    m.def("memory_free_bytes", &memory_free_bytes,
          "Bytes of main memory that this process could still take; 0 if unknown.");
}

} // namespace inllama
