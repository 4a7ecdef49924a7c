// What a context remembers of its sequences: the KV cache or recurrent state.
#pragma once

#include "core/llama/context.h"
#include "core/types.h"

#include <memory>
#include <optional>

namespace inllama {

// Positions [begin, end) of a sequence; without an end, all from `begin` on.
struct PositionRange {
    Position begin = 0;
    std::optional<Position> end;
};

// The memory of a context. Same threads as the context; keeps its handle alive.
//
// Every function throws InvalidRequestError for a sequence id that this memory does not have. Models that
// attend to everything also take ids from n_seq_max up to 255, which can hold what other sequences computed.
class Memory {
  public:
    // Throws UnsupportedError if the context has no memory (encoders).
    explicit Memory(std::shared_ptr<ContextHandle> context);

    // Forgets a range. False if this kind of memory cannot forget only a part; nothing changed then.
    bool remove(SequenceId sequence, PositionRange range);
    // Lets `to` share what `from` remembers of a range. Throws UnsupportedError for a part where only a whole
    // sequence can be copied.
    void copy(SequenceId from, SequenceId to, PositionRange range);
    // Forgets every other sequence.
    void keep(SequenceId sequence);
    // Moves the positions of a range by `delta`. Throws UnsupportedError unless can_shift().
    void add(SequenceId sequence, PositionRange range, Position delta);
    // Divides the positions of a range by `divisor`, at least 2. Throws UnsupportedError unless can_shift().
    void divide(SequenceId sequence, PositionRange range, int divisor);
    // Forgets everything; with `data`, also zeroes the buffers.
    void clear(bool data);

    // The first and last position of a sequence; none if it is empty.
    std::optional<Position> pos_min(SequenceId sequence) const;
    std::optional<Position> pos_max(SequenceId sequence) const;
    bool can_shift() const;
    // How many sequence ids there are.
    SequenceId n_sequences() const { return context_->n_sequence_ids; }

  private:
    void check_sequence(SequenceId sequence) const;
    void check_shift() const;

    std::shared_ptr<ContextHandle> context_;
};

} // namespace inllama
