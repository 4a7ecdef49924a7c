// The Python face of Structure: what the outputs of a request must look like.
#pragma once

#include "bind/module.h"
#include "core/mask_source.h"
#include "core/structure_start.h"

#include <memory>
#include <string>

namespace inllama {

// Compiled for a vocabulary, or a GBNF grammar for llama.cpp's own sampler.
struct PyStructure {
    std::shared_ptr<const Structure> compiled;
    std::string gbnf; // if it is not compiled
};

// The structure of a request, null if it has none, and where it begins. Throws InvalidRequestError for a
// start with an unknown key. REQUIRES: the GIL.
const PyStructure* structure_of(const nb::dict& request);
StructureStart structure_start_of(const nb::dict& request);

} // namespace inllama
