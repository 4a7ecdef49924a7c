// Integer types that every part of the engine agrees on; the same widths as llama.h uses.
#pragma once

#include <cstdint>

namespace inllama {

// Index into the vocabulary.
using Token = int32_t;

// Identifies one sequence inside a KV cache.
using SequenceId = int32_t;

// Place of a token in its sequence, from 0.
using Position = int32_t;

} // namespace inllama
