// The Python face of Context: it frees without the GIL.
#pragma once

#include "bind/module.h"
#include "core/llama/context.h"

namespace inllama {

class PyContext : public Context {
  public:
    using Context::Context;
    ~PyContext();
    PyContext(const PyContext&) = delete;
    PyContext& operator=(const PyContext&) = delete;

    // The model object, so that `context.model` is what was given.
    nb::object model;
};

} // namespace inllama
