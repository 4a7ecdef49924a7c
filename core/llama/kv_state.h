// Whether bytes can be the state of one sequence in a KV cache, before llama.cpp reads them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace inllama {

// What llama.cpp writes for a sequence, as far as it can be known: every length, and each position once and
// within the sequence. `n_caches`: two with sliding windows; `has_places`: cells have places beside positions
// (M-RoPE).
bool is_kv_state(const uint8_t* bytes, size_t size, uint32_t n_positions, int n_caches, bool has_places);

} // namespace inllama
