// Checks ContextParams and turns them into llama.cpp's struct. Seen by core/llama/ only.
#pragma once

#include "core/llama/context.h"

#include <llama.h>

namespace inllama {

// Throws InvalidRequestError, UnsupportedError or InsufficientMemoryError for what would fail or abort
// inside.
llama_context_params to_llama(const ModelHandle& model, const ContextParams& params);

// `n` as a thread count; throws InvalidRequestError outside 1..512.
int checked_threads(const char* option, int64_t n);

// The name of a pooling type, as in ContextParams.
std::string pooling_name(enum llama_pooling_type type);

} // namespace inllama
