// How a native call is made: without the GIL, counted, and with llama.cpp's log published afterwards.
#pragma once

#include "bind/exit.h"
#include "bind/module.h"
#include "core/error.h"
#include "core/llama/context.h"

#include <exception>
#include <new>
#include <string>
#include <utility>

namespace inllama {

// Gives the waiting lines of llama.cpp's log to the Python handler. REQUIRES: the GIL.
void publish_log();

// Runs `function` without the GIL and gives its result. The log is published whether or not it throws.
template<class Function> auto call_native(Function&& function) {
    struct Publish {
        ~Publish() { publish_log(); }
    };
    const NativeCall inside; // outermost: the log's handler is Python code below C++ frames
    const Publish publish;
    const nb::gil_scoped_release release;
    try {
        return std::forward<Function>(function)();
    } catch (const Error&) {
        throw;
    } catch (const BufferMoved&) {
        throw;
    } catch (const std::bad_alloc&) {
        throw Error(ErrorKind::InsufficientMemoryError, "there is not enough memory for this call");
    } catch (const std::exception& error) {
        // llama.cpp throws through its C functions; what comes out is never a Python error of its own.
        throw Error(ErrorKind::EngineError, std::string("llama.cpp failed: ") + error.what());
    }
}

} // namespace inllama
