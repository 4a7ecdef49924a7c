// The engine's embedder over a llama.cpp context.
#pragma once

#include "core/embedder.h"
#include "core/llama/context.h"
#include "core/llama/model.h"

#include <memory>
#include <string>
#include <vector>

namespace inllama {

struct EmbedderParams {
    ContextParams context;        // n_ctx, n_batch, n_seq_max, embeddings and pooling are set by the others
    std::string pooling = "mean"; // mean, cls, last, rank; none: a vector per token
    int n_rows_max = 512;
    int n_rows_best = 512;
    int n_texts_max = 128;
};

// Owns a context whose memory, if the model has one, is empty before each step.
//
// llama.cpp cannot pool what an encoder with a decoder behind it gives; that happens here.
class LlamaEmbedder : public Embedder {
  public:
    // Computes on `threads`, if there are some. Throws as Context does.
    LlamaEmbedder(const std::shared_ptr<ModelHandle>& model, const EmbedderParams& params,
                  std::shared_ptr<ThreadPools> threads);

    const EmbedderTraits& traits() const override { return traits_; }
    DecodeStatus embed(const std::vector<TokenRun>& texts) override;
    const float* vector(int i) override;

    const std::shared_ptr<ThreadPools>& threads() const { return handle_->pools; }

  private:
    void pool(const std::vector<TokenRun>& texts);

    std::string pooling_;
    bool pools_here_;
    std::shared_ptr<ContextHandle> handle_;
    EmbedderTraits traits_;
    std::vector<float> pooled_; // by text, if it happens here
    // The rows of a step in the form that llama.cpp reads.
    std::vector<Token> tokens_;
    std::vector<Position> positions_;
    std::vector<int32_t> n_sequences_;
    std::vector<SequenceId> sequences_;
    std::vector<SequenceId*> sequence_pointers_;
    std::vector<int8_t> outputs_;
};

} // namespace inllama
