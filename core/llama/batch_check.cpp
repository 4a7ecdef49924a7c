#include "core/llama/batch_check.h"

#include "core/error.h"

#include <llama.h>
// The table of learned positions is in no public function; its tensor is the only sign of it.
#include <llama-model.h>

#include <algorithm>
#include <map>
#include <string>

namespace inllama {

namespace {

// Far beyond any context, and far from where adding to a position overflows.
constexpr int64_t kMaxPosition = int64_t{1} << 30;

Error invalid(const std::string& text) {
    return Error(ErrorKind::InvalidRequestError, text);
}

void check_row_count(const ContextHandle& handle, size_t n, bool is_encode) {
    // A pooled sequence must be in one piece: llama.cpp lets a later piece overwrite an earlier one.
    const bool is_pooled =
        handle.is_embedding && llama_pooling_type(handle.context) != LLAMA_POOLING_TYPE_NONE;
    const bool is_whole = is_encode || is_pooled || !llama_get_causal_attn(handle.context);
    const size_t limit = is_whole ? llama_n_ubatch(handle.context) : llama_n_batch(handle.context);
    if (n > limit) {
        const char* name = is_whole ? "n_ubatch" : "n_batch";
        throw invalid("the batch has " + std::to_string(n) + " tokens but " + name + " is " +
                      std::to_string(limit) + "; split it or make a context with a larger " + name)
            .with("n_tokens", n)
            .with("limit", limit);
    }
}

// The rows of a sequence must follow each other and its memory; two rows at one place would both be stored.
void check_order(const ContextHandle& handle, llama_memory_t memory, const std::vector<Position>& positions,
                 const std::vector<SequenceId>& sequences) {
    const int64_t limit = handle.n_positions.value_or(kMaxPosition);
    std::map<SequenceId, Position> last;
    for (size_t row = 0; row < positions.size(); row++) {
        const Position position = positions[row];
        if (position < 0 || position >= limit) {
            throw invalid("position " + std::to_string(position) + " in row " + std::to_string(row) +
                          " is out of range: this model has " + std::to_string(limit) + " positions")
                .with("position", position)
                .with("row", row)
                .with("limit", limit);
        }
        const auto found = last.find(sequences[row]);
        const Position before = found != last.end() ? found->second
                                : memory == nullptr ? -1
                                                    : llama_memory_seq_pos_max(memory, sequences[row]);
        const bool may_start_anywhere = before < 0 && found == last.end();
        if (!may_start_anywhere && position != before + 1) {
            throw invalid("position " + std::to_string(position) + " in row " + std::to_string(row) +
                          " does not follow position " + std::to_string(before) + " of sequence " +
                          std::to_string(sequences[row]))
                .with("position", position)
                .with("row", row)
                .with("limit", before + 1);
        }
        last[sequences[row]] = position;
    }
}

// The output of a sequence that the encoder did not read would not be numbers.
void check_encoded(const ContextHandle& handle, const Batch& batch) {
    if (handle.encoded.empty()) {
        throw invalid("this model reads its input with an encoder; call encode() before decode()");
    }
    for (const SequenceId sequence : batch.sequences) {
        if (!std::binary_search(handle.encoded.begin(), handle.encoded.end(), sequence)) {
            throw invalid("sequence " + std::to_string(sequence) +
                          " was not in the last encode(); give encode() all sequences at once")
                .with("sequence", sequence);
        }
    }
}

} // namespace

std::optional<int64_t> position_limit(const ModelHandle& model, const llama_context* context) {
    const ggml_tensor* table = model.model->pos_embd;
    if (table != nullptr) {
        return table->ne[1];
    }
    // Their sparse attention indexes cells by position.
    if (model.model->arch == LLM_ARCH_QWEN4EXP || model.model->arch == LLM_ARCH_GLM5_NEXT) {
        return llama_n_ctx_seq(context);
    }
    return std::nullopt;
}

void check_batch(const ContextHandle& handle, const Batch& batch, bool is_encode) {
    if (batch.size() == 0) {
        throw invalid("the batch is empty; give it at least one token");
    }
    check_row_count(handle, batch.tokens.size(), is_encode);
    const int32_t n_vocab = llama_vocab_n_tokens(handle.model->vocab());
    const auto n_seq_max = static_cast<SequenceId>(llama_n_seq_max(handle.context));
    for (size_t row = 0; row < batch.tokens.size(); row++) {
        const Token token = batch.tokens[row];
        if (token < 0 || token >= n_vocab) {
            throw invalid("token " + std::to_string(token) + " in row " + std::to_string(row) +
                          " is not in the vocabulary of " + std::to_string(n_vocab) + " tokens")
                .with("token", token)
                .with("row", row)
                .with("n_vocab", n_vocab);
        }
        const SequenceId sequence = batch.sequences[row];
        if (sequence < 0 || sequence >= n_seq_max) {
            throw invalid("sequence " + std::to_string(sequence) + " in row " + std::to_string(row) +
                          " is out of range: n_seq_max is " + std::to_string(n_seq_max) +
                          "; make a context with a larger n_seq_max")
                .with("sequence", sequence)
                .with("row", row)
                .with("n_seq_max", n_seq_max);
        }
    }
    const llama_model* model = handle.model->model;
    if (is_encode && !llama_model_has_encoder(model) && llama_get_memory(handle.context) != nullptr) {
        throw Error(ErrorKind::UnsupportedError, "this model has no encoder; use decode()");
    }
    if (!is_encode && llama_model_has_encoder(model)) {
        check_encoded(handle, batch);
    }
}

void check_outputs(const ContextHandle& handle, size_t n_outputs) {
    if (n_outputs > static_cast<size_t>(handle.n_outputs_max)) {
        throw invalid("the batch wants output for " + std::to_string(n_outputs) +
                      " rows but n_outputs_max is " + std::to_string(handle.n_outputs_max) +
                      "; mark fewer rows or make a context with a larger one")
            .with("n_outputs", n_outputs)
            .with("limit", handle.n_outputs_max);
    }
}

void fill_places(const ContextHandle& handle, const Batch& batch, bool is_encode,
                 std::vector<Position>& positions, std::vector<SequenceId>& sequences) {
    sequences = batch.sequences;
    positions = batch.positions;
    llama_memory_t memory = is_encode ? nullptr : llama_get_memory(handle.context);
    if (positions.empty()) {
        std::map<SequenceId, Position> next;
        for (const SequenceId sequence : sequences) {
            auto found = next.find(sequence);
            if (found == next.end()) {
                const Position start = memory == nullptr ? 0 : llama_memory_seq_pos_max(memory, sequence) + 1;
                found = next.emplace(sequence, start).first;
            }
            positions.push_back(found->second++);
        }
    }
    check_order(handle, memory, positions, sequences);
}

} // namespace inllama
