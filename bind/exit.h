// Lets the interpreter end only when no thread is inside native code.
#pragma once

#include "bind/module.h"

namespace inllama {

// Counts this thread among those inside native code, from before it lets go of the GIL until it has it again.
//
// A thread that asks for the GIL while the interpreter ends is unwound by Python, through C++ frames that do
// not allow it: std::terminate. finish_native_calls() waits for all of them first. REQUIRES: the GIL at both
// ends.
class NativeCall {
  public:
    enum class Entry { may_throw, always };

    // Once the interpreter is ending: throws EngineClosedError on the thread that ends it, unless `entry` is
    // `always` (for destructors and errors); never returns on any other, which can only be a daemon thread.
    // Calls within another one of the same thread go on.
    explicit NativeCall(Entry entry = Entry::may_throw);
    ~NativeCall();
    NativeCall(const NativeCall&) = delete;
    NativeCall& operator=(const NativeCall&) = delete;
};

// True once the interpreter is ending. Any thread.
bool is_exiting();

} // namespace inllama
