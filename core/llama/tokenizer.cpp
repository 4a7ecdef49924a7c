#include "core/llama/tokenizer.h"

#include "core/error.h"
#include "core/llama/choice.h"
#include "core/llama/native_text.h"
#include "core/platform/stack.h"
#include "core/vocab.h"

#include <llama.h>

#include <limits>

namespace inllama {

namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;

const Choices<enum llama_vocab_type> kVocabTypes = {
    {"none", LLAMA_VOCAB_TYPE_NONE},     {"spm", LLAMA_VOCAB_TYPE_SPM},   {"bpe", LLAMA_VOCAB_TYPE_BPE},
    {"wpm", LLAMA_VOCAB_TYPE_WPM},       {"ugm", LLAMA_VOCAB_TYPE_UGM},   {"rwkv", LLAMA_VOCAB_TYPE_RWKV},
    {"plamo2", LLAMA_VOCAB_TYPE_PLAMO2}, {"test", LLAMA_VOCAB_TYPE_TEST},
};

// llama.cpp's search for spelled-out tokens is quadratic in their number: 43,000 took 4 s.
constexpr size_t kMaxMatches = 65536;

size_t count_matches(std::string_view text, const std::vector<std::string>& spellings) {
    size_t n = 0;
    for (const std::string& spelling : spellings) {
        if (spelling.empty()) {
            continue;
        }
        for (size_t at = text.find(spelling); at != std::string_view::npos && n <= kMaxMatches;
             at = text.find(spelling, at + spelling.size())) {
            n++;
        }
    }
    return n;
}

std::optional<Token> if_any(Token token) {
    return token < 0 ? std::nullopt : std::optional<Token>(token);
}

} // namespace

Tokenizer::Tokenizer(std::shared_ptr<ModelHandle> model)
    : model_(std::move(model)), vocab_(model_->vocab()), n_tokens_(llama_vocab_n_tokens(vocab_)),
      runs_(regex_runs(*model_)) {
    if (llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_NONE) {
        throw Error(ErrorKind::UnsupportedError, "this model has no tokenizer; give it token ids");
    }
    const std::string kind = read_text([&](char* text, size_t size) {
        return llama_model_meta_val_str(model_->model, "tokenizer.ggml.model", text, size);
    });
    if (llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_BPE && model_->pre_tokenizer == "whitespace" &&
        kind != "whitespace") {
        // Two spaces in a text would be an assert.
        throw Error(ErrorKind::UnsupportedError,
                    "the model file splits text at white space, which its tokenizer '" + kind + "' cannot");
    }
    for (Token token = 0; token < n_tokens_; token++) {
        if (llama_vocab_is_eog(vocab_, token)) {
            end_tokens_.push_back(token);
        }
        const enum llama_token_attr attributes = llama_vocab_get_attr(vocab_, token);
        if ((attributes & LLAMA_TOKEN_ATTR_USER_DEFINED) != 0) {
            user_defined_.emplace_back(llama_vocab_get_text(vocab_, token));
        } else if ((attributes & LLAMA_TOKEN_ATTR_CONTROL) != 0) {
            control_.emplace_back(llama_vocab_get_text(vocab_, token));
        }
    }
}

std::vector<Token> Tokenizer::encode(std::string_view text, bool add_special, bool parse_special) const {
    if (text.size() > kMaxTextBytes) {
        throw Error(ErrorKind::InvalidRequestError,
                    "the text has " + std::to_string(text.size()) + " bytes but at most " +
                        std::to_string(kMaxTextBytes) + " can be tokenized at once; split it")
            .with("n_bytes", text.size())
            .with("limit", kMaxTextBytes);
    }
    if (add_special) {
        check_special_tokens();
    }
    check_matches(text, parse_special);
    if (runs_ == RegexRuns::none || text.size() <= kRunOnAnyStack) {
        return encode_here(text, add_special, parse_special);
    }
    const size_t n_run = longest_run(text, runs_);
    if (n_run > kLongestRun) {
        throw Error(ErrorKind::InvalidRequestError,
                    "the text has a run of " + std::to_string(n_run) +
                        " characters that this vocabulary's regular expression takes as one, and at most " +
                        std::to_string(kLongestRun) + " are possible; split it")
            .with("n_run", n_run)
            .with("limit", kLongestRun);
    }
    std::vector<Token> tokens;
    run_with_stack(stack_bytes_for_run(n_run),
                   [&] { tokens = encode_here(text, add_special, parse_special); });
    return tokens;
}

