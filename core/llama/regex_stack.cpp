#include "core/llama/regex_stack.h"

#include "core/llama/model.h"
#include "core/llama/native_text.h"

#include <llama.h>

#include <algorithm>
#include <set>
#include <string>

namespace inllama {

namespace {

// libstdc++'s matcher was measured at about 320 bytes a character (GCC 12, -O3, x86-64).
constexpr size_t kStackBytesPerCharacter = 1024;

// From llm_tokenizer_bpe in llama-vocab.cpp and unicode_regex_split_custom in unicode.cpp, at the pinned
// commit.
const std::set<std::string> kWithoutRepetition = {
    "gpt-2",     "llama3", "llama-v3",  "llama-bpe",   "falcon3",   "falcon-h1", "pixtral", "midm-2.0",
    "lfm2",      "dbrx",   "smaug-bpe", "chatglm-bpe", "glm4",      "mpt",       "olmo",    "jais",
    "trillion",  "qwen2",  "qwen35",    "stablelm2",   "hunyuan",   "grok-2",    "kimi-k2", "gemma4",
    "starcoder", "refact", "command-r", "smollm",      "codeshell", "exaone",
};
const std::set<std::string> kOverKinds = {"poro-chat", "bloom", "gpt3-finnish", "viking", "whitespace"};

struct Kinds {
    bool is_letter;
    bool is_digit;
    bool is_space;
    bool is_other;
};

Kinds kinds_of(unsigned char byte) {
    if (byte >= 0x80) {
        return {true, true, true, true};
    }
    const bool is_letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
    const bool is_digit = byte >= '0' && byte <= '9';
    const bool is_space = byte == ' ' || (byte >= '\t' && byte <= '\r');
    return {is_letter, is_digit, is_space, !is_letter && !is_digit && !is_space};
}

} // namespace

RegexRuns regex_runs(const ModelHandle& model) {
    if (llama_vocab_type(model.vocab()) != LLAMA_VOCAB_TYPE_BPE) {
        return RegexRuns::none;
    }
    const std::string kind = read_text([&](char* text, size_t size) {
        return llama_model_meta_val_str(model.model, "tokenizer.ggml.model", text, size);
    });
    if (kind == "gemma4") {
        return RegexRuns::none;
    }
    const std::string& pre = model.pre_tokenizer;
    if (kWithoutRepetition.count(pre) > 0) {
        return RegexRuns::none;
    }
    if (pre == "exaone-moe") {
        return RegexRuns::any;
    }
    return kOverKinds.count(pre) > 0 ? RegexRuns::non_space : RegexRuns::like;
}

size_t longest_run(std::string_view text, RegexRuns runs) {
    size_t letters = 0;
    size_t digits = 0;
    size_t spaces = 0;
    size_t others = 0;
    size_t words = 0;
    size_t all = 0;
    size_t longest = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte & 0xC0) == 0x80) {
            continue; // inside a character
        }
        const Kinds kinds = kinds_of(byte);
        letters = kinds.is_letter ? letters + 1 : 0;
        digits = kinds.is_digit ? digits + 1 : 0;
        spaces = kinds.is_space ? spaces + 1 : 0;
        others = kinds.is_other ? others + 1 : 0;
        words = kinds.is_space && byte < 0x80 ? 0 : words + 1;
        all++;
        longest = std::max({longest, letters, digits, spaces, others});
        if (runs == RegexRuns::non_space) {
            longest = std::max(longest, words);
        }
    }
    return runs == RegexRuns::any ? all : longest;
}

size_t stack_bytes_for_run(size_t n_run) {
    return (size_t{1} << 20) + n_run * kStackBytesPerCharacter;
}

} // namespace inllama
