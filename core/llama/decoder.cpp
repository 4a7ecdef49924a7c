#include "core/llama/decoder.h"

#include "core/error.h"

#include <llama.h>
// The kind of a memory is in no public function.
#include <llama-kv-cache-iswa.h>
#include <llama-kv-cache.h>

#include <algorithm>
#include <limits>
#include <shared_mutex>

namespace inllama {

namespace {

// Snapshots of recurrent states that are kept beside the running sequences; each costs a whole state.
constexpr int kSnapshots = 8;
// Rows of prompts that give logits, in a step: buffers are reserved for so many more than sequences.
constexpr int kScoredRows = 32;
// A state has no cells that could run out.
constexpr int kManyCells = std::numeric_limits<int>::max() / 4;

bool has_state(const llama_model* model) {
    return llama_model_is_recurrent(model) || llama_model_is_hybrid(model);
}

// Whether a sequence can go on from a copy of another one's states. Where hybrid models have a window too,
// copies went on with wrong tokens in some orders of steps; why is not known.
bool can_copy_states(const llama_model* model) {
    return has_state(model) && llama_model_n_swa(model) == 0;
}

ContextParams context_params(const ModelHandle& model, const DecoderParams& params) {
    ContextParams made = params.context;
    const bool is_encoder_decoder = llama_model_has_encoder(model.model);
    const int n_running = is_encoder_decoder ? 1 : params.max_running;
    made.n_seq_max = n_running + (can_copy_states(model.model) && !params.is_split ? kSnapshots : 0);
    made.n_batch = std::max<int64_t>(params.step_rows, made.n_seq_max);
    made.n_ubatch = made.n_batch;
    made.n_outputs_max = std::min<int64_t>(made.n_batch, made.n_seq_max + kScoredRows);
    made.kv_unified = !params.is_split;
    return made;
}

MemoryKind kind_of(const ModelHandle& model, llama_memory_t memory) {
    if (llama_model_has_encoder(model.model)) {
        return MemoryKind::whole;
    }
    if (has_state(model.model)) {
        return can_copy_states(model.model) ? MemoryKind::recurrent : MemoryKind::whole;
    }
    if (dynamic_cast<const llama_kv_cache_iswa*>(memory) != nullptr) {
        return MemoryKind::window;
    }
    if (dynamic_cast<const llama_kv_cache*>(memory) != nullptr) {
        return llama_model_n_swa(model.model) > 0 ? MemoryKind::window : MemoryKind::attention;
    }
    return MemoryKind::whole;
}

} // namespace

LlamaDecoder::LlamaDecoder(const std::shared_ptr<ModelHandle>& model, const DecoderParams& params)
    : handle_(std::make_shared<ContextHandle>(model, context_params(*model, params))) {
    llama_memory_t memory = llama_get_memory(handle_->context);
    if (memory == nullptr || !llama_model_has_decoder(model->model)) {
        throw Error(ErrorKind::UnsupportedError, "this model generates no text: it has no decoder");
    }
    const llama_vocab* vocab = model->vocab();
    traits_.memory = params.is_split ? MemoryKind::whole : kind_of(*model, memory);
    const bool is_recurrent = traits_.memory == MemoryKind::recurrent;
    const auto n_ctx = static_cast<int>(llama_n_ctx(handle_->context));
    traits_.n_cells = llama_model_is_recurrent(model->model) ? kManyCells : n_ctx;
    traits_.n_positions = static_cast<int>(
        std::min<int64_t>(llama_n_ctx_seq(handle_->context), handle_->n_positions.value_or(n_ctx)));
    const auto n_seq_max = static_cast<int>(llama_n_seq_max(handle_->context));
    traits_.n_run_ids = n_seq_max - (is_recurrent ? kSnapshots : 0);
    traits_.n_ids = traits_.memory == MemoryKind::whole ? n_seq_max : handle_->n_sequence_ids;
    traits_.n_rows_max = static_cast<int>(llama_n_batch(handle_->context));
    traits_.n_outputs_max = static_cast<int>(handle_->n_outputs_max);
    traits_.n_window = llama_model_n_swa(model->model);
    traits_.n_vocab = llama_vocab_n_tokens(vocab);
    traits_.has_encoder = llama_model_has_encoder(model->model);
    const Token start = llama_model_decoder_start_token(model->model);
    traits_.start_token = start >= 0 ? start : std::max(llama_vocab_bos(vocab), 0);
}

int LlamaDecoder::n_threads() const {
    return llama_n_threads(handle_->context);
}

DecodeStatus LlamaDecoder::compute(bool is_encode, int n_rows) {
    llama_batch batch{};
    batch.n_tokens = n_rows;
    batch.token = tokens_.data();
    batch.pos = positions_.data();
    batch.n_seq_id = n_sequences_.data();
    batch.seq_id = sequence_pointers_.data();
    batch.logits = outputs_.data();
    int32_t code = 0;
    {
        const std::shared_lock<std::shared_mutex> adapters(handle_->model->adapters);
        code = is_encode ? llama_encode(handle_->context, batch) : llama_decode(handle_->context, batch);
        if (code == 0) {
            llama_synchronize(handle_->context);
        }
    }
    switch (code) {
    case 0:
        return DecodeStatus::ok;
    case 1:
        return DecodeStatus::no_room;
    case 2:
        return DecodeStatus::aborted;
    case -1:
        return DecodeStatus::invalid;
    case -2:
        return DecodeStatus::no_memory;
    default:
        return DecodeStatus::failed;
    }
}

DecodeStatus LlamaDecoder::decode(const std::vector<StepRow>& rows) {
    const size_t n = rows.size();
    tokens_.resize(n);
    positions_.resize(n);
    n_sequences_.assign(n, 1);
    sequences_.resize(n);
    sequence_pointers_.resize(n);
    outputs_.resize(n);
    for (size_t i = 0; i < n; i++) {
        tokens_[i] = rows[i].token;
        positions_[i] = rows[i].position;
        sequences_[i] = rows[i].sequence;
        sequence_pointers_[i] = &sequences_[i];
        outputs_[i] = rows[i].has_output ? 1 : 0;
    }
    return compute(false, static_cast<int>(n));
}

DecodeStatus LlamaDecoder::encode(const std::vector<Token>& prompt) {
    const size_t n = prompt.size();
    tokens_ = prompt;
    positions_.resize(n);
    n_sequences_.assign(n, 1);
    sequences_.assign(n, 0);
    sequence_pointers_.resize(n);
    outputs_.assign(n, 1);
    for (size_t i = 0; i < n; i++) {
        positions_[i] = static_cast<Position>(i);
        sequence_pointers_[i] = &sequences_[i];
    }
    return compute(true, static_cast<int>(n));
}

const float* LlamaDecoder::logits(int row) {
    const float* logits = llama_get_logits_ith(handle_->context, row);
    if (logits == nullptr) {
        throw Error(ErrorKind::DecodeError, "llama.cpp gave no logits for row " + std::to_string(row));
    }
    return logits;
}

void LlamaDecoder::copy(SequenceId from, SequenceId to, Position n) {
    const bool is_whole = traits_.memory == MemoryKind::recurrent;
    llama_memory_seq_cp(llama_get_memory(handle_->context), from, to, 0, is_whole ? -1 : n);
}

bool LlamaDecoder::remove(SequenceId sequence, Position begin) {
    return llama_memory_seq_rm(llama_get_memory(handle_->context), sequence, begin == 0 ? -1 : begin, -1);
}

void LlamaDecoder::clear() {
    llama_memory_clear(llama_get_memory(handle_->context), false);
}

Position LlamaDecoder::pos_min(SequenceId sequence) {
    return llama_memory_seq_pos_min(llama_get_memory(handle_->context), sequence);
}

Position LlamaDecoder::pos_max(SequenceId sequence) {
    return llama_memory_seq_pos_max(llama_get_memory(handle_->context), sequence);
}

} // namespace inllama
