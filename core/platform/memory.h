// How much memory this process may use, and how it gets it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace inllama {

// Bytes of main memory that this process could ever hold: the machine's, or its cgroup's limit if that is
// less. 0 if unknown. Any thread.
uint64_t memory_limit_bytes();

// Bytes of main memory that this process could take now without swapping: what the machine has available, or
// what is left of its cgroup's limit if that is less. 0 if unknown. Any thread.
uint64_t memory_free_bytes();

// Of large pages, on systems that have them.
constexpr size_t kLargePageBytes = 2 << 20;

// Asks for large pages for `n` bytes that were not written yet. Nothing happens where that is not possible.
// Any thread.
void prefer_large_pages(void* data, size_t n) noexcept;

// Takes the pages of `n` bytes that are about to be written from the system now, which costs half of taking
// one after the other. Nothing happens where that is not possible. Any thread.
void populate(void* data, size_t n) noexcept;

} // namespace inllama
