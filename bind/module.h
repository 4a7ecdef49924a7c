// What every binding file needs. Each bind_x makes the Python face of the core header x.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdlib>

namespace nb = nanobind;
using namespace nb::literals;

namespace inllama {

void bind_errors(nb::module_& m);
void bind_exit(nb::module_& m);
void bind_backend(nb::module_& m);
void bind_model(nb::module_& m);
void bind_tokenizer(nb::module_& m);
void bind_chat_template(nb::module_& m);
void bind_rank_prompt(nb::module_& m);
void bind_adapter(nb::module_& m);
void bind_batch(nb::module_& m);
void bind_context(nb::module_& m);
void bind_memory(nb::module_& m);
void bind_samplers(nb::module_& m);
void bind_sampling_params(nb::module_& m);
void bind_stop_matcher(nb::module_& m);
void bind_structure(nb::module_& m);
void bind_event_queue(nb::module_& m);
void bind_engine(nb::module_& m);
void bind_fake_engine(nb::module_& m);
void bind_estimate(nb::module_& m);
void bind_quantize(nb::module_& m);
void bind_gguf(nb::module_& m);

} // namespace inllama
