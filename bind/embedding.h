// What an engine does with texts besides generating.
#pragma once

#include "bind/engine.h"

namespace inllama {

void bind_embedding(nb::class_<PyEngine>& engine);

} // namespace inllama
