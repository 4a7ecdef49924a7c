// Sampling options from a dict.
#pragma once

#include "bind/module.h"
#include "core/sampling_params.h"

namespace inllama {

// The options in `fields`, and the defaults of the others. Throws InvalidRequestError (field option) for a
// value of a type that is not possible.
SamplingParams sampling_params_of(const nb::dict& fields);

} // namespace inllama
