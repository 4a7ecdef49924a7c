// Text to tokens and back, with a model's own vocabulary.
#pragma once

#include "core/llama/model.h"
#include "core/llama/regex_stack.h"
#include "core/types.h"
#include "core/utf8_stream.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace inllama {

// The vocabulary of a model. Immutable; any thread. Keeps the model's handle alive.
class Tokenizer {
  public:
    // Throws UnsupportedError if the model has no vocabulary.
    explicit Tokenizer(std::shared_ptr<ModelHandle> model);

    // The tokens of `text`, which is valid UTF-8 and may contain NUL.
    //
    // `add_special` adds the beginning and end tokens that the model asks for; `parse_special` turns the
    // spelling of a control token into that token, which lets a text forge the structure of a prompt. Throws
    // InvalidRequestError for a text of more than 1 GiB, or with a run so long that the vocabulary's regular
    // expression would overflow its stack (fields n_run, limit).
    std::vector<Token> encode(std::string_view text, bool add_special, bool parse_special) const;

    // The bytes of `tokens`; not always valid UTF-8. Without `special`, control tokens give nothing.
    // Throws InvalidRequestError for an id outside the vocabulary.
    std::string decode_bytes(const std::vector<Token>& tokens, bool special) const;

    // The bytes that one token stands for; of any length.
    std::string piece(Token token, bool special) const;
    // Appends the bytes of `token` to `to`.
    void append_piece(Token token, bool special, std::string& to) const;

    // The token that a grammar names: "<[17]>" by its id, any other text by its spelling.
    std::optional<Token> named_token(std::string_view text) const;

    int n_tokens() const { return n_tokens_; }
    std::string type() const;
    // The token's spelling in the vocabulary, in the notation of its type.
    std::string token_text(Token token) const;
    float score(Token token) const;
    bool is_end(Token token) const; // ends a generation
    bool is_control(Token token) const;
    bool adds_bos() const;
    bool adds_eos() const;

    std::optional<Token> bos() const;
    std::optional<Token> eos() const;
    std::optional<Token> eot() const;
    std::optional<Token> sep() const;
    std::optional<Token> nl() const;
    std::optional<Token> pad() const;
    std::optional<Token> mask() const;
    std::optional<Token> fim_prefix() const;
    std::optional<Token> fim_suffix() const;
    std::optional<Token> fim_middle() const;
    std::optional<Token> fim_pad() const;
    std::optional<Token> fim_repository() const;
    std::optional<Token> fim_separator() const;
    // Every token that ends a generation, ascending.
    const std::vector<Token>& end_tokens() const { return end_tokens_; }

    const std::shared_ptr<ModelHandle>& model() const { return model_; }
    // Throws InvalidRequestError unless `token` is in the vocabulary.
    void check_token(Token token) const;

  private:
    // llama.cpp aborts when it must add a token that the vocabulary does not have.
    void check_special_tokens() const;
    // Refuses a text in which llama.cpp would search for minutes.
    void check_matches(std::string_view text, bool parse_special) const;
    std::vector<Token> encode_here(std::string_view text, bool add_special, bool parse_special) const;

    std::shared_ptr<ModelHandle> model_;
    const llama_vocab* vocab_;
    int n_tokens_;
    RegexRuns runs_; // what its regular expression can match at once
    std::vector<Token> end_tokens_;
    std::vector<std::string> user_defined_; // spellings that are always parsed
    std::vector<std::string> control_;      // and those that parse_special adds
};

// Turns tokens into text one at a time and never gives half a UTF-8 character. One thread at a time.
class TokenDecoder {
  public:
    TokenDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool special);

    // The complete characters that `token` adds; often empty in the middle of a character.
    std::string push(Token token);
    // What is left at the end: U+FFFD if the last character is incomplete, else nothing.
    std::string flush();

  private:
    std::shared_ptr<const Tokenizer> tokenizer_;
    bool special_;
    Utf8Stream characters_;
    std::string bytes_;
};

} // namespace inllama
