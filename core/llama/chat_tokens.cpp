#include "core/llama/chat_tokens.h"

#include <llama.h>

#include <algorithm>
#include <array>

namespace inllama {

namespace {

constexpr int kFragmentAttributes =
    LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED | LLAMA_TOKEN_ATTR_UNKNOWN;

// Shorter pieces cost more to find than to tokenize.
constexpr size_t kLeastPieceBytes = 64;
constexpr size_t kMaxPiecesBytes = size_t{4} << 20;

size_t first_character_bytes(std::string_view text) {
    size_t n = 1;
    while (n < text.size() && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) {
        n++;
    }
    return n;
}

bool is_single_character(std::string_view text) {
    return first_character_bytes(text) == text.size();
}

// Whether `token` is one that text of messages must not become.
bool counts_as_special(const llama_vocab* vocab, Token token) {
    const int attributes = llama_vocab_get_attr(vocab, token);
    const std::string_view text = llama_vocab_get_text(vocab, token);
    if (text.empty()) {
        return false;
    }
    if ((attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0) {
        return true;
    }
    return (attributes & LLAMA_TOKEN_ATTR_USER_DEFINED) != 0 && !is_single_character(text) &&
           !is_white_space(text);
}

std::vector<bool> special_tokens(const Tokenizer& tokenizer) {
    const llama_vocab* vocab = tokenizer.model()->vocab();
    std::vector<bool> is_special(static_cast<size_t>(tokenizer.n_tokens()));
    for (Token token = 0; token < tokenizer.n_tokens(); token++) {
        is_special[static_cast<size_t>(token)] = counts_as_special(vocab, token);
    }
    return is_special;
}

SpecialText spellings(const Tokenizer& tokenizer, const std::vector<bool>& is_special, int attributes) {
    const llama_vocab* vocab = tokenizer.model()->vocab();
    std::vector<std::string> texts;
    for (Token token = 0; token < tokenizer.n_tokens(); token++) {
        if (is_special[static_cast<size_t>(token)] &&
            (llama_vocab_get_attr(vocab, token) & attributes) != 0) {
            texts.emplace_back(llama_vocab_get_text(vocab, token));
        }
    }
    return SpecialText(std::move(texts));
}

// White space behind other tokens belongs to them.
SpecialText cut_spellings(const Tokenizer& tokenizer) {
    const llama_vocab* vocab = tokenizer.model()->vocab();
    std::vector<std::string> texts;
    for (Token token = 0; token < tokenizer.n_tokens(); token++) {
        const int attributes = llama_vocab_get_attr(vocab, token);
        if ((attributes & LLAMA_TOKEN_ATTR_CONTROL) != 0 && (attributes & LLAMA_TOKEN_ATTR_RSTRIP) == 0) {
            texts.emplace_back(llama_vocab_get_text(vocab, token));
        }
    }
    return SpecialText(std::move(texts));
}

bool starts_with(const std::vector<Token>& tokens, const std::vector<Token>& prefix) {
    return tokens.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), tokens.begin());
}

} // namespace

ChatTokens::ChatTokens(std::shared_ptr<const Tokenizer> tokenizer)
    : tokenizer_(std::move(tokenizer)), is_special_(special_tokens(*tokenizer_)),
      special_(spellings(*tokenizer_, is_special_, kFragmentAttributes)),
      user_defined_(spellings(*tokenizer_, is_special_, LLAMA_TOKEN_ATTR_USER_DEFINED)),
      cuts_(cut_spellings(*tokenizer_)), pieces_(kMaxPiecesBytes) {
    std::string bytes;
    for (const Token token : tokenizer_->encode("a", false, false)) {
        tokenizer_->append_piece(token, true, bytes);
    }
    adds_space_ = !bytes.empty() && bytes[0] == ' ';
}

std::vector<Token> ChatTokens::encode(const HiddenText::Restored& text, bool is_complete) const {
    std::vector<Token> tokens;
    const std::optional<Token> bos = tokenizer_->adds_bos() ? tokenizer_->bos() : std::nullopt;
    if (bos) {
        tokens.push_back(*bos);
    }
    const std::string_view all = text.text;
    size_t at = 0;
    for (const HiddenText::Span& span : text.spans) {
        if (!span.is_spelling && !special_.overlaps(all, span.begin, span.end)) {
            continue;
        }
        append_marked(all.substr(at, span.begin - at), tokens);
        append_plain(all.substr(span.begin, span.end - span.begin), tokens);
        at = span.end;
    }
    append_marked(all.substr(at), tokens);
    if (bos && tokens.size() > 1 && tokens[1] == *bos) {
        tokens.erase(tokens.begin());
    }
    const std::optional<Token> eos = tokenizer_->eos();
    if (is_complete && tokenizer_->adds_eos() && eos && (tokens.empty() || tokens.back() != *eos)) {
        tokens.push_back(*eos);
    }
    return tokens;
}

