#include "core/gguf_rules.h"

#include "core/checksum.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

namespace inllama {

namespace {

constexpr uint64_t kMaxTokens = 1 << 22;
constexpr size_t kMaxTokenBytes = 1 << 16;
constexpr int32_t kByteToken = 6; // LLAMA_TOKEN_TYPE_BYTE

bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

bool names_a_byte(std::string_view text) {
    return text.size() == 6 && text.substr(0, 3) == "<0x" && is_hex(text[3]) && is_hex(text[4]) &&
           text[5] == '>';
}

std::string shown_token(uint64_t i, std::string_view text) {
    return "token " + std::to_string(i) + " ('" + shown_name(text.substr(0, 40)) + "')";
}

// The tokens' texts as llama.cpp sees them, each of which must be there once.
//
// A table with open addresses into the file's bytes, because this is the largest part of checking a file.
class TokenSet {
  public:
    TokenSet(const Gguf& file, const GgufEntry& tokens) : file_(file), bytes_(tokens.bytes) {
        static_assert(kGgufMaxHeaderBytes < UINT32_MAX);
        size_t n_places = 16;
        while (n_places < 2 * tokens.n) {
            n_places *= 2;
        }
        places_.assign(n_places, kNone);
        mask_ = n_places - 1;
    }

    // The next token, with its number.
    void add(uint32_t i, std::string_view text) {
        const auto place = static_cast<uint32_t>(text.data() - bytes_.data());
        // llama.cpp reads up to a NUL byte, and gives tokens without text one of their own.
        text = text.substr(0, text.find('\0'));
        if (text.empty()) {
            settle();
            empty_.emplace_back(place, i);
            const std::string named = text_of_empty(i);
            insert({hash(named), i, place, named});
            return;
        }
        Token& last = ahead_[n_ahead_++ % kAhead];
        if (n_ahead_ > kAhead) {
            insert(last);
        }
        last = {hash(text), i, place, text};
        fetch(last.hash);
    }

    // Looks at what was added last.
    void settle() {
        for (size_t i = n_ahead_ > kAhead ? n_ahead_ - kAhead : 0; i < n_ahead_; i++) {
            insert(ahead_[i % kAhead]);
        }
        n_ahead_ = 0;
    }

  private:
    struct Token {
        size_t hash;
        uint32_t i, place;
        std::string_view text;
    };
    // Tokens that are kept back until the processor has their places of the table: most are in no cache.
    static constexpr size_t kAhead = 16;
    // Of texts that were not chosen for it, less than a hundred lie beside each other.
    static constexpr size_t kMostSteps = 1024;
    // No text begins at the first byte: its length is there.
    static constexpr uint32_t kNone = 0;

    static std::string text_of_empty(uint32_t i) { return "[EMPTY_" + std::to_string(i) + "]"; }
    // Of short texts the whole at once.
    static size_t hash(std::string_view text) {
        const size_t n = text.size();
        uint32_t first = 0, last = 0;
        if (n > 8) {
            return checksum(text.data(), n);
        }
        if (n >= 4) {
            std::memcpy(&first, text.data(), sizeof(first));
            std::memcpy(&last, text.data() + n - 4, sizeof(last));
        } else {
            for (const char c : text) {
                first = first << 8 | static_cast<unsigned char>(c);
            }
        }
        const uint64_t both = (uint64_t{last} << 32 | first) + n;
        const uint64_t mixed = (both ^ both >> 31) * 0xFF51AFD7ED558CCDULL;
        return static_cast<size_t>(mixed >> 29 ^ mixed);
    }

    void fetch(size_t hash) const {
#if defined(__GNUC__)
        __builtin_prefetch(&places_[hash & mask_], 1);
#else
        (void)hash;
#endif
    }

    bool is_at(uint32_t place, std::string_view text) const {
        uint64_t n;
        std::memcpy(&n, bytes_.data() + place - sizeof(n), sizeof(n));
        const std::string_view other = bytes_.substr(place, n);
        if (other.empty() || other[0] == '\0') {
            const auto found = std::lower_bound(empty_.begin(), empty_.end(), std::pair(place, uint32_t{0}));
            return text_of_empty(found->second) == text;
        }
        const bool is_same = other.size() >= text.size() && other.compare(0, text.size(), text) == 0;
        return is_same && (other.size() == text.size() || other[text.size()] == '\0');
    }

