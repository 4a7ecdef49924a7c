// The rows of one step: which token stands where in which sequence, and which rows give output.
#pragma once

#include "core/exclusive_use.h"
#include "core/types.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace inllama {

// Tokens of one sequence, in order.
struct BatchRows {
    std::vector<Token> tokens;
    std::optional<std::vector<Position>> positions; // none: the sequence goes on where its memory ends
    SequenceId sequence = 0;
    std::vector<int8_t> outputs; // 1: this row gives logits; as long as `tokens`
};

// Rows of many sequences, to be computed together.
//
// Invariants: `sequences` and `outputs` are as long as `tokens`; `positions` is so too, or empty.
// One thread at a time, else ConcurrentUseError; a context that computes it counts as a user.
class Batch {
  public:
    // Adds rows at the end. Throws InvalidRequestError if lengths differ, or if only some rows have
    // positions.
    void add(const BatchRows& rows);
    // Forgets all rows and keeps the storage.
    void clear();

    size_t size() const { return tokens.size(); }

    std::vector<Token> tokens;
    std::vector<Position> positions;
    std::vector<SequenceId> sequences;
    std::vector<int8_t> outputs;
    mutable ExclusiveUse use;
};

} // namespace inllama
