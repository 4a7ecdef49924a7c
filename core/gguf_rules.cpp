#include "core/gguf_rules.h"

namespace inllama {

namespace {

// Mapped weights are read in vectors of 32 bytes.
constexpr uint32_t kLeastAlignment = 32;

void check_alignment(const Gguf& file) {
    if (!file.tensors().empty() && file.alignment() < kLeastAlignment) {
        file.fail("entry general.alignment", "is " + std::to_string(file.alignment()) +
                                                 "; llama.cpp needs at least " +
                                                 std::to_string(kLeastAlignment));
    }
}

double number_of(const Gguf& file, const char* key) {
    const GgufEntry* entry = file.find(key);
    return entry == nullptr ? 0 : entry->number();
}

// The halves of a pair, such as blk.0.attn_q.weight.lora_a and .lora_b.
void check_pair(const Gguf& file, const GgufTensor& a) {
    constexpr size_t kEnd = sizeof(".lora_a") - 1;
    const std::string weight(a.name.substr(0, a.name.size() - kEnd));
    const GgufTensor* b = file.find_tensor(weight + ".lora_b");
    if (b == nullptr) {
        file.fail("tensor " + std::string(a.name), "has no other half, " + weight + ".lora_b");
    }
    // The embedding's first half is stored transposed.
    const int64_t rank = weight.find("token_embd") == 0 ? a.dimensions[0] : a.dimensions[1];
    if (rank != b->dimensions[0] || a.dimensions[2] != b->dimensions[2] || a.dimensions[3] != 1 ||
        b->dimensions[3] != 1) {
        file.fail("tensor " + std::string(a.name), "and " + std::string(b->name) + " have different ranks");
    }
}

} // namespace

uint32_t gguf_files(const Gguf& first) {
    const double n = number_of(first, "split.count");
    return n > 1 ? static_cast<uint32_t>(n) : 1;
}

void check_gguf_model(const Gguf& file) {
    check_gguf_entries(file);
    check_alignment(file);
    check_gguf_relations(file);
    check_gguf_vocabulary(file);
    check_gguf_tensors(file);
}

void check_gguf_part(const Gguf& file, uint32_t number) {
    check_gguf_entries(file);
    check_alignment(file);
    check_gguf_tensors(file);
    const GgufEntry* says = file.find("split.no");
    if (says == nullptr || says->number() != number) {
        file.fail("entry split.no", "must be " + std::to_string(number));
    }
}

void check_gguf_adapter(const Gguf& file) {
    check_gguf_entries(file);
    check_alignment(file);
    constexpr std::string_view kFirstHalf = ".lora_a";
    for (const GgufTensor& tensor : file.tensors()) {
        if (tensor.type->use != TensorType::Use::weights) {
            file.fail("tensor " + std::string(tensor.name),
                      std::string("is of type ") + tensor.type->name + "; it must be a type of weights");
        }
        if (tensor.name.size() > kFirstHalf.size() &&
            tensor.name.substr(tensor.name.size() - kFirstHalf.size()) == kFirstHalf) {
            check_pair(file, tensor);
        }
    }
}

} // namespace inllama