std::vector<Token> Tokenizer::encode_here(std::string_view text, bool add_special, bool parse_special) const {
    std::vector<Token> tokens(text.size() + 8);
    const auto tokenize = [&] {
        try {
            return llama_tokenize(vocab_, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                                  static_cast<int32_t>(tokens.size()), add_special, parse_special);
        } catch (const std::exception& error) {
            throw Error(ErrorKind::InvalidRequestError,
                        std::string("llama.cpp could not tokenize: ") + error.what());
        }
    };
    int32_t n = tokenize();
    if (n < 0 && n != std::numeric_limits<int32_t>::min()) {
        tokens.resize(static_cast<size_t>(-n));
        n = tokenize();
    }
    if (n < 0) {
        throw Error(ErrorKind::InvalidRequestError, "the text has more tokens than can be counted; split it");
    }
    tokens.resize(static_cast<size_t>(n));
    return tokens;
}

std::string Tokenizer::decode_bytes(const std::vector<Token>& tokens, bool special) const {
    const enum llama_vocab_type type = llama_vocab_type(vocab_);
    const bool has_markers =
        type == LLAMA_VOCAB_TYPE_SPM || type == LLAMA_VOCAB_TYPE_UGM || type == LLAMA_VOCAB_TYPE_WPM;
    if (!has_markers) {
        // llama.cpp would also drop spaces before punctuation, and the text would not be what was encoded.
        std::string text;
        for (const Token token : tokens) {
            append_piece(token, special, text);
        }
        return text;
    }
    for (const Token token : tokens) {
        check_token(token);
    }
    std::string text(tokens.size() * 4 + 16, '\0');
    const auto detokenize = [&] {
        return llama_detokenize(vocab_, tokens.data(), static_cast<int32_t>(tokens.size()), text.data(),
                                static_cast<int32_t>(text.size()), false, special);
    };
    int32_t n = detokenize();
    if (n < 0) {
        text.resize(static_cast<size_t>(-n));
        n = detokenize();
    }
    text.resize(static_cast<size_t>(std::max(n, 0)));
    return text;
}

std::string Tokenizer::piece(Token token, bool special) const {
    std::string bytes;
    append_piece(token, special, bytes);
    return bytes;
}

void Tokenizer::append_piece(Token token, bool special, std::string& to) const {
    check_token(token);
    const auto piece_to = [&](char* bytes, int32_t size) {
        try {
            return llama_token_to_piece(vocab_, token, bytes, size, 0, special);
        } catch (const std::exception& error) {
            throw Error(ErrorKind::InvalidRequestError, "the vocabulary's token " + std::to_string(token) +
                                                            " stands for no bytes: " + error.what())
                .with("token", token);
        }
    };
    char few[64];
    const int32_t n = piece_to(few, sizeof(few));
    if (n >= 0) {
        to.append(few, static_cast<size_t>(n));
        return;
    }
    const size_t before = to.size();
    to.resize(before + static_cast<size_t>(-n));
    piece_to(to.data() + before, -n);
}

void Tokenizer::check_token(Token token) const {
    inllama::check_token(token, n_tokens_);
}

void Tokenizer::check_matches(std::string_view text, bool parse_special) const {
    if (text.size() <= kMaxMatches) {
        return;
    }
    size_t n_matches = count_matches(text, user_defined_);
    if (parse_special) {
        n_matches += count_matches(text, control_);
    }
    if (n_matches > kMaxMatches) {
        throw Error(ErrorKind::InvalidRequestError,
                    "the text has more than " + std::to_string(kMaxMatches) +
                        " places where a token of the vocabulary is spelled out, which would take minutes; "
                        "split it")
            .with("limit", kMaxMatches);
    }
}

