// The embedders of one engine, each made when the first text needs it.
#pragma once

#include "core/llama/embedder.h"
#include "core/llama/model.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace inllama {

// Any thread.
class LlamaEmbedders {
  public:
    // `context` decides how they compute; a step may take `memory_bytes` for what it puts out.
    LlamaEmbedders(std::shared_ptr<ModelHandle> model, ContextParams context, int n_rows_best,
                   int64_t memory_bytes, std::shared_ptr<ThreadPools> threads);

    // The pooling of the model's own, or the one that is asked for: mean, cls, last, rank, none.
    //
    // Throws UnsupportedError if neither says how, or if the model cannot.
    std::string pooling(const std::optional<std::string>& asked) const;
    EmbedderLimits limits(const std::string& pooling) const;

    // Calls `take` with one for `pooling` that takes texts of `n_rows` tokens, unless the last one that it
    // was given does: one after the other, and each takes longer texts.
    using Take = std::function<void(std::shared_ptr<Embedder> made)>;
    void need(const std::string& pooling, int64_t n_rows, const Take& take);

  private:
    std::shared_ptr<LlamaEmbedder> make(const std::string& pooling, int64_t n_rows, bool is_first);

    std::shared_ptr<ModelHandle> model_;
    ContextParams context_;
    int n_rows_best_;
    int64_t memory_bytes_;
    std::mutex mutex_; // what follows
    std::shared_ptr<ThreadPools> threads_;
    std::map<std::string, int64_t> made_; // rows that they take, by pooling
};

} // namespace inllama
