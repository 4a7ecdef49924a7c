// What an engine's memory holds, as bytes.
#pragma once

#include "bind/engine.h"

namespace inllama {

void bind_engine_state(nb::class_<PyEngine>& engine);

} // namespace inllama
