// Text that a template rendered, as tokens: special tokens only where the template wrote them.
#pragma once

#include "core/hidden_text.h"
#include "core/llama/tokenizer.h"
#include "core/lru_cache.h"
#include "core/special_text.h"
#include "core/types.h"

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace inllama {

// A vocabulary's special tokens. Immutable; any thread.
//
// Special are control and unknown tokens, and those that a model's authors defined ("user defined": gemma's
// <|tool_call>), which llama.cpp always takes for tokens. Of the latter, white space and single characters
// are ordinary text.
class ChatTokens {
  public:
    explicit ChatTokens(std::shared_ptr<const Tokenizer> tokenizer);

    // The spellings to be hidden from a template.
    const SpecialText& special() const { return special_; }

    // The tokens of `text`; with the beginning token that the model asks for, and with its end token if the
    // text `is_complete`, neither of them twice.
    //
    // What its spans cover does not become special tokens. A span that is only the end of a string is cut off
    // from its neighbours just where they spell out a token together, so text without a spelling gives the
    // tokens of all of it at once.
    std::vector<Token> encode(const HiddenText::Restored& text, bool is_complete) const;

    // The token that `text` is, if it is exactly one.
    std::optional<Token> single(std::string_view text) const;

    const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }

  private:
    void append_marked(std::string_view text, std::vector<Token>& to) const;
    // Bytes of `text` up to the end of a token at which it can be cut: both parts give the tokens of all of
    // it.
    size_t piece_bytes(std::string_view text) const;
    std::vector<Token> encode_piece(const std::vector<Token>& before, std::string_view text) const;
    void append_plain(std::string_view text, std::vector<Token>& to) const;
    void append_without_special(std::string_view text, std::vector<Token>& to) const;
    std::vector<Token> encode_after(const std::vector<Token>& before, std::string_view text,
                                    bool parse_special) const;
    bool starts_text(const std::vector<Token>& before) const;
    bool ends_fragment(Token token) const;

    std::shared_ptr<const Tokenizer> tokenizer_;
    std::vector<bool> is_special_;
    SpecialText special_;
    SpecialText user_defined_;
    SpecialText cuts_; // control tokens that change nothing of what follows
    bool adds_space_;  // before text that follows a special token
    // A conversation comes again with each of its turns: tokens of pieces that start a text.
    mutable LruCache<std::shared_ptr<const std::vector<Token>>> pieces_;
};

} // namespace inllama
