#include "core/llama/rank_prompt.h"

#include "core/error.h"
#include "core/hidden_text.h"

#include <llama.h>

#include <array>
#include <string_view>
#include <utility>

namespace inllama {

namespace {

constexpr std::string_view kQuery = "{query}";
constexpr std::string_view kDocument = "{document}";

} // namespace

RankPrompt::RankPrompt(std::shared_ptr<const Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {
    const char* text = llama_model_chat_template(tokenizer_->model()->model, "rerank");
    if (text == nullptr) {
        return;
    }
    template_ = text;
    const bool is_whole = template_->find(kQuery) != std::string::npos &&
                          template_->find(kDocument) != std::string::npos &&
                          !has_private_characters(*template_);
    if (!is_whole) {
        throw Error(ErrorKind::UnsupportedError,
                    "the model file's template 'rerank' does not have {query} and {document}");
    }
    tokens_ = std::make_unique<ChatTokens>(tokenizer_);
}

std::vector<Token> RankPrompt::encode(const std::string& query, const std::string& document) const {
    return template_ ? encode_template(query, document) : encode_pair(query, document);
}

std::vector<Token> RankPrompt::encode_template(const std::string& query, const std::string& document) const {
    HiddenText hidden(tokens_->special());
    const std::array<std::pair<std::string_view, std::string>, 2> parts = {
        {{kQuery, hidden.hide(query)}, {kDocument, hidden.hide(document)}}};
    std::string text;
    std::string_view rest = *template_;
    while (!rest.empty()) {
        size_t at = rest.size();
        const std::pair<std::string_view, std::string>* next = nullptr;
        for (const auto& part : parts) {
            if (const size_t found = rest.find(part.first); found < at) {
                at = found;
                next = &part;
            }
        }
        text += rest.substr(0, at);
        rest.remove_prefix(at);
        if (next != nullptr) {
            text += next->second;
            rest.remove_prefix(next->first.size());
        }
    }
    return tokens_->encode(hidden.restore(text), false);
}

// BERT: [CLS] query [SEP] document [SEP]; XLM-RoBERTa: <s> query </s></s> document </s>. llama.cpp's server
// leaves BERT's last separator out, with which the models were trained.
std::vector<Token> RankPrompt::encode_pair(const std::string& query, const std::string& document) const {
    const llama_vocab* vocab = tokenizer_->model()->vocab();
    std::vector<Token> tokens;
    const auto add = [&](bool is_wanted, std::optional<Token> token) {
        if (is_wanted && (!token || *token < 0 || *token >= tokenizer_->n_tokens())) {
            throw Error(ErrorKind::UnsupportedError,
                        "this model scores no pairs: its vocabulary lacks a token to mark them with");
        }
        if (is_wanted) {
            tokens.push_back(*token);
        }
    };
    const auto add_text = [&](const std::string& text) {
        const std::vector<Token> made = tokenizer_->encode(text, false, false);
        tokens.insert(tokens.end(), made.begin(), made.end());
    };
    const bool is_wordpiece = llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_WPM;
    const bool adds_sep = llama_vocab_get_add_sep(vocab) || is_wordpiece;
    const bool adds_eos = tokenizer_->adds_eos() && !is_wordpiece;
    const std::optional<Token> eos = tokenizer_->eos() ? tokenizer_->eos() : tokenizer_->sep();
    add(tokenizer_->adds_bos() || is_wordpiece, tokenizer_->bos());
    add_text(query);
    add(adds_eos, eos);
    add(adds_sep, tokenizer_->sep());
    add_text(document);
    add(adds_eos, eos);
    add(is_wordpiece, tokenizer_->sep());
    return tokens;
}

} // namespace inllama
