#include "bind/sampling_params.h"

#include "bind/call.h"
#include "bind/model.h"
#include "bind/module.h"
#include "core/error.h"
#include "core/llama/sampler.h"
#include "core/llama/sampler_chain.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

namespace inllama {

namespace {

template<class T> void read(const nb::dict& fields, const char* name, T& value) {
    if (fields.contains(name)) {
        try {
            value = nb::cast<T>(fields[name]);
        } catch (const nb::cast_error&) {
            throw Error(ErrorKind::InvalidRequestError,
                        std::string(name) + " has a value that is not possible")
                .with("option", name);
        }
    }
}

nb::dict defaults() {
    const SamplingParams params;
    nb::dict fields;
#define INLLAMA_WRITE(type, name, value) fields[#name] = nb::cast(params.name);
    INLLAMA_SAMPLING_FIELDS(INLLAMA_WRITE)
#undef INLLAMA_WRITE
    return fields;
}

} // namespace

SamplingParams sampling_params_of(const nb::dict& fields) {
    SamplingParams params;
#define INLLAMA_READ(type, name, value) read(fields, #name, params.name);
    INLLAMA_SAMPLING_FIELDS(INLLAMA_READ)
#undef INLLAMA_READ
    return params;
}

void bind_sampling_params(nb::module_& m) {
    m.def("sampling_defaults", &defaults, nb::sig("def sampling_defaults() -> dict[str, object]"),
          "Return every sampling option of the native side with its default.");
    m.def("random_seed", &random_seed, "Return a seed drawn from the system.");
    m.def(
        "make_sampler",
        [](const PyModel& model, nb::dict fields, int64_t seed) {
            const SamplingParams params = sampling_params_of(fields);
            const uint32_t checked = checked_seed(seed);
            const auto tokenizer = model.tokenizer();
            return call_native([&] {
                return std::make_unique<Sampler>(tokenizer, stages_for(params, checked, *tokenizer));
            });
        },
        "model"_a, "fields"_a, "seed"_a,
        nb::sig("def make_sampler(model: Model, fields: dict[str, object], seed: int) -> Sampler"),
        "Return the chain for the sampling options in ``fields``.");
}

} // namespace inllama
