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

// Whether a model can generate text: it has a decoder and a head that gives logits. One without weights is to
// be refused by whoever wants to compute.
bool generates_text(const ModelHandle& model);

// The context of a decoder over a model.
ContextParams decoder_context_params(const ModelHandle& model, const DecoderParams& params);

// Owns a context. Sequences, rows and positions come from the engine's own account, so they are not checked
// again.
class LlamaDecoder : public Decoder {
  public:
    // Throws as Context does, and UnsupportedError for a model that does not generate.
    LlamaDecoder(const std::shared_ptr<ModelHandle>& model, const DecoderParams& params);

    const DecoderTraits& traits() const override { return traits_; }
    void use(const std::shared_ptr<const AdapterSet>& adapters) override;
    DecodeStatus decode(const std::vector<StepRow>& rows) override;
    DecodeStatus encode(const std::vector<Token>& prompt) override;
    const float* logits(int row) override;
    void copy(SequenceId from, SequenceId to, Position n) override;
    bool remove(SequenceId sequence, Position begin) override;
    void clear() override;
    std::vector<uint8_t> save(SequenceId sequence, Position n) override;
    bool load(SequenceId sequence, const std::vector<uint8_t>& state, Position n) override;
    Position pos_min(SequenceId sequence) override;
    Position pos_max(SequenceId sequence) override;

    int n_threads() const;
    const std::shared_ptr<ThreadPools>& threads() const { return handle_->pools; }

  private:
    DecodeStatus compute(bool is_encode, int n_rows);
    // llama.cpp's id: one of those that it can save is set apart for that.
    SequenceId native(SequenceId sequence) const;
    bool has_states() const { return !traits_.identity.empty(); }

    std::shared_ptr<ContextHandle> handle_;
    std::shared_ptr<const AdapterSet> adapters_; // that the context uses
    DecoderTraits traits_;
    std::optional<SequenceId> apart_; // where a sequence is saved and loaded; none: in its own place
    int n_caches_ = 1;                // KV caches that a state has
    bool has_places_ = false;         // cells have places beside positions
    // The rows of a step in the form that llama.cpp reads.
    std::vector<Token> tokens_;
    std::vector<Position> positions_;
    std::vector<int32_t> n_sequences_;
    std::vector<SequenceId> sequences_;
    std::vector<SequenceId*> sequence_pointers_;
    std::vector<int8_t> outputs_;
};

} // namespace inllama
