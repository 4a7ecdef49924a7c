// Saves what a context remembers to bytes and loads it again.
#pragma once

#include "core/llama/context.h"
#include "core/types.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace inllama {

// The memory of `sequence`, or of the whole context, behind a header that names our format, the model and the
// shape of the memory, with a checksum. Throws InvalidRequestError for a sequence that cannot be saved.
std::vector<uint8_t> save_state(ContextHandle& context, std::optional<SequenceId> sequence);

// Replaces the memory of `sequence`, or of the whole context, by a saved one.
//
// Throws StateError if the bytes are damaged, of another format, model or shape of memory, or do not fit; a
// context whose load failed after these checks has an empty memory. Never load bytes from someone you do not
// trust: llama.cpp believes what a valid checksum covers.
void load_state(ContextHandle& context, std::optional<SequenceId> sequence, std::string_view bytes);

} // namespace inllama
