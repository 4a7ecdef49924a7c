#include "bind/exit.h"

#include "core/error.h"

#include <atomic>
#include <chrono>
#include <thread>

namespace inllama {

namespace {

std::atomic<int> n_inside{0};
std::atomic<bool> exiting{false};
std::atomic<std::thread::id> ending_thread; // the one that ends the interpreter
thread_local int depth = 0;                 // of native calls, of this thread

// A computation that takes longer than this is given up on: an end that hangs is worse than one that fails.
constexpr auto kLongestWait = std::chrono::seconds(30);

// For a daemon thread that comes in while the interpreter ends: it may neither go on nor be unwound. The end
// of the process takes it along. REQUIRES: the GIL.
[[noreturn]] void park() {
    PyEval_SaveThread();
    for (;;) {
        std::this_thread::sleep_for(std::chrono::hours(1));
    }
}

void finish_native_calls() {
    ending_thread = std::this_thread::get_id();
    exiting = true;
    const nb::gil_scoped_release release;
    const auto end = std::chrono::steady_clock::now() + kLongestWait;
    while (n_inside > 0 && std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

// In the child of a fork: the other threads stayed in the parent.
void forget_other_threads() {
    n_inside = depth;
}

} // namespace

NativeCall::NativeCall(Entry entry) {
    // The end waits for the outermost call, so what that needs goes on.
    const bool is_refused = exiting && depth == 0;
    if (is_refused && std::this_thread::get_id() != ending_thread.load()) {
        park();
    }
    if (is_refused && entry == Entry::may_throw) {
        throw Error(ErrorKind::EngineClosedError, "the interpreter is ending");
    }
    n_inside++;
    depth++;
}

NativeCall::~NativeCall() {
    depth--;
    n_inside--;
}

bool is_exiting() {
    return exiting;
}

void bind_exit(nb::module_& m) {
    m.def("finish_native_calls", &finish_native_calls,
          "Refuse native calls from now on and wait for those that run; for the end of the interpreter.");
    m.def("forget_other_threads", &forget_other_threads,
          "Count no native calls but those of this thread; for the child of a fork.");
}

} // namespace inllama