    void insert(const Token& token) {
        for (size_t slot = token.hash;; slot++) {
            uint32_t& other = places_[slot & mask_];
            if (other == kNone) {
                other = token.place;
                return;
            }
            if (slot - token.hash > kMostSteps) {
                file_.fail("entry tokenizer.ggml.tokens", "has " + shown_token(token.i, token.text) +
                                                              " and others that were made to have one hash");
            }
            if (is_at(other, token.text)) {
                file_.fail("entry tokenizer.ggml.tokens",
                           "has the same text twice: " + shown_token(number_at(other), token.text) +
                               " and token " + std::to_string(token.i));
            }
        }
    }

    uint64_t number_at(uint32_t place) const {
        GgufTexts texts(bytes_);
        uint64_t i = 0;
        while (texts.next().data() < bytes_.data() + place) {
            i++;
        }
        return i;
    }

    const Gguf& file_;
    const std::string_view bytes_;
    std::vector<uint32_t> places_;                     // of texts in the bytes, by their hash
    std::vector<std::pair<uint32_t, uint32_t>> empty_; // place and number of those without text
    std::array<Token, kAhead> ahead_;
    size_t n_ahead_ = 0;
    size_t mask_ = 0;
};

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

void check_merges(const Gguf& file) {
    const GgufEntry* merges = file.find("tokenizer.ggml.merges");
    if (merges == nullptr) {
        return;
    }
    GgufTexts texts = merges->texts();
    for (uint64_t i = 0; i < merges->n; i++) {
        const std::string_view text = texts.next();
        if (text.size() > kMaxTokenBytes || text.find(' ', 1) == std::string_view::npos) {
            file.fail("entry tokenizer.ggml.merges", "has '" + shown_name(text) + "' at place " +
                                                         std::to_string(i) +
                                                         "; a merge is two texts with a space between");
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

void check_tokens(const Gguf& file, std::string_view model, const GgufEntry& tokens) {
    const GgufEntry* types = per_token(file, "tokenizer.ggml.token_type", tokens.n);
    const bool has_bytes = model == "llama" || model == "t5" || model == "plamo2" || model == "gemma4";
    const bool has_no_bytes = model == "bert" || model == "rwkv";
    TokenSet all(file, tokens);
    GgufTexts texts = tokens.texts();
    for (uint64_t i = 0; i < tokens.n; i++) {
        const std::string_view text = texts.next();
        if (text.size() > kMaxTokenBytes) {
            file.fail("entry tokenizer.ggml.tokens",
                      "has " + shown_token(i, text) + " of " + std::to_string(text.size()) +
                          " bytes, but at most " + std::to_string(kMaxTokenBytes) + " are possible");
        }
        all.add(static_cast<uint32_t>(i), text);
        if (types == nullptr) {
            continue;
        }
        int32_t type;
        std::memcpy(&type, types->bytes.data() + i * sizeof(type), sizeof(type));
        if (type == kByteToken && (has_no_bytes || (has_bytes && !names_a_byte(text)))) {
            file.fail("entry tokenizer.ggml.token_type",
                      "calls " + shown_token(i, text) + " a byte; " +
                          (has_no_bytes ? "this tokenizer has none" : "its text must be like <0x0A>"));
        }
    }
    all.settle();
}

} // namespace

void check_gguf_vocabulary(const Gguf& file) {
    const GgufEntry* model = file.find("tokenizer.ggml.model");
    const GgufEntry* tokens = file.find("tokenizer.ggml.tokens");
    if (model == nullptr) {
        return;
    }
    const GgufArchitecture architecture(file);
    if (model->text() == "no_vocab" || model->text() == "none") {
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
    check_tokens(file, model->text(), *tokens);
    check_scores(file, tokens->n);
    check_merges(file);
    if (model->text() == "rwkv") {
        check_rwkv(file, *tokens);
    }
    if (model->text() == "t5") {
        check_charsmap(file);
    }
}

} // namespace inllama
