// The preconditions of llama_decode and llama_encode: each one that is broken would be an abort().
#pragma once

#include "core/batch.h"
#include "core/llama/context.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace inllama {

// How many positions the model can compute: the length of its learned position table, say; none: any.
std::optional<int64_t> position_limit(const ModelHandle& model, const llama_context* context);

// Throws InvalidRequestError unless the context can take the tokens, sequences and number of rows.
void check_batch(const ContextHandle& handle, const Batch& batch, bool is_encode);

// Throws InvalidRequestError if `n_outputs` rows are more than one call may give.
void check_outputs(const ContextHandle& handle, size_t n_outputs);

// Writes the position and sequence of every row; a batch without positions goes on where memory ends.
// Throws InvalidRequestError for a position that is out of range or does not follow the one before.
void fill_places(const ContextHandle& handle, const Batch& batch, bool is_encode,
                 std::vector<Position>& positions, std::vector<SequenceId>& sequences);

} // namespace inllama
