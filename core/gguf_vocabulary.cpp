#include "core/gguf_rules.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <map>
#include <string>

namespace inllama {

namespace {

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTokenTypes = "tokenizer.ggml.token_type";
constexpr const char* kMerges = "tokenizer.ggml.merges";

constexpr uint64_t kMaxTokens = (1 << 22) - 1;
constexpr size_t kMaxTokenBytes = 1 << 16;
constexpr int32_t kByteToken = 6; // LLAMA_TOKEN_TYPE_BYTE

bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

bool names_a_byte(std::string_view text) {
    return text.size() == 6 && text.substr(0, 3) == "<0x" && is_hex(text[3]) && is_hex(text[4]) &&
           text[5] == '>';
}

// Kinds of vocabularies (tokenizer.ggml.model).
bool has_no_texts(std::string_view model) {
    return model == "no_vocab" || model == "none";
}

bool has_no_byte_tokens(std::string_view model) {
    return model == "bert" || model == "rwkv";
}

// Those that call byte tokens by a number, such as <0x0A>.
bool has_named_bytes(std::string_view model) {
    return model == "llama" || model == "t5" || model == "plamo2" || model == "gemma4";
}

std::string shown_token(uint64_t i, std::string_view text) {
    return "token " + std::to_string(i) + " ('" + shown_name(text.substr(0, 40)) + "')";
}

// An array with a value for each token, or nullptr.
const GgufEntry* per_token(const Gguf& file, const char* key, uint64_t n_tokens) {
    const GgufEntry* entry = file.find(key);
    if (entry != nullptr && entry->n < n_tokens) {
        file.fail(std::string("entry ") + key, "has " + std::to_string(entry->n) + " values, but there are " +
                                                   std::to_string(n_tokens) + " tokens");
    }
    return entry;
}

void check_scores(const Gguf& file, uint64_t n_tokens) {
    const GgufEntry* scores = per_token(file, "tokenizer.ggml.scores", n_tokens);
    if (scores == nullptr || scores->type != GgufType::f32) {
        return;
    }
    for (uint64_t i = 0; i < scores->n; i++) {
        float score;
        std::memcpy(&score, scores->bytes.data() + i * sizeof(score), sizeof(score));
        // Tokens are put in order by them.
        if (std::isnan(score)) {
            file.fail("entry tokenizer.ggml.scores", "is not a number at place " + std::to_string(i));
        }
    }
}

// The first byte of a token of RWKV, which writes bytes as \xHH; nullopt if it has none.
std::optional<uint8_t> first_byte(std::string_view text) {
    if (text.empty()) {
        return std::nullopt;
    }
    if (text[0] != '\\') {
        return static_cast<uint8_t>(text[0]);
    }
    if (text.size() < 2) {
        return std::nullopt;
    }
    switch (text[1]) {
    case 't':
        return '\t';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 'x':
        if (text.size() >= 4 && is_hex(text[2]) && is_hex(text[3])) {
            return static_cast<uint8_t>(std::stoi(std::string(text.substr(2, 2)), nullptr, 16));
        }
        return std::nullopt;
    default:
        return static_cast<uint8_t>(text[1]);
    }
}

// llama.cpp looks for the longest token and goes on behind it: for ever, if it knows the beginning of one and
// none that ends.
void check_rwkv(const Gguf& file, const GgufEntry& tokens) {
    std::array<bool, 256> begins{}, is_token{};
    GgufTexts texts = tokens.texts();
    for (uint64_t i = 0; i < tokens.n; i++) {
        const std::string_view text = texts.next();
        const auto byte = first_byte(text);
        if (!byte) {
            continue;
        }
        begins[*byte] = true;
        const size_t n_written = text[0] != '\\' ? 1 : text[1] == 'x' ? 4 : 2;
        is_token[*byte] = is_token[*byte] || text.size() == n_written;
    }
    for (size_t byte = 0; byte < begins.size(); byte++) {
        if (!is_token[byte] && (begins[byte] || byte == '\n')) {
            file.fail("entry tokenizer.ggml.tokens", "has no token for the byte " + std::to_string(byte) +
                                                         " alone, without which texts cannot be split");
        }
    }
}

void check_charsmap(const Gguf& file) {
    const GgufEntry* map = file.find("tokenizer.ggml.precompiled_charsmap");
    if (map == nullptr || map->n == 0) {
        return;
    }
    const std::string where = "entry tokenizer.ggml.precompiled_charsmap";
    uint32_t n_trie = 0;
    if (map->n < sizeof(n_trie)) {
        file.fail(where, "has " + std::to_string(map->n) + " bytes, too few for its length");
    }
    std::memcpy(&n_trie, map->bytes.data(), sizeof(n_trie));
    if (n_trie % sizeof(uint32_t) != 0 || uint64_t{n_trie} + sizeof(n_trie) >= map->n) {
        file.fail(where, "says that " + std::to_string(n_trie) + " bytes are a trie, but it has " +
                             std::to_string(map->n));
    }
    // The replacements behind it are read up to their NUL.
    if (map->bytes.back() != '\0') {
        file.fail(where, "does not end with a NUL byte");
    }
}

void check_byte_tokens(const Gguf& file, std::string_view model, const GgufEntry& tokens) {
    const GgufEntry* types = per_token(file, kTokenTypes, tokens.n);
    const bool has_none = has_no_byte_tokens(model);
    if (types == nullptr || (!has_none && !has_named_bytes(model))) {
        return;
    }
    GgufTexts texts = tokens.texts();
    for (uint64_t i = 0; i < tokens.n; i++) {
        const std::string_view text = texts.next();
        int32_t type;
        std::memcpy(&type, types->bytes.data() + i * sizeof(type), sizeof(type));
        if (type == kByteToken && (has_none || !names_a_byte(text))) {
            file.fail("entry tokenizer.ggml.token_type",
                      "calls " + shown_token(i, text) + " a byte; " +
                          (has_none ? "this tokenizer has none" : "its text must be like <0x0A>"));
        }
    }
}

} // namespace

bool gguf_rules_want(const Gguf& file, std::string_view key) {
    if (key != kTokens && key != kTokenTypes) {
        return key != kMerges;
    }
    // It stands among the first: looking at all of them would be slow if the array is there again and again,
    // which is refused later.
    constexpr size_t kFirst = 256;
    const auto begin = file.entries().begin();
    const auto end = begin + static_cast<std::ptrdiff_t>(std::min(file.entries().size(), kFirst));
    const auto model = std::find_if(begin, end, [](const GgufEntry& entry) { return entry.key == kModel; });
    return model == end || !model->is_text() || has_no_byte_tokens(model->text()) ||
           has_named_bytes(model->text());
}

void check_gguf_token_texts(const Gguf& file) {
    const GgufEntry* tokens = file.find(kTokens);
    const GgufEntry* model = file.find(kModel);
    if (tokens == nullptr || !tokens->is_array || tokens->type != GgufType::text || model == nullptr ||
        !model->is_text() || has_no_texts(model->text())) {
        return;
    }
    // In order: the texts may be such that their hashes are the same.
    std::map<std::string, uint64_t> seen;
    GgufTexts texts = tokens->texts();
    for (uint64_t i = 0; i < tokens->n; i++) {
        // llama.cpp reads up to a NUL byte, and gives tokens without text one of their own.
        std::string text(texts.next());
        text.resize(std::min(text.find('\0'), text.size()));
        const auto [other, is_new] =
            seen.emplace(text.empty() ? "[EMPTY_" + std::to_string(i) + "]" : text, i);
        if (!is_new) {
            file.fail("entry tokenizer.ggml.tokens",
                      "has the same text twice: " + shown_token(other->second, other->first) + " and token " +
                          std::to_string(i));
        }
    }
}

void check_gguf_vocabulary(const Gguf& file) {
    const GgufEntry* model = file.find(kModel);
    const GgufEntry* tokens = file.find(kTokens);
    if (model == nullptr) {
        return;
    }
    const GgufArchitecture architecture(file);
    if (has_no_texts(model->text())) {
        // Without texts their number is believed, and room made for them.
        const GgufTensor* table = file.find_tensor("token_embd.weight");
        const double n = architecture.one(".vocab_size").value_or(0);
        const double limit = table != nullptr ? static_cast<double>(table->dimensions[1]) : 1 << 20;
        if (n > limit) {
            architecture.fail(".vocab_size", "is " + std::to_string(static_cast<int64_t>(n)) +
                                                 ", but the table of embeddings has " +
                                                 std::to_string(static_cast<int64_t>(limit)) + " rows");
        }
        return;
    }
    if (tokens == nullptr) {
        return;
    }
    if (tokens->n < 1 || tokens->n > kMaxTokens) {
        file.fail("entry tokenizer.ggml.tokens", "has " + std::to_string(tokens->n) + " tokens; 1 to " +
                                                     std::to_string(kMaxTokens) + " are possible");
    }
    if (tokens->n_longest > kMaxTokenBytes) {
        file.fail("entry tokenizer.ggml.tokens", "has a text of " + std::to_string(tokens->n_longest) +
                                                     " bytes, but at most " + std::to_string(kMaxTokenBytes) +
                                                     " are possible");
    }
    check_byte_tokens(file, model->text(), *tokens);
    check_scores(file, tokens->n);
    if (model->text() == "rwkv") {
        check_rwkv(file, *tokens);
    }
    if (model->text() == "t5") {
        check_charsmap(file);
    }
}

} // namespace inllama
