// How a long call tells Python how far it is.
#pragma once

#include "bind/exit.h"
#include "bind/module.h"

#include <chrono>
#include <exception>
#include <utility>

namespace inllama {

// Tells Python how far a load is, and stops it for False, an exception or Ctrl-C.
class Progress {
  public:
    explicit Progress(nb::object callback) : callback_(std::move(callback)) {}

    // On the loading thread, which has released the GIL.
    bool operator()(float progress) {
        const auto now = std::chrono::steady_clock::now();
        if (progress > 0.0f && progress < 1.0f && now - last_ < std::chrono::milliseconds(20)) {
            return true;
        }
        last_ = now;
        if (is_exiting()) {
            return false;
        }
        const nb::gil_scoped_acquire gil;
        try {
            if (PyErr_CheckSignals() != 0) {
                throw nb::python_error();
            }
            if (callback_.is_none()) {
                return true;
            }
            return !callback_(progress).is(nb::borrow(Py_False));
        } catch (...) {
            thrown_ = std::current_exception();
            return false;
        }
    }

    void rethrow() {
        if (thrown_) {
            std::rethrow_exception(std::exchange(thrown_, nullptr));
        }
    }

  private:
    nb::object callback_;
    std::chrono::steady_clock::time_point last_;
    std::exception_ptr thrown_;
};

} // namespace inllama