std::optional<Token> ChatTokens::single(std::string_view text) const {
    const std::vector<Token> tokens = tokenizer_->encode(text, false, true);
    return tokens.size() == 1 ? std::optional<Token>(tokens[0]) : std::nullopt;
}

void ChatTokens::append_marked(std::string_view text, std::vector<Token>& to) const {
    while (!text.empty()) {
        size_t n = piece_bytes(text);
        std::vector<Token> tokens = encode_piece(to, text.substr(0, n));
        if (n < text.size() && (tokens.empty() || !ends_fragment(tokens.back()))) {
            n = text.size();
            tokens = encode_piece(to, text);
        }
        to.insert(to.end(), tokens.begin(), tokens.end());
        text.remove_prefix(n);
    }
}

size_t ChatTokens::piece_bytes(std::string_view text) const {
    auto found = cuts_.find(text, kLeastPieceBytes);
    while (found && special_.crosses(text, found->end)) {
        found = cuts_.find(text, found->end);
    }
    return found ? found->end : text.size();
}

std::vector<Token> ChatTokens::encode_piece(const std::vector<Token>& before, std::string_view text) const {
    if (!starts_text(before)) {
        return encode_after(before, text, true);
    }
    const std::string key(text);
    if (const auto known = pieces_.find(key)) {
        return **known;
    }
    auto tokens = std::make_shared<const std::vector<Token>>(tokenizer_->encode(text, false, true));
    pieces_.insert(key, tokens, key.size() + tokens->size() * sizeof(Token) + 200);
    return *tokens;
}

// Without parse_special llama.cpp still looks for user-defined tokens: each is cut after its first character.
void ChatTokens::append_plain(std::string_view text, std::vector<Token>& to) const {
    while (!text.empty()) {
        const auto found = user_defined_.find(text, 0);
        const size_t n =
            found ? found->begin + first_character_bytes(text.substr(found->begin)) : text.size();
        append_without_special(text.substr(0, n), to);
        text.remove_prefix(n);
    }
}

// Pieces can be put together to a special token too, in vocabularies whose merges do not ask what a token is
// for.
void ChatTokens::append_without_special(std::string_view text, std::vector<Token>& to) const {
    const std::vector<Token> tokens = encode_after(to, text, false);
    const bool has_special = std::any_of(
        tokens.begin(), tokens.end(), [&](Token token) { return is_special_[static_cast<size_t>(token)]; });
    if (!has_special || is_single_character(text)) {
        to.insert(to.end(), tokens.begin(), tokens.end());
        return;
    }
    const size_t n = first_character_bytes(text);
    append_without_special(text.substr(0, n), to);
    append_without_special(text.substr(n), to);
}

// llama.cpp puts a space before text at the beginning and after a special token only; alone, every piece
// would be at the beginning. So it gets something before it that its tokens do not mix with.
std::vector<Token> ChatTokens::encode_after(const std::vector<Token>& before, std::string_view text,
                                            bool parse_special) const {
    if (starts_text(before)) {
        return tokenizer_->encode(text, false, parse_special);
    }
    constexpr std::array<std::string_view, 4> kGuards = {"\n", "a", ".", "\x01"};
    for (const std::string_view guard : kGuards) {
        const std::vector<Token> alone = tokenizer_->encode(guard, false, parse_special);
        std::string guarded(guard);
        guarded += text;
        std::vector<Token> tokens = tokenizer_->encode(guarded, false, parse_special);
        if (!alone.empty() && !ends_fragment(alone.back()) && starts_with(tokens, alone)) {
            tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(alone.size()));
            return tokens;
        }
    }
    return tokenizer_->encode(text, false, parse_special);
}

// Whether what follows is tokenized as at the beginning of a text.
bool ChatTokens::starts_text(const std::vector<Token>& before) const {
    return !adds_space_ || before.empty() || ends_fragment(before.back());
}

bool ChatTokens::ends_fragment(Token token) const {
    return (llama_vocab_get_attr(tokenizer_->model()->vocab(), token) & kFragmentAttributes) != 0;
}

} // namespace inllama
