#include "core/llama/embedder.h"

#include "core/error.h"
#include "core/llama/decode_status.h"

#include <llama.h>

#include <algorithm>
#include <shared_mutex>

namespace inllama {

namespace {

ContextParams context_params(const ModelHandle& model, const EmbedderParams& params) {
    ContextParams made = params.context;
    made.n_ctx = params.n_rows_max;
    made.n_batch = params.n_rows_max;
    made.n_ubatch = params.n_rows_max;
    made.n_outputs_max = params.n_rows_max; // every row has output
    made.n_seq_max = std::min(params.n_texts_max, params.n_rows_max);
    made.kv_unified = true;
    made.embeddings = true;
    made.pooling = llama_model_has_encoder(model.model) ? "none" : params.pooling;
    return made;
}

} // namespace

LlamaEmbedder::LlamaEmbedder(const std::shared_ptr<ModelHandle>& model, const EmbedderParams& params,
                             std::shared_ptr<ThreadPools> threads)
    : pooling_(params.pooling), pools_here_(llama_model_has_encoder(model->model) && pooling_ != "none"),
      handle_(std::make_shared<ContextHandle>(model, context_params(*model, params), std::move(threads))) {
    if (pools_here_ && pooling_ == "rank") {
        throw Error(ErrorKind::UnsupportedError, "a model with an encoder cannot score texts");
    }
    traits_.n_values =
        static_cast<int>(pooling_ == "rank" ? llama_model_n_cls_out(model->model)
                                            : static_cast<uint32_t>(llama_model_n_embd_out(model->model)));
    traits_.n_rows_max = static_cast<int>(llama_n_ubatch(handle_->context));
    traits_.n_rows_best = params.n_rows_best;
    traits_.n_texts_max = static_cast<int>(llama_n_seq_max(handle_->context));
    traits_.is_pooled = pooling_ != "none";
}

DecodeStatus LlamaEmbedder::embed(const std::vector<TokenRun>& texts) {
    tokens_.clear();
    positions_.clear();
    sequences_.clear();
    for (size_t text = 0; text < texts.size(); text++) {
        tokens_.insert(tokens_.end(), texts[text].tokens, texts[text].tokens + texts[text].n);
        for (int i = 0; i < texts[text].n; i++) {
            positions_.push_back(i);
            sequences_.push_back(static_cast<SequenceId>(text));
        }
    }
    const size_t n = tokens_.size();
    if (n > static_cast<size_t>(traits_.n_rows_max)) { // llama.cpp would abort
        return DecodeStatus::invalid;
    }
    n_sequences_.assign(n, 1);
    outputs_.assign(n, 1);
    sequence_pointers_.resize(n);
    for (size_t i = 0; i < n; i++) {
        sequence_pointers_[i] = &sequences_[i];
    }
    llama_batch batch{};
    batch.n_tokens = static_cast<int32_t>(n);
    batch.token = tokens_.data();
    batch.pos = positions_.data();
    batch.n_seq_id = n_sequences_.data();
    batch.seq_id = sequence_pointers_.data();
    batch.logits = outputs_.data();
    llama_memory_t memory = llama_get_memory(handle_->context);
    if (memory != nullptr) {
        llama_memory_clear(memory, false);
    }
    const bool is_encode = memory == nullptr || llama_model_has_encoder(handle_->model->model);
    int32_t code = 0;
    {
        const std::shared_lock<std::shared_mutex> adapters(handle_->model->adapters);
        code = is_encode ? llama_encode(handle_->context, batch) : llama_decode(handle_->context, batch);
        if (code == 0) {
            llama_synchronize(handle_->context);
        }
    }
    if (code == 0 && pools_here_) {
        pool(texts);
    }
    return decode_status(code);
}

void LlamaEmbedder::pool(const std::vector<TokenRun>& texts) {
    const auto width = static_cast<size_t>(traits_.n_values);
    pooled_.assign(texts.size() * width, 0.0f);
    int row = 0;
    for (size_t text = 0; text < texts.size(); text++) {
        float* to = pooled_.data() + text * width;
        const int n = texts[text].n;
        const bool is_mean = pooling_ == "mean";
        const int first = is_mean || pooling_ == "cls" ? 0 : n - 1;
        const int end = is_mean ? n : first + 1;
        for (int i = first; i < end; i++) {
            const float* from = llama_get_embeddings_ith(handle_->context, row + i);
            for (size_t j = 0; j < width; j++) {
                to[j] += from[j] / static_cast<float>(end - first);
            }
        }
        row += n;
    }
}

const float* LlamaEmbedder::vector(int i) {
    if (pools_here_) {
        return pooled_.data() + static_cast<size_t>(i) * static_cast<size_t>(traits_.n_values);
    }
    const float* values = traits_.is_pooled ? llama_get_embeddings_seq(handle_->context, i)
                                            : llama_get_embeddings_ith(handle_->context, i);
    if (values == nullptr) {
        throw Error(ErrorKind::UnsupportedError, "this model gives no vectors");
    }
    return values;
}

} // namespace inllama
