#include "core/llama/context.h"

#include "core/error.h"
#include "core/llama/adapters.h"
#include "core/llama/backend.h"
#include "core/llama/batch_check.h"
#include "core/llama/context_params.h"

#include <llama.h>
// The kind of a memory and the tensors of a model are in no public function.
#include <llama-kv-cache-iswa.h>
#include <llama-kv-cache.h>
#include <llama-model.h>

#include <algorithm>
#include <string>

namespace inllama {

namespace {

// llama.cpp's own batch over ours, with the positions and pointers that it wants.
class LlamaBatch {
  public:
    LlamaBatch(const Batch& batch, std::vector<Position>& positions, std::vector<SequenceId>& sequences)
        : outputs_(batch.outputs), n_sequences_(batch.tokens.size(), 1), pointers_(batch.tokens.size()) {
        for (size_t row = 0; row < pointers_.size(); row++) {
            pointers_[row] = &sequences[row];
        }
        native_.n_tokens = static_cast<int32_t>(batch.tokens.size());
        native_.token = const_cast<Token*>(batch.tokens.data());
        native_.embd = nullptr;
        native_.pos = positions.data();
        native_.n_seq_id = n_sequences_.data();
        native_.seq_id = pointers_.data();
        native_.logits = outputs_.data();
    }

    const llama_batch& get() const { return native_; }

