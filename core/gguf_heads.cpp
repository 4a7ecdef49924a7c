#include "core/gguf_rules.h"

#include <algorithm>
#include <cmath>

namespace inllama {

namespace {

std::string shown(double number) {
    return std::to_string(static_cast<int64_t>(number));
}

// Lists of architectures. Source: src/models/ at the pinned commit.

// Those without attention: they say that there are no heads.
constexpr const char* kHeadless = " mamba mamba2 rwkv6 rwkv6qwen2 rwkv7 arwkv7 wavtokenizer-dec ";
// Those whose first layer may be without: others take the widths of all layers from its heads.
constexpr const char* kMayBeginHeadless =
    " bailingmoe3 glm5-next granitehybrid jamba kimi-k3 kimi-linear minimax-01 nemotron_h nemotron_h_moe "
    "plamo2 ";
// Those whose positions have several dimensions.
constexpr const char* kSections = " paddleocr qwen2vl qwen3tts qwen3vl qwen3vlmoe qwen35 qwen35moe qwen4exp ";
// Those whose graph asserts that keys and values are equally wide and all dimensions of a head are rotated.
constexpr const char* kWholeHeadRotated =
    " apertus arcee arctic baichuan bailingmoe chameleon codeshell cogvlm cohere2moe dbrx deci deepseek "
    "dots1 "
    "dream ernie4_5 ernie4_5-moe exaone exaone-moe exaone4 falcon granite granite_swa graniteswitch "
    "grok grovemoe hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 internlm2 jais2 llada llada-moe llama "
    "llama-embed llama4 maincoder mellum mistral3 olmo olmo2 olmoe orion paddleocr pangu-embedded "
    "plamo pockettts qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3tts qwen3vl qwen3vlmoe rnd1 seed_oss "
    "smallthinker smollm3 starcoder2 talkie xverse ";
// Those whose graph asserts the first of that alone.
constexpr const char* kEqualHeads =
    " afmoe bailingmoe2 bert bitnet bloom chatglm cohere2 command-r eagle3 eurobert "
    "glm4 glm4moe gpt2 gptneox granitehybrid jais laguna maple minimax-01 minimax-m2 minimax-m3 "
    "modern-bert mpt muse-glimmer nanbeige nemotron nemotron_h nemotron_h_moe neo-bert openelm phi2 "
    "phi3 qwen qwen35 qwen35moe qwen3next qwen4exp refact spark2_5 stablelm starcoder t5 ";
// Those whose queries are as wide as a layer, whatever the file says of heads; they are cut into heads
// unchecked.
constexpr const char* kQueriesOfLayerWidth = " arctic baichuan bert bitnet bloom chameleon codeshell cohere2 "
                                             "command-r dbrx deepseek dream eurobert falcon gpt2 "
                                             "gptneox grok internlm2 jais jamba jina-bert-v2 jina-bert-v3 "
                                             "lfm2 lfm2moe llada-moe mpt nemotron neo-bert nomic-bert "
                                             "nomic-bert-moe olmo olmo2 olmoe orion phi2 phi3 phimoe plamo "
                                             "qwen2 qwen2moe qwen2vl stablelm starcoder starcoder2 "
                                             "xverse ";

// Those with an indexer, whose keys are rotated like those of heads.
constexpr const char* kIndexed =
    " deepseek32 dots3note glm-dsa hy_v4 deepseek4 minimax-m3 qwen4exp glm5-next ";
// Those whose layers with a window may have heads of another width.
constexpr const char* kWindowedHeads = " gemma4 gemma4-assistant mimo2 spark2_5 step35 dots3note ";
// Those whose keys are what is compressed, and behind it what is rotated.
constexpr const char* kCompressedKeys = " deepseek2 deepseek32 dots3note glm-dsa hy_v4 mistral4 ";

void check_heads(const GgufArchitecture& architecture) {
    const uint32_t n_layers = architecture.n_layers();
    const GgufEntry* all_heads = architecture.find(".attention.head_count");
    const GgufEntry* all_kv_heads = architecture.find(".attention.head_count_kv");
    double most = 0;
    for (uint32_t layer = 0; layer < n_layers; layer++) {
        const double heads = gguf_layer_number(all_heads, layer).value_or(0);
        const double kv_heads = gguf_layer_number(all_kv_heads, layer).value_or(heads);
        most = std::max(most, heads);
        if (kv_heads > 0 && std::fmod(heads, kv_heads) != 0) {
            architecture.fail(".attention.head_count_kv",
                              "is " + shown(kv_heads) + " for layer " + std::to_string(layer) +
                                  ", which does not divide its " + shown(heads) + " heads");
        }
    }
    if (most < 1 && !architecture.is_in(kHeadless)) {
        architecture.fail(".attention.head_count", "must be at least 1");
    }
    if (most >= 1 && gguf_layer_number(all_heads, 0).value_or(0) < 1 && !architecture.is_in(kHeadless) &&
        !architecture.is_in(kMayBeginHeadless)) {
        architecture.fail(".attention.head_count",
                          "is 0 for the first layer, from whose heads llama.cpp takes the widths of all");
    }
    const auto width = architecture.one(".embedding_length");
    const auto heads = architecture.one(".attention.head_count");
    if (width && heads && *heads >= 1 && !architecture.find(".attention.key_length") &&
        std::fmod(*width, *heads) != 0) {
        architecture.fail(".attention.head_count",
                          "is " + shown(*heads) + ", which does not divide the width, " + shown(*width));
    }
}

// REQUIRES: the architecture is in kQueriesOfLayerWidth.
void check_query_width(const GgufArchitecture& architecture) {
    const auto width = architecture.one(".embedding_length");
    const GgufEntry* all_heads = architecture.find(".attention.head_count");
    for (const char* key : {".attention.key_length", ".attention.value_length"}) {
        const auto head = architecture.one(key);
        for (uint32_t layer = 0; width && head && layer < architecture.n_layers(); layer++) {
            const double heads = gguf_layer_number(all_heads, layer).value_or(0);
            if (heads > 0 && heads * *head != *width) {
                architecture.fail(key, "is " + shown(*head) + "; for " + std::string(architecture.name()) +
                                           " it must be " + "the width, " + shown(*width) +
                                           ", divided by the " + shown(heads) + " heads");
            }
        }
    }
}

// The width of a head of keys, as far as the file says.
std::optional<double> head_width(const GgufArchitecture& architecture) {
    const auto width = architecture.one(".embedding_length");
    const auto heads = gguf_layer_number(architecture.find(".attention.head_count"), 0);
    const auto key = architecture.one(".attention.key_length");
    if (!key && width && heads.value_or(0) >= 1) {
        return std::floor(*width / *heads);
    }
    return key;
}

// The dimensions that are rotated, of heads of this width.
void check_rotated(const GgufArchitecture& architecture, const char* key, std::optional<double> width) {
    const auto n = architecture.one(key);
    // Where keys are compressed, a part of its own may be rotated, or none.
    const double least = architecture.find(".attention.kv_lora_rank") != nullptr ? 0 : 2;
    if (n && width.value_or(1) > 0 && (*n < least || std::fmod(*n, 2) != 0 || *n > width.value_or(*n))) {
        architecture.fail(key, "is " + shown(*n) + "; it must be even, at least " + shown(least) +
                                   ", and at most a head's width" + (width ? ", " + shown(*width) : ""));
    }
    const double indexer = architecture.one(".attention.indexer.key_length").value_or(0);
    if (n && indexer > 0 && *n > indexer && architecture.is_in(kIndexed)) {
        architecture.fail(key,
                          "is " + shown(*n) + "; it must be at most the indexer's width, " + shown(indexer));
    }
}

void check_rope(const GgufArchitecture& architecture) {
    const auto width = head_width(architecture);
    const auto width_swa = architecture.one(".attention.key_length_swa");
    check_rotated(architecture, ".rope.dimension_count", width);
    check_rotated(architecture, ".rope.dimension_count_swa", width_swa ? width_swa : width);
    if (const GgufEntry* type = architecture.find(".rope.scaling.type")) {
        const std::string problem = gguf_text_problem(architecture.key(".rope.scaling.type"), type->text());
        if (!problem.empty()) {
            architecture.fail(".rope.scaling.type", "is '" + shown_name(type->text()) + "'; it " + problem);
        }
    }
    const GgufEntry* sections = architecture.find(".rope.dimension_sections");
    double sum = 0;
    for (uint64_t i = 0; sections != nullptr && i < sections->n; i++) {
        sum += sections->number(i);
    }
    // Each dimension belongs to one of them, modulo their sum.
    if (sum < 1 && architecture.is_in(kSections)) {
        architecture.fail(".rope.dimension_sections", "must be there, and not all 0");
    }
    if (width && *width > 0 && sum > *width) {
        architecture.fail(".rope.dimension_sections",
                          "are " + shown(sum) + " together; a head has " + shown(*width) + " dimensions");
    }
}

// What a graph asserts of the heads of its first layer.
void check_equal_heads(const GgufArchitecture& architecture) {
    const auto width = architecture.one(".embedding_length");
    const auto heads = gguf_layer_number(architecture.find(".attention.head_count"), 0);
    if (!width || heads.value_or(0) < 1) {
        return;
    }
    const double usual = std::floor(*width / *heads);
    const double key = architecture.one(".attention.key_length").value_or(usual);
    const double value = architecture.one(".attention.value_length").value_or(usual);
    const auto must_be = [&](const char* name, double is, const char* what, double other) {
        if (is != other) {
            architecture.fail(name, "is " + shown(is) + "; for " + std::string(architecture.name()) +
                                        " it must be " + what + ", " + shown(other));
        }
    };
    if (!architecture.is_in(kWindowedHeads)) {
        const double key_swa = architecture.one(".attention.key_length_swa").value_or(key);
        const double value_swa = architecture.one(".attention.value_length_swa").value_or(value);
        must_be(".attention.key_length_swa", key_swa, "that of other layers", key);
        must_be(".attention.value_length_swa", value_swa, "that of other layers", value);
    }
    const double rotated = architecture.one(".rope.dimension_count").value_or(key);
    if (architecture.is_in(kWholeHeadRotated) || architecture.is_in(kEqualHeads)) {
        must_be(".attention.key_length", key, "that of values", value);
    }
    if (architecture.is_in(kWholeHeadRotated)) {
        must_be(".rope.dimension_count", rotated, "all of a head", key);
    }
    const double mla = architecture.one(".attention.key_length_mla").value_or(0);
    if (architecture.is_in(kCompressedKeys) && mla > 0) {
        const double compressed = architecture.one(".attention.kv_lora_rank").value_or(0);
        const double compressed_swa = architecture.one(".attention.kv_lora_rank_swa").value_or(compressed);
        const double rotated_swa = architecture.one(".rope.dimension_count_swa").value_or(rotated);
        const char* what = "what is compressed and what is rotated together";
        must_be(".attention.key_length", key, what, compressed + rotated);
        if (architecture.is("dots3note")) {
            const double key_swa = architecture.one(".attention.key_length_swa").value_or(key);
            must_be(".attention.key_length_swa", key_swa, what, compressed_swa + rotated_swa);
        }
        if (mla <= rotated) {
            architecture.fail(".attention.key_length_mla", "is " + shown(mla) +
                                                               "; it must be above the rotated dimensions, " +
                                                               shown(rotated));
        }
    }
}

} // namespace

void check_gguf_heads(const GgufArchitecture& architecture) {
    check_heads(architecture);
    check_rope(architecture);
    if (architecture.is_in(kQueriesOfLayerWidth)) {
        check_query_width(architecture);
    }
    check_equal_heads(architecture);
}

} // namespace inllama
