#include "core/gguf_rules.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace inllama {

namespace {

std::string shown(double number) {
    return std::to_string(static_cast<int64_t>(number));
}

// Those that divide by the experts in use, or assert that there are some.
constexpr const char* kExpertsOnly = " bailingmoe2 glm4moe grovemoe llada-moe smallthinker mellum qwen2moe "
                                     "qwen3moe qwen3vlmoe qwen3next qwen35moe "
                                     "qwen4exp rnd1 ernie4_5-moe ";

// An entry of one architecture whose values are fewer than those that other architectures take.
struct Narrower {
    const char* architectures; // with spaces around each
    const char* key;
    double low, high;
    const char* cause;
};
constexpr Narrower kNarrower[] = {
    {" ernie4_5-moe ", ".interleave_moe_layer_step", 1, 512, "layers are divided by it"},
    {" qwen3next qwen35 qwen35moe qwen4exp minimax-01 ", ".full_attention_interval", 1, 512,
     "layers are divided by it"},
    {" llama4 ", ".attention.sliding_window", 1, 1 << 22, "llama.cpp aborts without a window"},
    {" plamo2 ", ".ssm.group_count", 0, 0, "its states have no groups"},
    {" grovemoe ", ".experts_per_group", 1, 1024, "experts are divided by it"},
    {" nanbeige ", ".num_loops", 1, 512, "layers are computed at least once"},
    {" hrm_text ", ".hrm.layers_per_stack", 1, 512, "layers are computed at least once"},
    {" hrm_text ", ".hrm.h_cycles", 1, 512, "layers are computed at least once"},
    {" hrm_text ", ".hrm.l_cycles", 1, 512, "layers are computed at least once"},
    {" dflash ", ".block_size", 1, 65536, "tokens are divided by it"},
    {" wavtokenizer-dec ", ".attention.group_norm_groups", 1, 65536, "channels are divided by it"},
    {" deepseek4 dflash ", ".attention.output_group_count", 1, 65536, "heads are divided by it"},
    {" deepseek4 glm5-next ", ".hyper_connection.count", 4, 4, "only that is computed"},
    {" minimax-m3 ", ".attention.indexer.block_size", 1, 65536, "positions are divided by it"},
    {" glm5-next ", ".attention.indexer.kpool", 2, 65536, "a pool has several"},
    {" qwen4exp ", ".attention.compress_ratios", 0, 64, "it is a bit of a mask"},
    {" t5 t5encoder ", ".attention.relative_buckets_count", 4, 65536, "a logarithm of it is taken"},
    {" lfm2 lfm2moe ", ".shortconv.l_cache", 2, 65536, "one less is kept"},
    {" rwkv6 rwkv6qwen2 rwkv7 arwkv7 ", ".wkv.head_size", 1, 65536, "the width is divided by it"},
    {" rwkv6 rwkv6qwen2 rwkv7 arwkv7 ", ".token_shift_count", 1, 2, "so many are kept"},
    {" kimi-linear kimi-k3 bailingmoe3 glm5-next ", ".kda.head_dim", 1, 65536,
     "there is a state of that width"},
    {" mamba mamba2 jamba falcon-h1 nemotron_h nemotron_h_moe granitehybrid plamo2 ", ".ssm.conv_kernel", 1,
     64, "one less is kept"},
    {" mamba mamba2 jamba falcon-h1 nemotron_h nemotron_h_moe granitehybrid plamo2 ", ".ssm.inner_size", 1,
     1 << 20, "it is divided"},
    {" mamba mamba2 jamba falcon-h1 nemotron_h nemotron_h_moe granitehybrid plamo2 ", ".ssm.state_size", 1,
     65536, "there is a state"},
    {" mamba2 falcon-h1 nemotron_h nemotron_h_moe granitehybrid plamo2 ", ".ssm.time_step_rank", 1, 1 << 20,
     "the inner size is divided by it"},
    {" mamba2 falcon-h1 nemotron_h nemotron_h_moe granitehybrid ", ".ssm.group_count", 1, 65536,
     "the inner size is divided by it"},
};

void check_narrower(const GgufArchitecture& architecture) {
    for (const Narrower& rule : kNarrower) {
        const GgufEntry* entry =
            architecture.is_in(rule.architectures) ? architecture.find(rule.key) : nullptr;
        for (uint64_t i = 0; entry != nullptr && i < entry->n; i++) {
            if (entry->number(i) < rule.low || entry->number(i) > rule.high) {
                architecture.fail(rule.key, "has " + shown(entry->number(i)) + "; for " +
                                                std::string(architecture.name()) + " it must be from " +
                                                shown(rule.low) + " to " + shown(rule.high) + ", because " +
                                                rule.cause);
            }
        }
    }
}

void check_layer_arrays(const GgufArchitecture& architecture) {
    const uint32_t n_layers = architecture.n_layers();
    for (const char* key : {".feed_forward_length", ".attention.head_count", ".attention.head_count_kv",
                            ".expert_used_count"}) {
        const GgufEntry* entry = architecture.find(key);
        if (entry != nullptr && entry->is_array && entry->n != n_layers) {
            architecture.fail(key, "has " + std::to_string(entry->n) + " values, but there are " +
                                       std::to_string(n_layers) + " layers");
        }
    }
    for (const char* key : {".nextn_predict_layers", ".n_deepstack_layers"}) {
        if (architecture.one(key).value_or(0) > n_layers) {
            architecture.fail(key, "is above the number of layers, " + std::to_string(n_layers));
        }
    }
}

void check_experts(const GgufArchitecture& architecture) {
    const double n = architecture.one(".expert_count").value_or(0);
    const bool is_forgotten = n <= 1 && architecture.is_in(" hunyuan-dense hunyuan_vl ");
    if (is_forgotten) {
        return; // llama.cpp sets all of it to 0
    }
    const GgufEntry* all_used = architecture.find(".expert_used_count");
    double most = 0;
    for (uint32_t layer = 0; layer < architecture.n_layers(); layer++) {
        most = std::max(most, gguf_layer_number(all_used, layer).value_or(0));
    }
    if (most > n || (n > 0 && most < 1)) {
        architecture.fail(".expert_used_count",
                          "is " + shown(most) + " at most; of " + shown(n) + " experts, " +
                              (n > 0 ? "at least 1 and no more" : "none") + " can be used");
    }
    if (architecture.is_in(kExpertsOnly) && (n < 1 || gguf_layer_number(all_used, 0).value_or(0) < 1)) {
        architecture.fail(".expert_count", "and expert_used_count must be at least 1");
    }
    const double groups = architecture.one(".expert_group_count").value_or(0);
    const double used = architecture.one(".expert_group_used_count").value_or(0);
    if (groups > 0 && groups >= n) {
        architecture.fail(".expert_group_count",
                          "is " + shown(groups) + "; it must be below the number of experts, " + shown(n));
    }
    if (groups > 1 && (std::fmod(n, groups) != 0 || used < 1 || used >= groups)) {
        architecture.fail(".expert_group_count", "is " + shown(groups) + "; it must divide the " + shown(n) +
                                                     " experts, and expert_group_used_count, which is " +
                                                     shown(used) + ", be at least 1 and below it");
    }
    const double per_group = architecture.one(".experts_per_group").value_or(0);
    if (architecture.is("grovemoe") && per_group > n) {
        architecture.fail(".experts_per_group", "is above the number of experts, " + shown(n));
    }
}

void check_states(const GgufArchitecture& architecture) {
    const auto inner = architecture.one(".ssm.inner_size");
    const auto width = architecture.one(".embedding_length");
    const auto groups = architecture.one(".ssm.group_count");
    if (inner && architecture.is_in(" mamba2 falcon-h1 nemotron_h nemotron_h_moe granitehybrid plamo2 ")) {
        const auto heads = architecture.one(".ssm.time_step_rank");
        if ((heads && std::fmod(*inner, *heads) != 0) ||
            (groups && *groups >= 1 && std::fmod(*inner, *groups) != 0)) {
            architecture.fail(".ssm.inner_size",
                              "is " + shown(*inner) +
                                  "; ssm.time_step_rank and ssm.group_count must divide it");
        }
    }
    if (inner && width && architecture.is_in(" jamba granitehybrid ") && *inner != 2 * *width) {
        architecture.fail(".ssm.inner_size", "is " + shown(*inner) + "; for " +
                                                 std::string(architecture.name()) +
                                                 " it must be twice the width, " + shown(*width));
    }
    const auto head = architecture.one(".wkv.head_size");
    if (head && width && architecture.is_in(" rwkv6 rwkv6qwen2 rwkv7 arwkv7 ") &&
        std::fmod(*width, *head) != 0) {
        architecture.fail(".wkv.head_size",
                          "is " + shown(*head) + ", which does not divide the width, " + shown(*width));
    }
}

// Layers at the end that use keys of layers before them: the last of each kind that has its own.
void check_shared_layers(const GgufArchitecture& architecture) {
    const double shared = architecture.one(".attention.shared_kv_layers").value_or(0);
    const double own = architecture.n_layers() - shared;
    if (shared < 1 || !architecture.is_in(" gemma4 gemma4-assistant ")) {
        return;
    }
    const GgufEntry* windows = architecture.find(".attention.sliding_window_pattern");
    const bool is_known = windows != nullptr && windows->is_array && own <= static_cast<double>(windows->n);
    if (own < 2 || !is_known || windows->number(static_cast<uint64_t>(own) - 1) != 0 ||
        windows->number(static_cast<uint64_t>(own) - 2) == 0) {
        architecture.fail(".attention.shared_kv_layers",
                          "is " + shown(shared) +
                              "; before those layers there must be one with a window and then one "
                              "without");
    }
}

// Vectors are copied out of a graph with the width that the file says.
void check_output_width(const Gguf& file, const GgufArchitecture& architecture) {
    const double out = architecture.one(".embedding_length_out").value_or(0);
    const auto width = architecture.one(".embedding_length");
    const bool has_layer = file.find_tensor("dense_2.weight") != nullptr; // its shape is checked
    if (out != 0 && width && out != *width && !has_layer &&
        !architecture.is_in(" deepseek4 gemma4-assistant qwen4exp wavtokenizer-dec ")) {
        architecture.fail(".embedding_length_out",
                          "is " + shown(out) + ", but nothing makes vectors of that width");
    }
}

// Tensors that llama.cpp takes for optional and then uses.
void check_needed_tensors(const Gguf& file, const GgufArchitecture& architecture) {
    struct Needed {
        const char* architectures;
        const char* tensor;
    };
    constexpr Needed kNeeded[] = {
        {" t5 t5encoder ", "enc.blk.0.attn_rel_b.weight"},
        {" t5 ", "dec.blk.0.attn_rel_b.weight"},
    };
    for (const Needed& rule : kNeeded) {
        // A file without any tensor is a vocabulary, or the first of several.
        if (!file.tensors().empty() && gguf_files(file) == 1 && architecture.is_in(rule.architectures) &&
            file.find_tensor(rule.tensor) == nullptr) {
            file.fail(std::string("tensor ") + rule.tensor, "is missing");
        }
    }
}

// Tensors whose number of rows says which of two ways is computed; llama.cpp asserts that it is one of them.
void check_two_widths(const Gguf& file, const GgufArchitecture& architecture) {
    const bool is_gate = architecture.is("laguna");
    const std::string_view end = is_gate ? ".attn_gate.weight" : ".ffn_up.weight";
    if (!is_gate && !architecture.is("jina-bert-v2")) {
        return;
    }
    for (const GgufTensor& tensor : file.tensors()) {
        if (tensor.name.size() < end.size() || tensor.name.substr(tensor.name.size() - end.size()) != end) {
            continue;
        }
        unsigned layer = 0;
        std::sscanf(std::string(tensor.name).c_str(), "blk.%u.", &layer);
        const char* key = is_gate ? ".attention.head_count" : ".feed_forward_length";
        const double narrow = gguf_layer_number(architecture.find(key), layer).value_or(0);
        const double wide = narrow * (is_gate ? architecture.one(".attention.key_length").value_or(0) : 2);
        const auto rows = static_cast<double>(tensor.dimensions[1]);
        if (rows != narrow && rows != wide) {
            file.fail("tensor " + std::string(tensor.name),
                      "has " + shown(rows) + " rows; it must be " + shown(narrow) + " or " + shown(wide));
        }
    }
}

void check_other(const GgufArchitecture& architecture) {
    if (architecture.is_in(" deepseek2 deepseek2-ocr ") &&
        architecture.one(".attention.temperature_scale").value_or(0) != 0 &&
        architecture.one(".attention.temperature_length").value_or(0) < 1) {
        architecture.fail(".attention.temperature_length",
                          "must be at least 1, because the scale depends on it");
    }
    const double top = architecture.one(".attention.indexer.top_k").value_or(0);
    const double pool = architecture.one(".attention.indexer.kpool").value_or(1);
    if (architecture.is("glm5-next") && std::fmod(top, std::max(pool, 1.0)) != 0) {
        architecture.fail(".attention.indexer.top_k",
                          "is " + shown(top) + ", which indexer.kpool, " + shown(pool) + ", does not divide");
    }
    if (architecture.is("hrm_text")) {
        const double n_slots = architecture.one(".hrm.layers_per_stack").value_or(0) *
                               architecture.one(".hrm.h_cycles").value_or(0) *
                               (architecture.one(".hrm.l_cycles").value_or(0) + 1);
        if (n_slots != architecture.n_layers()) {
            architecture.fail(".block_count", "is " + std::to_string(architecture.n_layers()) +
                                                  "; the stacks and cycles make it " + shown(n_slots));
        }
    }
    const auto width = architecture.one(".embedding_length");
    for (const char* key : {".dense_2_feat_in", ".dense_3_feat_out"}) {
        const double n = architecture.one(key).value_or(0);
        if (n != 0 && width && n != *width) {
            architecture.fail(key, "is " + shown(n) + "; it must be the width, " + shown(*width));
        }
    }
}

} // namespace

