// The engine's decoder over a llama.cpp context.
#pragma once

#include "core/decoder.h"
#include "core/llama/context.h"
#include "core/llama/model.h"

#include <memory>
#include <vector>

namespace inllama {

// How many sequences an engine runs at once, and how many rows it computes in a step.
struct DecoderParams {
    ContextParams context; // n_batch, n_ubatch, n_seq_max, n_outputs_max and kv_unified are set by the others
    int max_running = 16;
    int step_rows = 512;
    bool is_split = false; // each sequence has cells of its own, and nothing is shared
};

// Owns a context. Sequences, rows and positions come from the engine's own account, so they are not checked
// again.
class LlamaDecoder : public Decoder {
  public:
    // Throws as Context does, and UnsupportedError for a model that does not generate.
    LlamaDecoder(const std::shared_ptr<ModelHandle>& model, const DecoderParams& params);

    const DecoderTraits& traits() const override { return traits_; }
    DecodeStatus decode(const std::vector<StepRow>& rows) override;
    DecodeStatus encode(const std::vector<Token>& prompt) override;
    const float* logits(int row) override;
    void copy(SequenceId from, SequenceId to, Position n) override;
    bool remove(SequenceId sequence, Position begin) override;
    void clear() override;
    Position pos_min(SequenceId sequence) override;
    Position pos_max(SequenceId sequence) override;

    int n_threads() const;

  private:
    DecodeStatus compute(bool is_encode, int n_rows);

    std::shared_ptr<ContextHandle> handle_;
    DecoderTraits traits_;
    // The rows of a step in the form that llama.cpp reads.
    std::vector<Token> tokens_;
    std::vector<Position> positions_;
    std::vector<int32_t> n_sequences_;
    std::vector<SequenceId> sequences_;
    std::vector<SequenceId*> sequence_pointers_;
    std::vector<int8_t> outputs_;
};

} // namespace inllama
