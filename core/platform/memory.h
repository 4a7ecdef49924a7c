// How much memory this process may use.
#pragma once

#include <cstdint>

namespace inllama {

// Bytes of main memory that this process could ever hold: the machine's, or its cgroup's limit if that is
// less. 0 if unknown. Any thread.
uint64_t memory_limit_bytes();

// Bytes of main memory that this process could take now without swapping: what the machine has available, or
// what is left of its cgroup's limit if that is less. 0 if unknown. Any thread.
uint64_t memory_free_bytes();

} // namespace inllama
