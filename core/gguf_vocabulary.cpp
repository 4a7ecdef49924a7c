#include "core/gguf_rules.h"

#include "core/platform/memory.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

namespace inllama {

namespace {

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

std::string shown_token(uint64_t i, std::string_view text) {
    return "token " + std::to_string(i) + " ('" + shown_name(text.substr(0, 40)) + "')";
}

// The tokens' texts as llama.cpp sees them, each of which must be there once.
//
// A table with open addresses, because this is the largest part of checking a file.
class TokenSet {
  public:
    TokenSet(const Gguf& file, const GgufEntry& tokens) : file_(file), bytes_(tokens.bytes) {
        static_assert(kGgufMaxHeaderBytes < UINT32_MAX);
        size_t n_slots = 16;
        while (n_slots < 2 * tokens.n) {
            n_slots *= 2;
        }
        reserve(slots_, n_slots);
        slots_.resize(n_slots);
        reserve(places_, tokens.n);
        reserve(hashes_, tokens.n);
    }

    // The next token.
    void add(std::string_view text) {
        places_.push_back(static_cast<uint32_t>(text.data() - bytes_.data()));
        Hashed hashed = hash(text);
        if (text.empty() || hashed.has_nul) {
            std::string given;
            hashed = hash(text_of(places_.size() - 1, given));
        }
        hashes_.push_back(hashed.hash);
    }

    // Throws if a text is there twice.
    void check() {
        for (size_t i = 0; i < hashes_.size(); i++) {
            if (i + kAhead < hashes_.size()) {
                fetch(hashes_[i + kAhead]);
            }
            insert(static_cast<uint32_t>(i));
        }
    }

  private:
    struct Hashed {
        uint32_t hash;
        bool has_nul;
    };
    // Most slots are in no cache until they are asked for.
    static constexpr size_t kAhead = 16;
    // Of texts that were not chosen for it, less than a hundred lie beside each other.
    static constexpr uint32_t kMostSteps = 256;
    // A slot is a token's number and one, and the rest of its hash; 0 if it is free.
    static constexpr uint32_t kNumber = kMaxTokens;
    static_assert((kNumber & (kNumber + 1)) == 0);

    static void reserve(std::vector<uint32_t>& numbers, size_t n) {
        numbers.reserve(n);
        populate(numbers.data(), n * sizeof(uint32_t));
    }

    // llama.cpp reads up to a NUL byte, and gives tokens without text one of their own.
    std::string_view text_of(size_t i, std::string& given) const {
        const std::string_view text = GgufTexts(bytes_.substr(places_[i] - sizeof(uint64_t))).next();
        if (text.empty() || text[0] == '\0') {
            return given = "[EMPTY_" + std::to_string(i) + "]";
        }
        return text.substr(0, text.find('\0'));
    }

    template<class T> static T word_at(const char* bytes) {
        T word;
        std::memcpy(&word, bytes, sizeof(word));
        return word;
    }

    // The last word overlaps the one before it.
    static Hashed hash(std::string_view text) {
        const char* bytes = text.data();
        const size_t n = text.size();
        uint64_t word = 0;
        uint64_t hash = n;
        bool has_nul = false;
        if (n >= 8) {
            for (size_t i = 0; i + 8 < n; i += 8) {
                word = word_at<uint64_t>(bytes + i);
                has_nul |= has_zero(word);
                hash = mixed(hash ^ word);
            }
            word = word_at<uint64_t>(bytes + n - 8);
        } else if (n >= 4) {
            word = word_at<uint32_t>(bytes) | uint64_t{word_at<uint32_t>(bytes + n - 4)} << 32;
        } else if (n > 0) {
            const auto byte = [&](size_t i) { return uint64_t{static_cast<unsigned char>(bytes[i])}; };
            word = byte(0) | byte(n / 2) << 8 | byte(n - 1) << 16 | 0x0101010101000000;
        }
        has_nul |= n > 0 && has_zero(word);
        // Once more, so that the last bytes reach all bits.
        return {static_cast<uint32_t>(mixed(mixed(hash ^ word))), has_nul};
    }

    static uint64_t mixed(uint64_t word) {
        word *= 0xFF51AFD7ED558CCD;
        return word ^ word >> 32;
    }
    static bool has_zero(uint64_t word) {
        return ((word - 0x0101010101010101) & ~word & 0x8080808080808080) != 0;
    }

    void fetch(uint32_t hash) const {
#if defined(__GNUC__)
        __builtin_prefetch(&slots_[hash & (slots_.size() - 1)], 1);
#else
        (void)hash;
#endif
    }

    void insert(uint32_t i) {
        const uint32_t hash = hashes_[i];
        for (uint32_t n_steps = 0;; n_steps++) {
            uint32_t& slot = slots_[(hash + n_steps) & (slots_.size() - 1)];
            if (slot == 0) {
                slot = (hash & ~kNumber) | (i + 1);
                return;
            }
            if (n_steps > kMostSteps || ((slot ^ hash) & ~kNumber) == 0) {
                check_against((slot & kNumber) - 1, i, n_steps);
            }
        }
    }

    void check_against(uint32_t other, uint32_t i, uint32_t n_steps) const {
        std::string given, other_given;
        const std::string_view text = text_of(i, given);
        const char* where = "entry tokenizer.ggml.tokens";
        if (n_steps > kMostSteps) {
            file_.fail(where, "has " + shown_token(i, text) + " and others that were made to have one hash");
        }
        if (text_of(other, other_given) == text) {
            file_.fail(where, "has the same text twice: " + shown_token(other, text) + " and token " +
                                  std::to_string(i));
        }
    }

    const Gguf& file_;
    const std::string_view bytes_;
    std::vector<uint32_t> places_; // of texts in the bytes
    std::vector<uint32_t> hashes_;
    std::vector<uint32_t> slots_;
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
        all.add(text);
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
    all.check();
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
