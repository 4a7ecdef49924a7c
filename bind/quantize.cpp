#include "core/llama/quantize.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/engine.h"
#include "bind/progress.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

namespace inllama {

namespace {

using Values = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

Importance importance_of(const nb::dict& options) {
    Importance made;
    for (const auto& [name, given] : nb::cast<nb::dict>(options["importance"])) {
        const auto values = nb::cast<Values>(given);
        made.values[std::string(utf8(name))].assign(values.data(), values.data() + values.size());
    }
    made.file = option<std::string>(options, "importance_file");
    made.dataset = option<std::string>(options, "importance_dataset");
    made.n_chunks = option<int>(options, "importance_chunks");
    return made;
}

void quantized(nb::object source, nb::object target, const nb::dict& options, nb::object progress) {
    QuantizeParams params;
    params.type = option<std::string>(options, "type");
    params.n_threads = option<int>(options, "n_threads");
    params.output_type = option<std::string>(options, "output_type");
    params.token_embedding_type = option<std::string>(options, "token_embedding_type");
    params.allow_requantize = option<bool>(options, "allow_requantize");
    params.quantize_output = option<bool>(options, "quantize_output");
    params.pure = option<bool>(options, "pure");
    params.importance = importance_of(options);
    Progress watch(progress);
    params.progress = [&watch](int done, int all) {
        return watch(all > 0 ? static_cast<float>(done) / static_cast<float>(all) : 0.0f);
    };
    const std::string from = file_path(source);
    const std::string to = file_path(target);
    try {
        call_native([&] { quantize(from, to, params); });
    } catch (const Error&) {
        watch.rethrow();
        throw;
    }
    watch.rethrow();
}

} // namespace

void bind_quantize(nb::module_& m) {
    m.def("quantize", quantized, "source"_a, "target"_a, "options"_a, "progress"_a = nb::none(),
          nb::sig("def quantize(source: str | os.PathLike[str], target: str | os.PathLike[str], "
                  "options: dict[str, object], "
                  "progress: collections.abc.Callable[[float], object] | None = None) -> None"),
          "Write a model with other types of weights; the file is incomplete if it raises.");
    m.def("quantization_types", &quantization_types, "Return the names that a type can have.");
}

} // namespace inllama