bool GgufArchitecture::is_in(std::string_view names) const {
    return names.find(in_list_) != std::string_view::npos;
}

std::optional<double> GgufArchitecture::one(std::string_view suffix) const {
    const GgufEntry* entry = find(suffix);
    if (entry == nullptr || entry->is_array || !entry->is_number()) {
        return std::nullopt;
    }
    return entry->number();
}

std::optional<double> gguf_layer_number(const GgufEntry* entry, uint64_t layer) noexcept {
    if (entry == nullptr || !entry->is_number() || (entry->is_array && layer >= entry->n)) {
        return std::nullopt;
    }
    return entry->number(entry->is_array ? layer : 0);
}

uint32_t GgufArchitecture::n_layers() const {
    return static_cast<uint32_t>(one(".block_count").value_or(0));
}

void check_gguf_relations(const Gguf& file) {
    const GgufArchitecture architecture(file);
    // A vocabulary without a model says nothing of layers; llama.cpp asks for what it lacks.
    if (architecture.n_layers() == 0) {
        return;
    }
    check_narrower(architecture);
    check_layer_arrays(architecture);
    check_gguf_heads(architecture);
    check_experts(architecture);
    check_states(architecture);
    check_shared_layers(architecture);
    check_output_width(file, architecture);
    check_needed_tensors(file, architecture);
    check_two_widths(file, architecture);
    check_other(architecture);
}

} // namespace inllama
