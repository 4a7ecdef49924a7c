// A query and a document as the tokens of which a model scores them.
#pragma once

#include "core/llama/chat_tokens.h"
#include "core/llama/tokenizer.h"
#include "core/types.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace inllama {

// By the model file's template "rerank", whose {query} and {document} become no special tokens, whatever they
// spell; else both with the vocabulary's separators between them. Immutable; any thread.
class RankPrompt {
  public:
    // Throws UnsupportedError for a template without either place.
    explicit RankPrompt(std::shared_ptr<const Tokenizer> tokenizer);

    std::vector<Token> encode(const std::string& query, const std::string& document) const;

  private:
    std::vector<Token> encode_template(const std::string& query, const std::string& document) const;
    std::vector<Token> encode_pair(const std::string& query, const std::string& document) const;

    std::shared_ptr<const Tokenizer> tokenizer_;
    std::optional<std::string> template_;
    std::unique_ptr<ChatTokens> tokens_; // with a template
};

} // namespace inllama
