#include "core/llama/decoder.h"

#include "core/error.h"
#include "core/llama/adapters.h"
#include "core/llama/decode_status.h"
#include "core/llama/kv_state.h"

#include <llama.h>
// The kind of flash attention that was chosen is in no public function.
#include <llama-context.h>
// The kind of a memory and the tensors of a model are in no public function.
#include <llama-kv-cache-iswa.h>
#include <llama-kv-cache.h>
#include <llama-model.h>

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

// Only ids that can be decoded can be saved, and the cells of a prefix have others.
bool has_place_apart(const ModelHandle& model, const DecoderParams& params) {
    return !llama_model_has_encoder(model.model) && !has_state(model.model) && !params.is_split &&
           params.max_running < static_cast<int>(llama_max_parallel_sequences());
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

// Empties the sequence that is set apart, whatever happens.
struct Cleared {
    llama_memory_t memory;
    std::optional<SequenceId> sequence;

    ~Cleared() {
        if (sequence) {
            llama_memory_seq_rm(memory, *sequence, -1, -1);
        }
    }
};

// Of models that have two sets of them, llama.cpp takes the one for long contexts by the size of this one.
std::string rope_factors(const ModelHandle& model, const llama_context& context) {
    const auto& layers = model.model->layers;
    const bool has_two = std::any_of(layers.begin(), layers.end(),
                                     [](const llama_layer& layer) { return layer.rope_long != nullptr; });
    const llama_cparams& params = context.get_cparams();
    return has_two && params.n_ctx_seq > params.n_ctx_orig_yarn ? "long" : "short";
}

} // namespace

bool generates_text(const ModelHandle& model) {
    return model.vocab_only || (llama_model_has_decoder(model.model) && model.model->output != nullptr);
}

ContextParams decoder_context_params(const ModelHandle& model, const DecoderParams& params) {
    ContextParams made = params.context;
    const bool is_encoder_decoder = llama_model_has_encoder(model.model);
    const int n_running = is_encoder_decoder ? 1 : params.max_running;
    made.n_seq_max = n_running + (can_copy_states(model.model) && !params.is_split ? kSnapshots : 0);
    if (has_place_apart(model, params)) {
        made.n_seq_max++;
    }
    made.n_batch = std::max<int64_t>(params.step_rows, made.n_seq_max);
    made.n_ubatch = made.n_batch;
    made.n_outputs_max = std::min<int64_t>(made.n_batch, made.n_seq_max + kScoredRows);
    made.kv_unified = !params.is_split;
    return made;
}

LlamaDecoder::LlamaDecoder(const std::shared_ptr<ModelHandle>& model, const DecoderParams& params)
    : handle_(std::make_shared<ContextHandle>(model, decoder_context_params(*model, params))) {
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
    const bool has_apart = has_place_apart(*model, params);
    traits_.n_run_ids = n_seq_max - (is_recurrent ? kSnapshots : 0) - (has_apart ? 1 : 0);
    traits_.n_ids = traits_.memory == MemoryKind::whole ? traits_.n_run_ids
                                                        : handle_->n_sequence_ids - (has_apart ? 1 : 0);
    if (has_apart) {
        apart_ = traits_.n_run_ids;
    }
    n_caches_ = dynamic_cast<const llama_kv_cache_iswa*>(memory) != nullptr ? 2 : 1;
    has_places_ = model->model->hparams.n_pos_per_embd() > 1;
    const bool is_shared = traits_.memory == MemoryKind::attention || traits_.memory == MemoryKind::window;
    if (is_recurrent || (is_shared && has_apart)) {
        const bool is_flash = handle_->context->get_cparams().flash_attn;
        traits_.identity = "model=" + model->fingerprint + " kv_type_k=" + params.context.kv_type_k +
                           " kv_type_v=" + params.context.kv_type_v +
                           " flash_attention=" + (is_flash ? "on" : "off") +
                           " rope=" + rope_factors(*model, *handle_->context) +
                           " format=" + std::to_string(LLAMA_STATE_SEQ_VERSION);
    }
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
    return decode_status(code);
}

void LlamaDecoder::use(const std::shared_ptr<const AdapterSet>& adapters) {
    if (adapters == nullptr) {
        use_adapters(*handle_, {});
    } else {
        use_adapters(*handle_, dynamic_cast<const LlamaAdapterSet&>(*adapters).adapters());
    }
    // The old ones are freed here at the earliest, after the lock: freeing one asks for it alone.
    adapters_ = adapters;
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
        sequences_[i] = native(rows[i].sequence);
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

SequenceId LlamaDecoder::native(SequenceId sequence) const {
    return apart_ && sequence >= *apart_ ? sequence + 1 : sequence;
}

void LlamaDecoder::copy(SequenceId from, SequenceId to, Position n) {
    const bool is_whole = traits_.memory == MemoryKind::recurrent;
    llama_memory_seq_cp(llama_get_memory(handle_->context), native(from), native(to), 0, is_whole ? -1 : n);
}

bool LlamaDecoder::remove(SequenceId sequence, Position begin) {
    llama_memory_t memory = llama_get_memory(handle_->context);
    return llama_memory_seq_rm(memory, native(sequence), begin == 0 ? -1 : begin, -1);
}

void LlamaDecoder::clear() {
    llama_memory_clear(llama_get_memory(handle_->context), false);
}

std::vector<uint8_t> LlamaDecoder::save(SequenceId sequence, Position n) {
    if (!has_states()) {
        return {};
    }
    llama_memory_t memory = llama_get_memory(handle_->context);
    const SequenceId place = apart_.value_or(native(sequence));
    const Cleared cleared{memory, apart_};
    if (apart_) {
        llama_memory_seq_cp(memory, native(sequence), place, 0, n);
    }
    std::vector<uint8_t> state(llama_state_seq_get_size(handle_->context, place));
    state.resize(llama_state_seq_get_data(handle_->context, state.data(), state.size(), place));
    return state;
}

bool LlamaDecoder::load(SequenceId sequence, const std::vector<uint8_t>& state, Position n) {
    const bool is_cache = traits_.memory != MemoryKind::recurrent;
    if (!has_states() || (is_cache && !is_kv_state(state.data(), state.size(), static_cast<uint32_t>(n),
                                                   n_caches_, has_places_))) {
        return false;
    }
    llama_memory_t memory = llama_get_memory(handle_->context);
    const SequenceId place = apart_.value_or(native(sequence));
    const Cleared cleared{memory, apart_};
    const bool is_read = llama_state_seq_set_data(handle_->context, state.data(), state.size(), place) != 0;
    if (is_read && apart_) {
        llama_memory_seq_cp(memory, place, native(sequence), 0, -1);
    }
    if (!is_read && !apart_) {
        llama_memory_seq_rm(memory, place, -1, -1);
    }
    return is_read;
}

Position LlamaDecoder::pos_min(SequenceId sequence) {
    return llama_memory_seq_pos_min(llama_get_memory(handle_->context), native(sequence));
}

Position LlamaDecoder::pos_max(SequenceId sequence) {
    return llama_memory_seq_pos_max(llama_get_memory(handle_->context), native(sequence));
}

} // namespace inllama
