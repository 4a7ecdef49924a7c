#include "core/llama/context_params.h"

#include "core/error.h"
#include "core/llama/choice.h"
#include "core/llama/native_text.h"
#include "core/platform/cpu.h"
#include "core/platform/memory.h"

// The pooling type and classification head of a model are in no public function.
#include <llama-model.h>

#include <algorithm>
#include <cmath>

namespace inllama {

namespace {

constexpr int64_t kMaxRows = int64_t{1} << 24;  // n_batch: arrays of this length are allocated per row
constexpr int64_t kMaxCells = int64_t{1} << 30; // n_ctx: llama.cpp pads it inside 32 bits
constexpr int64_t kDefaultCells = 8192;

const Choices<enum llama_pooling_type> kPoolings = {
    {"auto", LLAMA_POOLING_TYPE_UNSPECIFIED}, {"none", LLAMA_POOLING_TYPE_NONE},
    {"mean", LLAMA_POOLING_TYPE_MEAN},        {"cls", LLAMA_POOLING_TYPE_CLS},
    {"last", LLAMA_POOLING_TYPE_LAST},        {"rank", LLAMA_POOLING_TYPE_RANK},
};

const Choices<llama_attention_type> kAttentions = {
    {"auto", LLAMA_ATTENTION_TYPE_UNSPECIFIED},
    {"causal", LLAMA_ATTENTION_TYPE_CAUSAL},
    {"non_causal", LLAMA_ATTENTION_TYPE_NON_CAUSAL},
};

const Choices<llama_flash_attn_type> kFlashAttentions = {
    {"auto", LLAMA_FLASH_ATTN_TYPE_AUTO},
    {"on", LLAMA_FLASH_ATTN_TYPE_ENABLED},
    {"off", LLAMA_FLASH_ATTN_TYPE_DISABLED},
};

const Choices<llama_rope_scaling_type> kRopeScalings = {
    {"auto", LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED},  {"none", LLAMA_ROPE_SCALING_TYPE_NONE},
    {"linear", LLAMA_ROPE_SCALING_TYPE_LINEAR},     {"yarn", LLAMA_ROPE_SCALING_TYPE_YARN},
    {"longrope", LLAMA_ROPE_SCALING_TYPE_LONGROPE},
};

// The types that llama.cpp's attention computes with on every backend.
const Choices<ggml_type> kKvTypes = {
    {"f32", GGML_TYPE_F32},   {"f16", GGML_TYPE_F16},   {"bf16", GGML_TYPE_BF16},
    {"q8_0", GGML_TYPE_Q8_0}, {"q5_1", GGML_TYPE_Q5_1}, {"q5_0", GGML_TYPE_Q5_0},
    {"q4_1", GGML_TYPE_Q4_1}, {"q4_0", GGML_TYPE_Q4_0}, {"iq4_nl", GGML_TYPE_IQ4_NL},
};

int64_t checked(const char* option, int64_t value, int64_t low, int64_t high, const char* unit) {
    if (value < low || value > high) {
        throw Error(ErrorKind::InvalidRequestError, std::string(option) + " is " + std::to_string(value) +
                                                        " but must be " + std::to_string(low) + " to " +
                                                        std::to_string(high) + " " + unit)
            .with("option", std::string(option))
            .with("value", value)
            .with("limit", value < low ? low : high);
    }
    return value;
}

float checked_number(const char* option, double value, double low) {
    if (!std::isfinite(static_cast<float>(value)) || value < low) {
        throw Error(ErrorKind::InvalidRequestError, std::string(option) + " is " + std::to_string(value) +
                                                        " but must be a finite number of at least " +
                                                        std::to_string(low))
            .with("option", std::string(option))
            .with("value", value);
    }
    return static_cast<float>(value);
}

// Threads for a model of this size: the usable cores, but few for a small one. Its graphs are so short that
// waiting for each other at every operation costs more than it brings, above all on a busy machine.
int default_threads(const ModelHandle& model) {
    const uint64_t by_size = llama_model_size(model.model) >> 24;
    return static_cast<int>(std::clamp<uint64_t>(by_size, 1, static_cast<uint64_t>(usable_cores())));
}

void check_sizes(const llama_context_params& native) {
    // llama.cpp's output buffer has a row for every sequence, whatever the batch.
    if (native.n_seq_max > native.n_outputs_max) {
        throw Error(ErrorKind::InvalidRequestError,
                    "n_seq_max is " + std::to_string(native.n_seq_max) + " but a call may give output for " +
                        std::to_string(native.n_outputs_max) +
                        " rows; raise n_batch, n_ctx or n_outputs_max to at least n_seq_max")
            .with("n_seq_max", native.n_seq_max)
            .with("limit", native.n_outputs_max);
    }
}

void check_head(const char* option, ggml_type type, uint32_t head) {
    const auto block = static_cast<uint32_t>(ggml_blck_size(type));
    if (head % block != 0) {
        throw Error(ErrorKind::UnsupportedError, std::string(option) + " '" + name_of(kKvTypes, type) +
                                                     "' has blocks of " + std::to_string(block) +
                                                     " numbers, which do not divide this model's heads of " +
                                                     std::to_string(head) + "; use f16 or f32")
            .with("option", std::string(option));
    }
}

void check_kv_types(const ModelHandle& model, const llama_context_params& native) {
    const llama_hparams& hparams = model.model->hparams;
    for (uint32_t layer = 0; layer < hparams.n_layer(); layer++) {
        check_head("kv_type_k", native.type_k, hparams.n_embd_head_k(layer));
        check_head("kv_type_v", native.type_v, hparams.n_embd_head_v(layer));
    }
    const bool is_quantized = ggml_is_quantized(native.type_k) || ggml_is_quantized(native.type_v);
    if (is_quantized && native.flash_attn_type == LLAMA_FLASH_ATTN_TYPE_DISABLED) {
        throw Error(
            ErrorKind::UnsupportedError,
            "quantized kv_type_k or kv_type_v needs flash attention; set flash_attention='on' or use f16")
            .with("option", std::string("flash_attention"));
    }
}

// Vectors are copied with a width that these graphs do not make.
void check_embeddings(const ModelHandle& model, const llama_context_params& native) {
    const std::string architecture = read_text([&](char* text, size_t size) {
        return llama_model_meta_val_str(model.model, "general.architecture", text, size);
    });
    if (native.embeddings && (architecture == "deepseek4" || architecture == "qwen4exp")) {
        throw Error(ErrorKind::UnsupportedError,
                    "models of architecture " + architecture + " give no embeddings");
    }
}

void check_pooling(const ModelHandle& model, const llama_context_params& native) {
    // A model file's own value reaches a switch without a default.
    const enum llama_pooling_type pooling = native.pooling_type == LLAMA_POOLING_TYPE_UNSPECIFIED
                                                ? model.model->hparams.pooling_type
                                                : native.pooling_type;
    if (pooling < LLAMA_POOLING_TYPE_UNSPECIFIED || pooling > LLAMA_POOLING_TYPE_RANK) {
        throw Error(ErrorKind::UnsupportedError, "the model file names pooling type " +
                                                     std::to_string(pooling) +
                                                     ", which does not exist; give pooling=");
    }
    if (pooling == LLAMA_POOLING_TYPE_RANK && model.model->cls == nullptr &&
        model.model->cls_out == nullptr) {
        throw Error(ErrorKind::UnsupportedError, "pooling 'rank' needs a model with a classification head");
    }
}

// llama.cpp reserves a graph that averages n_ubatch rows over n_seq_max sequences of one length.
void fit_mean_pooling(const ModelHandle& model, llama_context_params& native) {
    const llama_hparams& hparams = model.model->hparams;
    const enum llama_pooling_type pooling =
        native.pooling_type == LLAMA_POOLING_TYPE_UNSPECIFIED ? hparams.pooling_type : native.pooling_type;
    const bool is_mean =
        pooling == LLAMA_POOLING_TYPE_MEAN ||
        (pooling == LLAMA_POOLING_TYPE_RANK && hparams.pooling_type_cls == LLAMA_POOLING_TYPE_MEAN);
    if (!is_mean) {
        return;
    }
    native.n_ubatch -= native.n_ubatch % native.n_seq_max;
    if (native.n_ubatch == 0 || native.n_outputs_max < native.n_ubatch) {
        throw Error(ErrorKind::InvalidRequestError, "mean pooling needs n_ubatch of at least n_seq_max and "
                                                    "n_outputs_max of at least n_ubatch, but they are " +
                                                        std::to_string(native.n_ubatch) + ", " +
                                                        std::to_string(native.n_seq_max) + " and " +
                                                        std::to_string(native.n_outputs_max))
            .with("n_seq_max", native.n_seq_max);
    }
}

void check_encoder(const ModelHandle& model, const llama_context_params& native) {
    if (!llama_model_has_encoder(model.model)) {
        return;
    }
    if (!native.kv_unified && native.n_seq_max > 1) {
        throw Error(ErrorKind::UnsupportedError,
                    "a model with an encoder needs kv_unified=True for more than one sequence");
    }
    const bool pools = native.pooling_type == LLAMA_POOLING_TYPE_UNSPECIFIED
                           ? model.model->hparams.pooling_type > LLAMA_POOLING_TYPE_NONE
                           : native.pooling_type > LLAMA_POOLING_TYPE_NONE;
    if (pools) {
        throw Error(ErrorKind::UnsupportedError, "a model with an encoder cannot pool; use pooling='none'");
    }
}

// A lower bound. Without it an absurd n_ctx is not an error but a process killed for its memory.
void check_memory(const ModelHandle& model, const llama_context_params& native) {
    const uint64_t limit = memory_limit_bytes();
    const int n_head = std::max(1, llama_model_n_head(model.model));
    const double row =
        static_cast<double>(llama_model_n_embd(model.model)) / n_head * llama_model_n_head_kv(model.model);
    const auto bytes_of = [&](ggml_type type) {
        return row * static_cast<double>(ggml_type_size(type)) / static_cast<double>(ggml_blck_size(type));
    };
    // One layer of keys and values, and llama.cpp's record of every cell.
    const double cell = bytes_of(native.type_k) + bytes_of(native.type_v) + 52;
    const double needed = cell * native.n_ctx;
    const double outputs = 4.0 * llama_vocab_n_tokens(model.vocab()) * native.n_seq_max;
    if (limit > 0 && needed + outputs > static_cast<double>(limit)) {
        throw Error(ErrorKind::InsufficientMemoryError,
                    "n_ctx " + std::to_string(native.n_ctx) + " needs more than " +
                        std::to_string(static_cast<uint64_t>(needed + outputs) >> 20) +
                        " MiB but this process may use " + std::to_string(limit >> 20) +
                        " MiB; use a smaller n_ctx or a smaller kv_type")
            .with("n_ctx", native.n_ctx)
            .with("needed_bytes", static_cast<uint64_t>(needed + outputs))
            .with("limit_bytes", limit);
    }
}

} // namespace

int checked_threads(const char* option, int64_t n) {
    return static_cast<int>(checked(option, n, 1, kMaxThreads, "threads"));
}

std::string pooling_name(enum llama_pooling_type type) {
    return name_of(kPoolings, type);
}

llama_context_params to_llama(const ModelHandle& model, const ContextParams& params) {
    if (model.vocab_only) {
        throw Error(
            ErrorKind::UnsupportedError,
            "the model was loaded with vocab_only=True and has no weights; load it without to compute");
    }
    llama_context_params native = llama_context_default_params();
    const int64_t trained = model.n_ctx_train;
    const int64_t wanted =
        params.n_ctx.value_or(trained > 0 ? std::min(trained, kDefaultCells) : kDefaultCells);
    // llama.cpp pads to 256 after it used the number to limit n_batch.
    const int64_t n_ctx = (checked("n_ctx", wanted, 1, kMaxCells, "cells") + 255) / 256 * 256;
    native.n_ctx = static_cast<uint32_t>(n_ctx);
    native.attention_type = choose(kAttentions, "attention", params.attention);
    int64_t n_batch = checked("n_batch", params.n_batch, 1, kMaxRows, "rows");
    n_batch = std::min(n_batch, n_ctx);
    native.n_batch = static_cast<uint32_t>(n_batch);
    native.n_ubatch =
        static_cast<uint32_t>(std::min(n_batch, checked("n_ubatch", params.n_ubatch, 1, kMaxRows, "rows")));
    native.n_seq_max = static_cast<uint32_t>(checked(
        "n_seq_max", params.n_seq_max, 1, static_cast<int64_t>(llama_max_parallel_sequences()), "sequences"));
    const int64_t n_outputs = params.n_outputs_max.value_or(n_batch);
    native.n_outputs_max =
        static_cast<uint32_t>(std::min(n_batch, checked("n_outputs_max", n_outputs, 1, kMaxRows, "rows")));
    native.n_outputs_max_per_seq = 0;
    native.n_threads = checked_threads("n_threads", params.n_threads.value_or(default_threads(model)));
    native.n_threads_batch =
        checked_threads("n_threads_batch", params.n_threads_batch.value_or(native.n_threads));
    native.embeddings = params.embeddings;
    native.pooling_type = choose(kPoolings, "pooling", params.pooling);
    native.flash_attn_type = choose(kFlashAttentions, "flash_attention", params.flash_attention);
    native.type_k = choose(kKvTypes, "kv_type_k", params.kv_type_k);
    native.type_v = choose(kKvTypes, "kv_type_v", params.kv_type_v);
    native.kv_unified = params.kv_unified;
    native.swa_full = params.swa_full;
    native.offload_kqv = params.offload_kqv;
    native.op_offload = params.op_offload;
    native.rope_scaling_type = choose(kRopeScalings, "rope_scaling", params.rope_scaling);
    native.rope_freq_base = checked_number("rope_freq_base", params.rope_freq_base, 0);
    native.rope_freq_scale = checked_number("rope_freq_scale", params.rope_freq_scale, 0);
    native.yarn_ext_factor = checked_number("yarn_ext_factor", params.yarn_ext_factor, -1);
    native.yarn_attn_factor = checked_number("yarn_attn_factor", params.yarn_attn_factor, -1);
    native.yarn_beta_fast = checked_number("yarn_beta_fast", params.yarn_beta_fast, -1);
    native.yarn_beta_slow = checked_number("yarn_beta_slow", params.yarn_beta_slow, -1);
    native.yarn_orig_ctx =
        static_cast<uint32_t>(checked("yarn_orig_ctx", params.yarn_orig_ctx, 0, kMaxCells, "tokens"));
    check_sizes(native);
    fit_mean_pooling(model, native);
    check_embeddings(model, native);
    check_pooling(model, native);
    check_encoder(model, native);
    check_kv_types(model, native);
    check_memory(model, native);
    return native;
}

} // namespace inllama
