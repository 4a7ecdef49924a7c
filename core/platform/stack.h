// Runs a function on a stack of a chosen size.
#pragma once

#include <cstddef>
#include <functional>

namespace inllama {

// Runs `function` to its end on a thread of its own with `stack_bytes` of stack, and rethrows what it throws.
//
// The stack is reserved, not touched: only the pages that are used cost memory.
// Throws Error(InsufficientMemoryError) if the thread cannot be made. Any thread.
void run_with_stack(size_t stack_bytes, const std::function<void()>& function);

} // namespace inllama
