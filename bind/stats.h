// What an engine has done, for Python.
#pragma once

#include "bind/module.h"
#include "core/stats.h"

namespace inllama {

nb::dict stats_of(const Stats& stats);

} // namespace inllama
