// The seam between the engine and a model: rows in, logits out, and a memory of sequences.
#pragma once

#include "core/adapter_set.h"
#include "core/types.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace inllama {

// What a model's memory can do with a part of a sequence.
enum class MemoryKind : uint8_t {
    attention, // share and forget any part
    window,    // share any part whose last `n_window` positions are still there
    recurrent, // share a sequence only as it is now; forget it only whole
    whole      // nothing can be shared
};

struct DecoderTraits {
    bool generates = true; // else only texts become vectors
    MemoryKind memory = MemoryKind::attention;
    int n_cells = 0;          // positions that memory holds, of all sequences together
    int n_positions = 0;      // positions of the longest sequence
    int n_run_ids = 1;        // sequences [0, n_run_ids) can be decoded
    int n_ids = 1;            // sequences [0, n_ids) can be remembered
    int n_rows_max = 512;     // rows of one step
    int n_outputs_max = 512;  // of them, those that give logits
    int n_window = 0;         // positions a window reaches back
    int n_vocab = 0;          // logits of one row
    std::string identity;     // what a state fits: model, types of the cache; empty: nothing can be saved
    bool has_encoder = false; // a prompt goes through encode() and the output starts with `start_token`
    Token start_token = 0;
};

// One token of a step. Positions of a sequence follow each other without a gap.
struct StepRow {
    Token token;
    Position position;
    SequenceId sequence;
    bool has_output; // gives logits
};

// Return codes of llama_decode.
enum class DecodeStatus : uint8_t {
    ok,
    no_room,   // memory is full; nothing changed
    aborted,   // stopped; nothing changed
    invalid,   // the rows do not fit what memory holds; nothing changed
    no_memory, // buffers could not be had; memory may have changed
    failed     // the computation failed; memory may have changed
};

// One thread at a time: the engine's. Its functions may throw; what memory holds is unknown then.
class Decoder {
  public:
    virtual ~Decoder() = default;

    virtual const DecoderTraits& traits() const = 0;

    // Chooses the adapters of the following decode() calls, and keeps them until others are chosen; null:
    // none.
    virtual void use(const std::shared_ptr<const AdapterSet>& adapters) = 0;
    // Computes `rows`, at most `n_rows_max`, and remembers them.
    virtual DecodeStatus decode(const std::vector<StepRow>& rows) = 0;
    // Computes a whole prompt for the following decode() calls. Only with `has_encoder`.
    virtual DecodeStatus encode(const std::vector<Token>& prompt) = 0;
    // (n_vocab,) logits of row `row` of the last decode(), which had output; valid until the next one.
    virtual const float* logits(int row) = 0;

    // Lets `to`, which is empty, share what `from` remembers of its first `n` positions. For recurrent memory
    // `n` is all of them.
    virtual void copy(SequenceId from, SequenceId to, Position n) = 0;
    // Forgets positions from `begin` on. False if this memory cannot; nothing changed then.
    virtual bool remove(SequenceId sequence, Position begin) = 0;
    // Forgets every sequence.
    virtual void clear() = 0;
    // What memory holds of the first `n` positions of a sequence, for load(); empty if that cannot be had.
    // For recurrent memory `n` is all of them.
    virtual std::vector<uint8_t> save(SequenceId sequence, Position n) = 0;
    // Makes an empty sequence what another one of `n` positions was, maybe in another process. False: it does
    // not fit or there is no room, and the sequence is empty.
    virtual bool load(SequenceId sequence, const std::vector<uint8_t>& state, Position n) = 0;
    // First position that a sequence remembers completely, and its last; -1 if it is empty.
    virtual Position pos_min(SequenceId sequence) = 0;
    virtual Position pos_max(SequenceId sequence) = 0;
};

} // namespace inllama