  private:
    std::vector<int8_t> outputs_;
    std::vector<int32_t> n_sequences_;
    std::vector<SequenceId*> pointers_;
    llama_batch native_{};
};

// With sliding windows, memory is two caches. Moving positions fails in one that has no layer.
bool has_empty_cache(const ModelHandle& model) {
    const llama_hparams& hparams = model.model->hparams;
    if (hparams.swa_type == LLAMA_SWA_TYPE_NONE) {
        return false;
    }
    int n_windowed = 0;
    int n_full = 0;
    for (uint32_t layer = 0; layer < hparams.n_layer(); layer++) {
        if (!hparams.is_recr(layer)) {
            (hparams.is_swa(layer) ? n_windowed : n_full)++;
        }
    }
    return n_windowed == 0 || n_full == 0;
}

bool rotates_any_layer(const ModelHandle& model) {
    const llama_hparams& hparams = model.model->hparams;
    for (uint32_t layer = 0; layer < hparams.n_layer(); layer++) {
        if (hparams.has_rope(layer)) {
            return true;
        }
    }
    return false;
}

[[noreturn]] void throw_failure(int32_t code, const ContextHandle& handle, size_t n_rows,
                                const ErrorCapture& errors) {
    const std::string rows = std::to_string(n_rows) + " rows";
    if (code == 1) {
        const auto n_ctx = llama_n_ctx(handle.context);
        const bool is_windowed = handle.model->model->hparams.swa_type != LLAMA_SWA_TYPE_NONE;
        throw Error(ErrorKind::ContextFullError,
                    "the memory of " + std::to_string(n_ctx) + " cells has no room for " + rows +
                        "; remove sequences or make a context with a larger n_ctx" +
                        (is_windowed ? "; without swa_full, sliding-window layers have fewer cells" : ""))
            .with("n_tokens", n_rows)
            .with("n_ctx", n_ctx);
    }
    if (code == -1) {
        throw Error(ErrorKind::InvalidRequestError,
                    "llama.cpp refused the batch of " + rows + ": " + errors.reason("it gave no reason"))
            .with("code", code);
    }
    throw Error(ErrorKind::DecodeError, "the computation of " + rows + " failed with code " +
                                            std::to_string(code) + ": " +
                                            errors.reason("llama.cpp gave no reason"))
        .with("code", code);
}

} // namespace

ContextHandle::ContextHandle(std::shared_ptr<ModelHandle> loaded, const ContextParams& params,
                             std::shared_ptr<ThreadPools> shared)
    : model(std::move(loaded)), pools(std::move(shared)) {
    const llama_hparams& hparams = model->model->hparams;
    if (hparams.swa_type != LLAMA_SWA_TYPE_NONE && !hparams.is_swa_any()) {
        throw Error(ErrorKind::UnsupportedError, "the model file names a sliding window that no layer has");
    }
    const llama_context_params native = to_llama(*model, params);
    if (pools == nullptr) {
        pools = std::make_shared<ThreadPools>(native.n_threads, native.n_threads_batch);
    }
    ErrorCapture errors;
    try {
        const std::shared_lock<std::shared_mutex> adapters(model->adapters); // their tensors are counted
        context = llama_init_from_model(model->model, native);
    } catch (const std::exception& error) {
        throw Error(ErrorKind::EngineError, std::string("could not make a context: ") + error.what());
    }
    if (context == nullptr) {
        const std::string reason = errors.reason("llama.cpp gave no reason");
        const bool is_memory = reason.find("alloc") != std::string::npos;
        throw Error(is_memory ? ErrorKind::InsufficientMemoryError : ErrorKind::UnsupportedError,
                    "could not make a context: " + reason);
    }
    pools->attach(context);
    is_embedding = params.embeddings;
    is_split = !params.kv_unified;
    note_memory();
    can_move_keys = llama_model_rope_type(model->model) == LLAMA_ROPE_TYPE_NONE || rotates_any_layer(*model);
    can_move_keys = can_move_keys && !has_empty_cache(*model);
    can_move_keys = can_move_keys && (native.type_k == GGML_TYPE_F16 || native.type_k == GGML_TYPE_F32);
    n_positions = position_limit(*model, context);
    n_outputs_max = llama_model_has_encoder(model->model) ? static_cast<int>(llama_n_batch(context))
                                                          : static_cast<int>(native.n_outputs_max);
    n_outputs_reserved = static_cast<int>(llama_n_seq_max(context));
}

void ContextHandle::note_memory() {
    llama_memory_t memory = llama_get_memory(context);
    if (memory == nullptr) {
        return;
    }
    // Attention caches take more ids than can be decoded; all others fail silently for them.
    const bool is_attention = dynamic_cast<const llama_kv_cache*>(memory) != nullptr ||
                              dynamic_cast<const llama_kv_cache_iswa*>(memory) != nullptr;
    const auto n_seq_max = static_cast<int>(llama_n_seq_max(context));
    n_sequence_ids = is_attention && !is_split ? static_cast<int>(llama_max_parallel_sequences()) : n_seq_max;
    has_state = llama_model_is_recurrent(model->model) || llama_model_is_hybrid(model->model);
    copies_parts = is_attention && (!is_split || n_seq_max == 1);
}

ContextHandle::~ContextHandle() {
    llama_free(context);
}

Context::Context(const std::shared_ptr<ModelHandle>& model, const ContextParams& params)
    : handle_(std::make_shared<ContextHandle>(model, params)) {}

void Context::close() {
    const std::shared_ptr<ContextHandle> held = std::atomic_load(&handle_);
    if (held) {
        const ExclusiveUse::Guard guard(held->use, "Context");
        std::atomic_store(&handle_, std::shared_ptr<ContextHandle>());
    }
}

std::shared_ptr<ContextHandle> Context::handle() const {
    std::shared_ptr<ContextHandle> held = std::atomic_load(&handle_);
    if (!held) {
        throw Error(ErrorKind::InvalidRequestError, "the context is closed; make a new one to compute");
    }
    if (held->is_broken) {
        throw Error(ErrorKind::DecodeError, "an earlier failure left this context unusable; make a new one");
    }
    return held;
}

void Context::decode(const Batch& batch) {
    compute(batch, false);
}

void Context::encode(const Batch& batch) {
    compute(batch, true);
}

void Context::compute(const Batch& batch, bool encode) {
    const std::shared_ptr<ContextHandle> held = handle();
    ContextHandle& handle = *held;
    const ExclusiveUse::Guard guard(handle.use, "Context");
    handle.pools->check_process();
    const ExclusiveUse::Guard batch_guard(batch.use, "Batch");
    // Without memory, llama.cpp's decode is an encode.
    const bool is_encode = encode || llama_get_memory(handle.context) == nullptr;
    std::vector<SequenceId> sequences;
    std::vector<Position> positions;
    check_batch(handle, batch, is_encode);
    fill_places(handle, batch, is_encode, positions, sequences);
    std::vector<int32_t> outputs;
    for (size_t row = 0; row < batch.tokens.size(); row++) {
        if (is_encode || handle.is_embedding || batch.outputs[row] != 0) {
            outputs.push_back(static_cast<int32_t>(row));
        }
    }
    check_outputs(handle, outputs.size());
    if (handle.n_views.load() > 0 && static_cast<int>(outputs.size()) > handle.n_outputs_reserved) {
        throw BufferMoved(handle.n_views.load());
    }
    const LlamaBatch native(batch, positions, sequences);
    handle.output_rows.clear();
    handle.n_rows_last = 0;
    ErrorCapture errors;
    int32_t code = 0;
    try {
        const std::shared_lock<std::shared_mutex> adapters(handle.model->adapters);
        code =
            encode ? llama_encode(handle.context, native.get()) : llama_decode(handle.context, native.get());
    } catch (const std::exception& error) {
        handle.is_broken = true;
        throw Error(ErrorKind::DecodeError, std::string("the computation failed: ") + error.what())
            .with("code", -3);
    }
    handle.n_outputs_reserved = std::max(handle.n_outputs_reserved, static_cast<int>(outputs.size()));
    if (code != 0) {
        throw_failure(code, handle, batch.tokens.size(), errors);
    }
    handle.retired_pools.reset();
    if (encode) {
        handle.encoded = sequences;
        std::sort(handle.encoded.begin(), handle.encoded.end());
    }
    handle.output_rows = std::move(outputs);
    handle.n_rows_last = static_cast<int>(batch.tokens.size());
}

void Context::synchronize() {
    const std::shared_ptr<ContextHandle> held = handle();
    const ExclusiveUse::Guard guard(held->use, "Context");
    llama_synchronize(held->context);
}

void Context::set_threads(int64_t n_threads, int64_t n_threads_batch) {
    const std::shared_ptr<ContextHandle> held = handle();
    const ExclusiveUse::Guard guard(held->use, "Context");
    std::shared_ptr<ThreadPools> pools = std::make_shared<ThreadPools>(
        checked_threads("n_threads", n_threads), checked_threads("n_threads_batch", n_threads_batch));
    llama_synchronize(held->context);
    pools->attach(held->context);
    held->pools.swap(pools);
    if (!held->retired_pools) {
        held->retired_pools = std::move(pools);
    }
}

void Context::set_causal_attention(bool causal) {
    const std::shared_ptr<ContextHandle> held = handle();
    const ExclusiveUse::Guard guard(held->use, "Context");
    llama_set_causal_attn(held->context, causal);
}

void Context::set_adapters(std::vector<std::pair<std::shared_ptr<Adapter>, float>> adapters) {
    const std::shared_ptr<ContextHandle> held = handle();
    const ExclusiveUse::Guard guard(held->use, "Context");
    use_adapters(*held, adapters);
    // The old ones are freed with the argument, after the lock: freeing one asks for it alone.
    held->adapters.swap(adapters);
}

int Context::n_ctx() const {
    return static_cast<int>(llama_n_ctx(handle()->context));
}

int Context::n_ctx_seq() const {
    return static_cast<int>(llama_n_ctx_seq(handle()->context));
}

int Context::n_batch() const {
    return static_cast<int>(llama_n_batch(handle()->context));
}

int Context::n_ubatch() const {
    return static_cast<int>(llama_n_ubatch(handle()->context));
}

int Context::n_seq_max() const {
    return static_cast<int>(llama_n_seq_max(handle()->context));
}

int Context::n_outputs_max() const {
    return handle()->n_outputs_max;
}

int Context::n_threads() const {
    return llama_n_threads(handle()->context);
}

int Context::n_threads_batch() const {
    return llama_n_threads_batch(handle()->context);
}

int Context::n_outputs() const {
    const std::shared_ptr<ContextHandle> held = handle();
    const ExclusiveUse::Guard guard(held->use, "Context");
    return static_cast<int>(held->output_rows.size());
}

std::string Context::pooling() const {
    return pooling_name(llama_pooling_type(handle()->context));
}

bool Context::is_causal() const {
    return llama_get_causal_attn(handle()->context);
}

} // namespace inllama
