#include "core/gguf_rules.h"

#include <cmath>
#include <sstream>
#include <unordered_map>

namespace inllama {

namespace {

constexpr uint32_t bit(GgufType type) {
    return uint32_t{1} << static_cast<uint32_t>(type);
}

// Sets of types. Within a set, llama.cpp says itself which one it wants.
constexpr uint32_t kIntegers = bit(GgufType::u8) | bit(GgufType::i8) | bit(GgufType::u16) |
                               bit(GgufType::i16) | bit(GgufType::u32) | bit(GgufType::i32) |
                               bit(GgufType::u64) | bit(GgufType::i64);
constexpr uint32_t kReals = bit(GgufType::f32) | bit(GgufType::f64);
constexpr uint32_t kFlag = bit(GgufType::flag);
constexpr uint32_t kText = bit(GgufType::text);
constexpr uint32_t kU16 = bit(GgufType::u16);
constexpr uint32_t kU32 = bit(GgufType::u32);
constexpr uint32_t kI32 = bit(GgufType::i32);
constexpr uint32_t kF32 = bit(GgufType::f32);
constexpr uint32_t kBytes = bit(GgufType::u8) | bit(GgufType::i8);

enum class Form : uint8_t { one, many, either };

struct Rule {
    const char* key; // of the architecture if it begins with a dot
    uint32_t types;
    Form form;
    double low = -HUGE_VAL, high = HUGE_VAL; // of each number, both possible; then NaN is not
};

constexpr double kWidth = 1 << 20; // of a layer
constexpr double kInner = 1 << 24; // of what is inside of a layer
constexpr double kHead = 1 << 16;
constexpr double kLayers = 512;   // LLAMA_MAX_LAYERS
constexpr double kExperts = 1024; // LLAMA_MAX_EXPERTS
constexpr double kInt = 2147483647.0;
constexpr double kId = 4294967295.0; // a bad id is replaced by llama.cpp
constexpr double kFinite = 3.4e38;
constexpr double kLeast = 1e-30; // above zero

constexpr Form one = Form::one, many = Form::many, either = Form::either;

// Every entry that llama.cpp reads: LLM_KV_NAMES in llama-arch.cpp at the pinned commit. Its own writer gives
// all of them to each architecture, with 0 for what that does not have: where an architecture needs more,
// gguf_relations.cpp says so.
constexpr Rule kRules[] = {
    {"general.architecture", kText, one},
    {"general.type", kText, one},
    {"general.name", kText, one},
    {"general.file_type", kIntegers, one, 0, kInt},
    {"general.quantization_version", kIntegers, one, 0, kInt},
    {"general.sampling.sequence", kText, one},
    {"split.no", kU16, one},
    {"split.count", kU16, one, 0, 10000},
    {"split.tensors.count", kIntegers, one, 0, kInt},

    {".vocab_size", kIntegers, one, 0, kInner},
    {".context_length", kIntegers, one, 1, kInt},
    {".embedding_length", kIntegers, one, 1, kWidth},
    {".embedding_length_out", kIntegers, one, 0, kWidth},
    {".embedding_length_per_layer_input", kIntegers, one, 0, kWidth},
    {".features_length", kIntegers, one, 0, kWidth},
    {".block_count", kIntegers, one, 1, kLayers},
    {".decoder_block_count", kIntegers, one, 0, kLayers},
    {".leading_dense_block_count", kIntegers, one, 0, kLayers},
    {".nextn_predict_layers", kIntegers, one, 0, kLayers},
    {".n_deepstack_layers", kIntegers, one, 0, kLayers},
    {".deepstack_mapping", kIntegers, many, -1, kLayers},
    {".feed_forward_length", kIntegers, either, 0, kInner},
    {".expert_feed_forward_length", kIntegers, either, 0, kInner},
    {".expert_shared_feed_forward_length", kIntegers, one, 0, kInner},
    {".expert_chunk_feed_forward_length", kIntegers, one, 0, kInner},
    {".expert_count", kIntegers, one, 0, kExperts},
    {".expert_used_count", kIntegers, either, 0, kExperts},
    {".expert_shared_count", kIntegers, one, 0, kExperts},
    {".expert_group_count", kIntegers, one, 0, kExperts},
    {".expert_group_used_count", kIntegers, one, 0, kExperts},
    {".expert_gating_func", kIntegers, one, 0, 4}, // build_moe_ffn aborts for others
    {".expert_weights_scale", kReals, one, -kFinite, kFinite},
    {".expert_weights_norm", kFlag, one},
    {".expert_group_scale", kReals, one, -kFinite, kFinite},
    {".experts_per_group", kIntegers, one, 0, kExperts},
    {".expert_latent_length", kIntegers, one, 0, kWidth},
    {".moe_latent_size", kIntegers, one, 0, kWidth},
    {".moe_every_n_layers", kIntegers, one, 0, kLayers},
    {".interleave_moe_layer_step", kIntegers, one, 0, kLayers},
    {".full_attention_interval", kIntegers, one, 0, kLayers},
    {".num_loops", kIntegers, one, 0, kLayers},
    {".hrm.layers_per_stack", kIntegers, one, 0, kLayers},
    {".hrm.h_cycles", kIntegers, one, 0, kLayers},
    {".hrm.l_cycles", kIntegers, one, 0, kLayers},
    {".attn_res.block_size", kIntegers, one, 0, kLayers},
    {".swiglu_clamp_exp", kReals, either, -kFinite, kFinite},
    {".swiglu_clamp_shexp", kReals, either, -kFinite, kFinite},
    {".activation.situ_beta", kReals, one, -kFinite, kFinite},
    {".activation.situ_linear_beta", kReals, one, -kFinite, kFinite},
    {".hidden_activation", kText, one},
    {".pooling_type", kIntegers, one, -1, kId}, // an unknown one is refused for a context
    {".logit_scale", kReals, one, -kFinite, kFinite},
    {".residual_scale", kReals, one, -kFinite, kFinite},
    {".embedding_scale", kReals, one, -kFinite, kFinite},
    {".attn_logit_softcapping", kReals, one, -kFinite, kFinite},
    {".router_logit_softcapping", kReals, one, -kFinite, kFinite},
    {".final_logit_softcapping", kReals, one, -kFinite, kFinite},
    {".decoder_start_token_id", kIntegers, one, -1, kId},
    {".use_parallel_residual", kFlag, one},
    {".swin_norm", kFlag, one},
    {".rescale_every_n_layers", kIntegers, one, 0, kInt},
    {".time_mix_extra_dim", kIntegers, one, 0, kWidth},
    {".time_decay_extra_dim", kIntegers, one, 0, kWidth},
    {".token_shift_count", kIntegers, one, 0, 2},
    {".hash_layer_count", kIntegers, one, 0, kLayers},
    {".target_layers", kIntegers, many, -1, kInt},
    {".target_hidden_size", kIntegers, one, 0, kWidth},
    {".block_size", kIntegers, one, 0, kInt},
    {".conv_kernel_size", kIntegers, one, 0, kHead},
    {".conv_group_size", kIntegers, one, 0, kWidth},
    {".selector_rank", kIntegers, one, 0, kWidth},
    {".selector_top_k", kIntegers, one, 0, kInt},
    {".dense_2_feat_in", kIntegers, one, 0, kWidth},
    {".dense_2_feat_out", kIntegers, one, 0, kWidth},
    {".dense_3_feat_in", kIntegers, one, 0, kWidth},
    {".dense_3_feat_out", kIntegers, one, 0, kWidth},
    {".classifier.output_labels", kText, many},
    {".adapters.count", kIntegers, one, 0, kExperts},
    {".adapters.lora_rank", kIntegers, one, 0, kWidth},
    {".posnet.embedding_length", kIntegers, one, 0, kWidth},
    {".posnet.block_count", kIntegers, one, 0, kLayers},
    {".convnext.embedding_length", kIntegers, one, 0, kWidth},
    {".convnext.block_count", kIntegers, one, 0, kLayers},
    {".shortconv.l_cache", kIntegers, one, 0, kHead},
    {".wkv.head_size", kIntegers, one, 0, kHead}, // a divisor
    {".kda.head_dim", kIntegers, one, 0, kHead},

    {".attention.head_count", kIntegers, either, 0, kHead},
    {".attention.head_count_kv", kIntegers, either, 0, kHead},
    {".attention.key_length", kIntegers, one, 0, kHead},
    {".attention.value_length", kIntegers, one, 0, kHead},
    {".attention.key_length_mla", kIntegers, one, 0, kHead},
    {".attention.value_length_mla", kIntegers, one, 0, kHead},
    {".attention.key_length_swa", kIntegers, one, 0, kHead},
    {".attention.value_length_swa", kIntegers, one, 0, kHead},
    {".attention.max_alibi_bias", kReals, one, 0, kFinite},
    {".attention.clamp_kqv", kReals, one, 0, kFinite},
    {".attention.layer_norm_epsilon", kReals, one, 0, 1}, // ggml asserts that it is not negative
    {".attention.layer_norm_rms_epsilon", kReals, one, 0, 1},
    {".attention.group_norm_epsilon", kReals, one, 0, 1},
    {".attention.group_norm_groups", kIntegers, one, 0, kWidth},
    {".attention.causal", kFlag, one},
    {".attention.q_lora_rank", kIntegers, one, 0, kWidth},
    {".attention.kv_lora_rank", kIntegers, one, 0, kWidth},
    {".attention.kv_lora_rank_swa", kIntegers, one, 0, kWidth},
    {".attention.key_length_mla_swa", kIntegers, one, 0, kHead},
    {".attention.value_length_mla_swa", kIntegers, one, 0, kHead},
    {".attention.decay_lora_rank", kIntegers, one, 0, kWidth},
    {".attention.iclr_lora_rank", kIntegers, one, 0, kWidth},
    {".attention.value_residual_mix_lora_rank", kIntegers, one, 0, kWidth},
    {".attention.gate_lora_rank", kIntegers, one, 0, kWidth},
    {".attention.output_lora_rank", kIntegers, one, 0, kWidth},
    {".attention.output_group_count", kIntegers, one, 0, kHead}, // a divisor
    {".attention.relative_buckets_count", kIntegers, one, 0, kHead},
    // Times the sequences it must fit 32 bits.
    {".attention.sliding_window", kIntegers, one, 0, 1 << 22},
    {".attention.sliding_window_pattern", kIntegers | kFlag, either, 0, kInt},
    {".attention.rope_pattern", kIntegers | kFlag, either, 0, kInt},
    {".attention.recurrent_layers", kIntegers | kFlag, either, 0, kInt},
    {".attention.shared_kv_layers", kIntegers, one, 0, kLayers},
    {".attention.scale", kReals, one, -kFinite, kFinite},
    {".attention.output_scale", kReals, one, -kFinite, kFinite},
    {".attention.value_scale", kReals, one, -kFinite, kFinite},
    {".attention.temperature_length", kIntegers, one, 0, kInt},
    {".attention.temperature_scale", kReals, one, -kFinite, kFinite},
    {".attention.indexer.head_count", kIntegers, one, 0, kHead},
    {".attention.indexer.key_length", kIntegers, one, 0, kHead},
    {".attention.indexer.top_k", kIntegers, one, 0, kInt},
    {".attention.indexer.block_size", kIntegers, one, 0, kInt},
    {".attention.indexer.local_blocks", kIntegers, one, 0, kInt},
    {".attention.indexer.kpool", kIntegers, one, 0, kHead},
    {".attention.compress_rope_freq_base", kReals, one, 0, kFinite},
    {".attention.compress_ratios", kIntegers, either, 0, kHead},
    {".hyper_connection.count", kIntegers, one, 0, kHead},
    {".hyper_connection.sinkhorn_iterations", kIntegers, one, 0, kHead},
    {".hyper_connection.epsilon", kReals, one, 0, 1},

    {".rope.dimension_count", kIntegers, one, 0, kHead},
    {".rope.dimension_count_swa", kIntegers, one, 0, kHead},
    {".rope.dimension_sections", kIntegers, many, 0, kHead},
    {".rope.freq_base", kReals, one, kLeast, kFinite},
    {".rope.freq_base_swa", kReals, one, kLeast, kFinite},
    {".rope.scale_linear", kReals, one, 0, kFinite},
    {".rope.scaling.type", kText, one},
    {".rope.scaling.factor", kReals, one, 0, kFinite},
    {".rope.scaling.attn_factor", kReals, one, -kFinite, kFinite},
    {".rope.scaling.alpha", kReals, one, -kFinite, kFinite},
    {".rope.scaling.original_context_length", kIntegers, one, 0, kInt},
    {".rope.scaling.finetuned", kFlag, one},
    {".rope.scaling.yarn_log_multiplier", kReals, one, -kFinite, kFinite},
    {".rope.scaling.yarn_ext_factor", kReals, one, -kFinite, kFinite},
    {".rope.scaling.yarn_attn_factor", kReals, one, -kFinite, kFinite},
    {".rope.scaling.yarn_beta_fast", kReals, one, -kFinite, kFinite},
    {".rope.scaling.yarn_beta_slow", kReals, one, -kFinite, kFinite},

    {".ssm.conv_kernel", kIntegers, one, 0, kHead},
    {".ssm.inner_size", kIntegers, one, 0, kWidth},
    {".ssm.state_size", kIntegers, one, 0, kHead},
    {".ssm.time_step_rank", kIntegers, one, 0, kWidth},
    {".ssm.group_count", kIntegers, one, 0, kHead},
    {".ssm.dt_b_c_rms", kFlag, one},

    {"xielu.alpha_n", kReals, either, -kFinite, kFinite},
    {"xielu.alpha_p", kReals, either, -kFinite, kFinite},
    {"xielu.beta", kReals, either, -kFinite, kFinite},
    {"xielu.eps", kReals, either, -kFinite, kFinite},

    {"tokenizer.ggml.model", kText, one},
    {"tokenizer.ggml.pre", kText, one},
    {"tokenizer.ggml.tokens", kText, many},
    {"tokenizer.ggml.merges", kText, many},
    {"tokenizer.ggml.token_type", kI32, many},
    {"tokenizer.ggml.token_type_count", kIntegers, one, 0, kHead},
    {"tokenizer.ggml.scores", kF32 | kI32, many},
    {"tokenizer.ggml.precompiled_charsmap", kBytes, many},
    {"tokenizer.ggml.suppress_tokens", kI32, many},
    {"tokenizer.ggml.bos_token_id", kIntegers, one, -1, kId},
    {"tokenizer.ggml.eos_token_id", kIntegers, one, -1, kId},
    {"tokenizer.ggml.eot_token_id", kIntegers, one, -1, kId},
    {"tokenizer.ggml.eom_token_id", kIntegers, one, -1, kId},
    {"tokenizer.ggml.unknown_token_id", kIntegers, one, -1, kId},
    {"tokenizer.ggml.seperator_token_id", kIntegers, one, -1, kId},
    {"tokenizer.ggml.padding_token_id", kIntegers, one, -1, kId},
    {"tokenizer.ggml.cls_token_id", kIntegers, one, -1, kId},
    {"tokenizer.ggml.mask_token_id", kIntegers, one, -1, kId},
    {"tokenizer.ggml.add_bos_token", kFlag, one},
    {"tokenizer.ggml.add_eos_token", kFlag, one},
    {"tokenizer.ggml.add_sep_token", kFlag, one},
    {"tokenizer.ggml.add_space_prefix", kFlag, one},
    {"tokenizer.ggml.remove_extra_whitespaces", kFlag, one},
    {"tokenizer.chat_template", kText, one},

    {"adapter.type", kText, one},
    {"adapter.lora.alpha", kF32, one, -kFinite, kFinite},
    {"adapter.lora.task_name", kText, one},
    {"adapter.lora.prompt_prefix", kText, one},
    {"adapter.alora.invocation_tokens", kU32, many},
};

using RuleTable = std::unordered_map<std::string_view, const Rule*>;

const RuleTable& rules() {
    static const RuleTable table = [] {
        RuleTable all;
        all.reserve(std::size(kRules));
        for (const Rule& rule : kRules) {
            all.emplace(rule.key, &rule);
        }
        return all;
    }();
    return table;
}

std::string type_names(uint32_t types) {
    if (types == kText) {
        return "text";
    }
    if (types == kFlag) {
        return "a bool";
    }
    if ((types & ~kFlag) == kIntegers) {
        return "an integer";
    }
    if (types == kReals) {
        return "a real number";
    }
    std::string names;
    for (uint32_t i = 0; i < kGgufTypes; i++) {
        if ((types & (uint32_t{1} << i)) != 0) {
            names += (names.empty() ? "" : " or ") + std::string(gguf_type_name(static_cast<GgufType>(i)));
        }
    }
    return names;
}

std::string shown_number(double number) {
    std::ostringstream text;
    text.precision(12);
    text << number;
    return text.str();
}

void check_numbers(const Gguf& file, const GgufEntry& entry, const Rule& rule) {
    for (uint64_t i = 0; i < entry.n; i++) {
        const double number = entry.number(i);
        if (number >= rule.low && number <= rule.high) {
            continue;
        }
        const std::string which = entry.is_array
                                      ? "has " + shown_number(number) + " at place " + std::to_string(i)
                                      : "is " + shown_number(number);
        file.fail("entry " + std::string(entry.key),
                  which + "; it must be from " + shown_number(rule.low) + " to " + shown_number(rule.high));
    }
}

void check_entry(const Gguf& file, const GgufEntry& entry, const Rule& rule) {
    const auto where = [&] { return "entry " + shown_name(entry.key); };
    if ((bit(entry.type) & rule.types) == 0) {
        file.fail(where(), std::string("is of type ") + gguf_type_name(entry.type) + "; it must be " +
                               type_names(rule.types));
    }
    if (entry.is_array ? rule.form == Form::one : rule.form == Form::many) {
        file.fail(where(), entry.is_array ? "is an array; it must be one value" : "must be an array");
    }
    if (entry.is_number() && entry.type != GgufType::flag && (rule.low > -HUGE_VAL || rule.high < HUGE_VAL)) {
        check_numbers(file, entry, rule);
    }
}

std::string_view without_architecture(std::string_view key) {
    const size_t dot = key.find('.');
    return dot == std::string_view::npos ? key : key.substr(dot);
}

} // namespace

std::string gguf_number_problem(std::string_view key, double number) {
    auto found = rules().find(key);
    if (found == rules().end()) {
        found = rules().find(without_architecture(key));
    }
    if (found == rules().end() || (number >= found->second->low && number <= found->second->high)) {
        return "";
    }
    return "must be from " + shown_number(found->second->low) + " to " + shown_number(found->second->high);
}

std::string gguf_text_problem(std::string_view key, std::string_view text) {
    const bool is_known = text == "none" || text == "linear" || text == "yarn" || text == "longrope";
    return without_architecture(key) == ".rope.scaling.type" && !is_known
               ? "must be one of none, linear, yarn and longrope"
               : "";
}

void check_gguf_entries(const Gguf& file) {
    const std::string_view architecture = file.architecture();
    const RuleTable& table = rules();
    for (const GgufEntry& entry : file.entries()) {
        const std::string_view key = entry.key;
        // Rules of an architecture begin with the dot behind its name.
        auto found = key[0] == '.' ? table.end() : table.find(key);
        if (found == table.end() && !architecture.empty() && key.size() > architecture.size() &&
            key[architecture.size()] == '.' && key.substr(0, architecture.size()) == architecture) {
            found = table.find(key.substr(architecture.size()));
        }
        if (found != table.end()) {
            check_entry(file, entry, *found->second);
        }
    }
}

} // namespace inllama
