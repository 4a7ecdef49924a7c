// How a native call is made: without the GIL, and with llama.cpp's log published afterwards.
#pragma once

#include "bind/module.h"

#include <type_traits>
#include <utility>

namespace inllama {

// Gives the waiting lines of llama.cpp's log to the Python handler. REQUIRES: the GIL.
void publish_log();

// Runs `function` without the GIL and gives its result. The log is published whether or not it throws.
template<class Function> auto call_native(Function&& function) {
    struct Publish {
        ~Publish() { publish_log(); }
    };
    const Publish publish;
    const nb::gil_scoped_release release;
    return std::forward<Function>(function)();
}

} // namespace inllama
