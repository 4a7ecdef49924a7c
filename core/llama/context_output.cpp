// What a context computed: logits and embeddings.
#include "core/llama/context.h"

#include "core/error.h"
#include "core/llama/context_params.h"

#include <llama.h>
// Whether a model has an output head is in no public function.
#include <llama-model.h>

#include <algorithm>
#include <string>

namespace inllama {

BufferMoved::BufferMoved(int n_views)
    : message_("this call gives more output than the last ones, so the output buffer would move while " +
               std::to_string(n_views) + " view(s) into it live; release them or use copy=True") {}

namespace {

int32_t find_output(const ContextHandle& handle, int64_t row, const char* what) {
    const auto& rows = handle.output_rows;
    const auto n = static_cast<int64_t>(rows.size());
    if (row < 0 && row >= -n) {
        return rows[static_cast<size_t>(n + row)];
    }
    if (row >= 0 && row < handle.n_rows_last &&
        std::binary_search(rows.begin(), rows.end(), static_cast<int32_t>(row))) {
        return static_cast<int32_t>(row);
    }
    throw Error(ErrorKind::InvalidRequestError,
                "row " + std::to_string(row) + " has no " + what + ": the last call had " +
                    std::to_string(handle.n_rows_last) + " rows and " + std::to_string(n) +
                    " of them gave output; mark rows as outputs in the Batch")
        .with("row", row)
        .with("n_outputs", n);
}

size_t n_vocab(const ContextHandle& handle) {
    return static_cast<size_t>(llama_vocab_n_tokens(handle.model->vocab()));
}

const float* find_logits(const ContextHandle& handle, int64_t row) {
    if (handle.model->model->output == nullptr) {
        throw Error(ErrorKind::UnsupportedError, "this model has no output head, so it gives no logits");
    }
    const float* data = llama_get_logits_ith(handle.context, find_output(handle, row, "logits"));
    if (data == nullptr) {
        throw Error(ErrorKind::UnsupportedError, "this context has no logits");
    }
    return data;
}

// Counts one view for as long as it lives and keeps the context until then.
OutputView make_view(const std::shared_ptr<ContextHandle>& handle, const float* data, size_t size) {
    handle->n_views.fetch_add(1);
    const std::shared_ptr<const void> owner(data, [handle](const void*) { handle->n_views.fetch_sub(1); });
    return {data, size, owner};
}

} // namespace

OutputView Context::logits(int64_t row) {
    const std::shared_ptr<ContextHandle> held = handle();
    const ExclusiveUse::Guard guard(held->use, "Context");
    return make_view(held, find_logits(*held, row), n_vocab(*held));
}

void Context::read_logits(int64_t row, const std::function<void(const float* logits, size_t n)>& read) {
    const std::shared_ptr<ContextHandle> held = handle();
    const ExclusiveUse::Guard guard(held->use, "Context");
    read(find_logits(*held, row), n_vocab(*held));
}

OutputView Context::embeddings(int64_t row) {
    const std::shared_ptr<ContextHandle> held = handle();
    const ExclusiveUse::Guard guard(held->use, "Context");
    if (!held->is_embedding) {
        throw Error(ErrorKind::UnsupportedError,
                    "this context computes no embeddings; make it with embeddings=True");
    }
    if (llama_pooling_type(held->context) != LLAMA_POOLING_TYPE_NONE) {
        throw Error(ErrorKind::UnsupportedError, "this context pools embeddings (" +
                                                     pooling_name(llama_pooling_type(held->context)) +
                                                     "); use sequence_embedding(), or pooling='none'");
    }
    const float* data = llama_get_embeddings_ith(held->context, find_output(*held, row, "embedding"));
    if (data == nullptr) {
        throw Error(ErrorKind::UnsupportedError, "this model gives no embedding for a token");
    }
    return make_view(held, data, static_cast<size_t>(llama_model_n_embd_out(held->model->model)));
}

std::vector<float> Context::sequence_embedding(SequenceId sequence) {
    const std::shared_ptr<ContextHandle> held = handle();
    const ExclusiveUse::Guard guard(held->use, "Context");
    const enum llama_pooling_type pooling = llama_pooling_type(held->context);
    if (!held->is_embedding || pooling == LLAMA_POOLING_TYPE_NONE) {
        throw Error(
            ErrorKind::UnsupportedError,
            "this context pools nothing; make it with embeddings=True and pooling='mean', 'cls' or 'last'");
    }
    const float* data = llama_get_embeddings_seq(held->context, sequence);
    if (data == nullptr) {
        throw Error(ErrorKind::InvalidRequestError,
                    "sequence " + std::to_string(sequence) + " had no rows in the last call")
            .with("sequence", sequence);
    }
    const auto size = pooling == LLAMA_POOLING_TYPE_RANK
                          ? llama_model_n_cls_out(held->model->model)
                          : static_cast<uint32_t>(llama_model_n_embd_out(held->model->model));
    return {data, data + size};
}

} // namespace inllama
