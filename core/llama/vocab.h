// The engine's vocabulary over a model's tokenizer.
#pragma once

#include "core/llama/tokenizer.h"
#include "core/vocab.h"

#include <algorithm>
#include <memory>
#include <string>

namespace inllama {

class LlamaVocab : public Vocab {
  public:
    explicit LlamaVocab(std::shared_ptr<const Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {}

    int size() const override { return tokenizer_->n_tokens(); }
    bool ends(Token token) const override {
        const std::vector<Token>& ends = tokenizer_->end_tokens();
        return std::binary_search(ends.begin(), ends.end(), token);
    }
    void append_bytes(Token token, std::string& to) const override {
        tokenizer_->append_piece(token, false, to);
    }
    void append_spelling(Token token, std::string& to) const override {
        tokenizer_->append_piece(token, true, to);
    }

  private:
    std::shared_ptr<const Tokenizer> tokenizer_;
};

} // namespace inllama