void Tokenizer::check_special_tokens() const {
    const bool is_wordpiece = llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_WPM;
    const bool lacks_start = (is_wordpiece || adds_bos()) && !bos();
    const bool lacks_end = is_wordpiece ? !sep() : adds_eos() && !eos();
    if (lacks_start || lacks_end) {
        throw Error(ErrorKind::UnsupportedError,
                    "this vocabulary asks for a special token that it does not have; "
                    "tokenize with add_special=False");
    }
}

std::string Tokenizer::type() const {
    return name_of(kVocabTypes, llama_vocab_type(vocab_));
}

std::optional<Token> Tokenizer::named_token(std::string_view text) const {
    if (text.substr(0, 2) == "<[") {
        const std::string digits(text.substr(2, text.size() - 4));
        const bool is_known = digits.size() < 10 && std::stol(digits) < n_tokens_;
        return is_known ? std::optional<Token>(static_cast<Token>(std::stol(digits))) : std::nullopt;
    }
    const std::vector<Token> tokens = encode(text, false, true);
    return tokens.size() == 1 ? std::optional<Token>(tokens.front()) : std::nullopt;
}

std::string Tokenizer::token_text(Token token) const {
    check_token(token);
    return llama_vocab_get_text(vocab_, token);
}

float Tokenizer::score(Token token) const {
    check_token(token);
    return llama_vocab_get_score(vocab_, token);
}

bool Tokenizer::is_end(Token token) const {
    check_token(token);
    return llama_vocab_is_eog(vocab_, token);
}

bool Tokenizer::is_control(Token token) const {
    check_token(token);
    return llama_vocab_is_control(vocab_, token);
}

bool Tokenizer::adds_bos() const {
    return llama_vocab_get_add_bos(vocab_);
}

bool Tokenizer::adds_eos() const {
    return llama_vocab_get_add_eos(vocab_);
}

std::optional<Token> Tokenizer::bos() const {
    return if_any(llama_vocab_bos(vocab_));
}

std::optional<Token> Tokenizer::eos() const {
    return if_any(llama_vocab_eos(vocab_));
}

std::optional<Token> Tokenizer::eot() const {
    return if_any(llama_vocab_eot(vocab_));
}

std::optional<Token> Tokenizer::sep() const {
    return if_any(llama_vocab_sep(vocab_));
}

std::optional<Token> Tokenizer::nl() const {
    return if_any(llama_vocab_nl(vocab_));
}

std::optional<Token> Tokenizer::pad() const {
    return if_any(llama_vocab_pad(vocab_));
}

std::optional<Token> Tokenizer::mask() const {
    return if_any(llama_vocab_mask(vocab_));
}

std::optional<Token> Tokenizer::fim_prefix() const {
    return if_any(llama_vocab_fim_pre(vocab_));
}

std::optional<Token> Tokenizer::fim_suffix() const {
    return if_any(llama_vocab_fim_suf(vocab_));
}

std::optional<Token> Tokenizer::fim_middle() const {
    return if_any(llama_vocab_fim_mid(vocab_));
}

std::optional<Token> Tokenizer::fim_pad() const {
    return if_any(llama_vocab_fim_pad(vocab_));
}

std::optional<Token> Tokenizer::fim_repository() const {
    return if_any(llama_vocab_fim_rep(vocab_));
}

std::optional<Token> Tokenizer::fim_separator() const {
    return if_any(llama_vocab_fim_sep(vocab_));
}

TokenDecoder::TokenDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool special)
    : tokenizer_(std::move(tokenizer)), special_(special) {}

std::string TokenDecoder::push(Token token) {
    bytes_.clear();
    tokenizer_->append_piece(token, special_, bytes_);
    return characters_.push(bytes_);
}

std::string TokenDecoder::flush() {
    return characters_.flush();
}

} // namespace inllama
