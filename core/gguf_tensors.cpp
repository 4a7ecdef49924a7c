#include "core/gguf_rules.h"

#include <algorithm>
#include <map>

namespace inllama {

namespace {

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

// Parts of the names of tensors that are added or multiplied element by element, or go through a convolution
// or a state: operations that take f32 alone beside activations in f32. Source: LLM_TENSOR_INFOS in
// llama-arch.cpp.
constexpr const char* kVectors[] = {
    "_norm",          ".enorm",          ".hnorm",           "rope_freqs",          "rope_factors",
    "attn_sinks",     "ssm_conv1d",      "shortconv.conv",   "exp_probs_b",         "hrm.z_l_init",
    "_res_score",     "hc_attn_base",    "hc_ffn_base",      "hc_attn_scale",       "hc_ffn_scale",
    "output_hc_base", "output_hc_scale", "time_mix_first",   "time_mix_decay.",     "time_mix_lerp",
    "time_mix_w0",    "time_mix_a0",     "time_mix_v0",      "time_mix_k_k",        "time_mix_k_a",
    "time_mix_r_k",   "time_mix_ln",     "channel_mix_lerp", "altup_correct_scale", "layer_output_scale",
    "token_types",    "ffn.act",
};

// Tables of ids.
constexpr const char* kNumbers[] = {"d2t", "ffn_gate_tid2eid", "masked_embd_ordering"};

bool is_vector(std::string_view name, std::string_view architecture) {
    // Others take rows of it.
    if (architecture == "glm5-next" && has(name, "indexer_compressor_ape")) {
        return true;
    }
    // ssm_alpha and ssm_dt are matrices.
    for (const char* end : {".bias", ".scale", ".input_scale", ".ssm_a", ".ssm_d"}) {
        if (ends_with(name, end)) {
            return true;
        }
    }
    return std::any_of(std::begin(kVectors), std::end(kVectors),
                       [&](const char* part) { return has(name, part); });
}

bool is_numbers(std::string_view name) {
    return std::any_of(std::begin(kNumbers), std::end(kNumbers),
                       [&](const char* part) { return has(name, part); });
}

// The name without the number of its layer: ".attn_q.weight" of "blk.3.attn_q.weight".
std::string_view without_layer(std::string_view name) {
    constexpr std::string_view kLayer = "blk.";
    const size_t dot = name.find_first_not_of("0123456789", kLayer.size());
    const bool has_layer = name.substr(0, kLayer.size()) == kLayer && dot != std::string_view::npos &&
                           dot > kLayer.size() && name[dot] == '.';
    return has_layer ? name.substr(dot) : name;
}

// Answers is_vector(); once for all layers, which have tensors of the same names.
class VectorNames {
  public:
    explicit VectorNames(std::string_view architecture) : architecture_(architecture) {}

    bool has(std::string_view name) {
        const auto [known, is_new] = known_.emplace(without_layer(name), false);
        if (is_new) {
            known->second = is_vector(known->first, architecture_);
        }
        return known->second;
    }

  private:
    const std::string_view architecture_;
    // In order: the names may be such that their hashes are the same.
    std::map<std::string_view, bool> known_;
};

void check_type(const Gguf& file, const GgufTensor& tensor, VectorNames& vectors) {
    const uint32_t id = tensor.type->id;
    const char* wanted = nullptr;
    if (is_numbers(tensor.name) && (id == kTensorI32 || id == kTensorI64)) {
        return;
    }
    if (tensor.type->use != TensorType::Use::weights) {
        wanted = "a type of weights";
    } else if (id != kTensorF32 && vectors.has(tensor.name)) {
        wanted = "f32, as what is added or multiplied element by element";
    }
    if (wanted != nullptr) {
        file.fail("tensor " + std::string(tensor.name),
                  std::string("is of type ") + tensor.type->name + "; it must be " + wanted);
    }
}

// llama.cpp asserts that such weights, which have a scale of their own, have no bias.
void check_nvfp4(const Gguf& file, const GgufTensor& tensor) {
    const std::string_view end = ".weight";
    if (tensor.type->id != kTensorNvfp4 || !ends_with(tensor.name, end)) {
        return;
    }
    const std::string name(tensor.name.substr(0, tensor.name.size() - end.size()));
    if (file.find_tensor(name + ".scale") != nullptr && file.find_tensor(name + ".bias") != nullptr) {
        file.fail("tensor " + std::string(tensor.name), "is of type nvfp4 and has both a scale and a bias");
    }
}

} // namespace

void check_gguf_tensors(const Gguf& file) {
    VectorNames vectors(file.architecture());
    for (const GgufTensor& tensor : file.tensors()) {
        check_type(file, tensor, vectors);
        check_nvfp4(file, tensor);
    }
}

} // namespace inllama
