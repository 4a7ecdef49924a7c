#include "core/llama/embedders.h"

#include "core/error.h"
#include "core/llama/context_params.h"
#include "core/llama/decoder.h"

#include <llama.h>
// The pooling type of a model is in no public function.
#include <llama-model.h>

#include <algorithm>
#include <limits>

namespace inllama {

namespace {

// Texts of one step. Mean pooling wants a multiple of it as rows.
constexpr int64_t kTexts = 128;
// A state per text is kept, and texts are computed one after the other anyway.
constexpr int64_t kTextsWithState = 8;

int64_t round_up(int64_t n, int64_t step) {
    return (n + step - 1) / step * step;
}

} // namespace

LlamaEmbedders::LlamaEmbedders(std::shared_ptr<ModelHandle> model, ContextParams context, int n_rows_best,
                               int64_t memory_bytes, std::shared_ptr<ThreadPools> threads)
    : model_(std::move(model)), context_(std::move(context)), n_rows_best_(n_rows_best),
      memory_bytes_(memory_bytes), threads_(std::move(threads)) {
    if (!generates_text(*model_)) { // nothing is cached
        context_.kv_type_k = "f16";
        context_.kv_type_v = "f16";
    }
}

std::string LlamaEmbedders::pooling(const std::optional<std::string>& asked) const {
    const enum llama_pooling_type own = model_->model->hparams.pooling_type;
    if (!asked && own <= LLAMA_POOLING_TYPE_NONE) {
        throw Error(ErrorKind::UnsupportedError,
                    "the model file does not say how the vectors of a text's tokens become one; give "
                    "pooling='mean', 'cls' or 'last'")
            .with("option", "pooling");
    }
    const std::string pooling = asked ? *asked : pooling_name(own);
    if (pooling == "rank" && model_->model->cls == nullptr && model_->model->cls_out == nullptr) {
        throw Error(ErrorKind::UnsupportedError,
                    "this model does not score texts: it has no classification head");
    }
    return pooling;
}

EmbedderLimits LlamaEmbedders::limits(const std::string& pooling) const {
    EmbedderLimits limits;
    limits.n_values =
        static_cast<int>(pooling == "rank" ? llama_model_n_cls_out(model_->model)
                                           : static_cast<uint32_t>(llama_model_n_embd_out(model_->model)));
    limits.n_positions = std::numeric_limits<int32_t>::max();
    if (model_->n_ctx_train > 0) {
        limits.n_positions = model_->n_ctx_train;
    }
    if (model_->model->pos_embd != nullptr) {
        limits.n_positions = std::min<int64_t>(limits.n_positions, model_->model->pos_embd->ne[1]);
    }
    const int64_t n_numbers =
        llama_vocab_n_tokens(model_->vocab()) + int64_t{llama_model_n_embd_out(model_->model)};
    limits.bytes_per_row = n_numbers * static_cast<int64_t>(sizeof(float));
    limits.n_rows = memory_bytes_ / limits.bytes_per_row;
    return limits;
}

void LlamaEmbedders::need(const std::string& pooling, int64_t n_rows, const Take& take) {
    const std::lock_guard<std::mutex> lock(mutex_);
    int64_t& made = made_[pooling];
    if (made >= std::max<int64_t>(n_rows, 1)) {
        return;
    }
    const std::shared_ptr<LlamaEmbedder> embedder = make(pooling, n_rows, made == 0);
    threads_ = embedder->threads();
    take(embedder);
    made = embedder->traits().n_rows_max;
}

std::shared_ptr<LlamaEmbedder> LlamaEmbedders::make(const std::string& pooling, int64_t n_rows,
                                                    bool is_first) {
    const llama_model* native = model_->model;
    const bool has_state = llama_model_is_recurrent(native) || llama_model_is_hybrid(native);
    const EmbedderLimits limits = this->limits(pooling);
    const int64_t n_most =
        std::max<int64_t>(1, std::min(limits.n_rows, round_up(limits.n_positions, kTexts)));
    // Twice what is needed, so that a few longer and longer texts do not make one each.
    const int64_t n_wanted = is_first ? std::max<int64_t>(n_rows, n_rows_best_) : 2 * n_rows;
    int64_t n_capacity = std::max(n_rows, std::min(round_up(n_wanted, kTexts), n_most));
    EmbedderParams params;
    params.context = context_;
    params.pooling = pooling;
    params.n_texts_max = static_cast<int>(std::min(has_state ? kTextsWithState : kTexts, n_capacity));
    if (n_capacity >= kTexts && n_capacity % kTexts != 0) {
        // Few rows are lost, unless the text needs them.
        const int64_t n_even = n_capacity / kTexts * kTexts;
        n_capacity = n_even >= n_rows ? n_even : round_up(n_capacity, kTexts);
    } else if (n_capacity < kTexts) {
        params.n_texts_max = std::min<int>(params.n_texts_max, static_cast<int>(n_capacity));
    }
    params.n_rows_max = static_cast<int>(n_capacity);
    params.n_rows_best = n_rows_best_;
    return std::make_shared<LlamaEmbedder>(model_, params, threads_);
}

} // namespace inllama
