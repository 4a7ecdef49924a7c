// C++ errors as Python exceptions.
#pragma once

#include "bind/module.h"
#include "core/error.h"

namespace inllama {

// The exception that raising `error` would give. REQUIRES: the GIL.
nb::object to_exception(const Error& error);

} // namespace inllama
