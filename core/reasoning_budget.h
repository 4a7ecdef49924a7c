// A bound on the tokens that an output reasons for.
#pragma once

#include "core/row_sampler.h"
#include "core/types.h"
#include "core/utf8_stream.h"
#include "core/vocab.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace inllama {

// How reasoning is told from the answer, and how long it may be.
struct ReasoningLimit {
    int n_tokens = 0;              // between the tags
    std::string start;             // the tag that opens it
    std::vector<std::string> ends; // tags that close it, at least one
    std::vector<Token> closing;    // tokens of one of them and of the white space around it, which are chosen
                                   // when the budget is used up
    std::vector<Token> spelled;    // ascending; control tokens that tags are made of
    bool is_open = false;          // the prompt has the opening tag
};

// Lets another sampler choose, but closes reasoning that gets too long: the closing tag's tokens are then
// chosen one by one, whatever the logits say. It begins with the opening tag or with the output, happens
// once, and is never cut inside of a character. A model that was cut off would close it again: behind that a
// tag that is one token is not chosen any more. The other sampler sees every token.
class ReasoningBudget : public RowSampler {
  public:
    ReasoningBudget(std::unique_ptr<RowSampler> inner, std::shared_ptr<const Vocab> vocab,
                    ReasoningLimit limit);

    void accept_prompt(const std::vector<Token>& prompt) override { inner_->accept_prompt(prompt); }
    bool has_preparation() const override { return inner_->has_preparation(); }
    void prepare() override { inner_->prepare(); }
    Token choose(const float* logits, size_t n, bool may_end) override;
    bool is_done() const override { return inner_->is_done(); }

  private:
    enum class Phase { before, inside, closing, behind };

    int longest_end() const; // bytes
    bool has_begun_to_end() const;
    std::vector<Token> tags_of_one_token() const;
    Token choose_behind(const float* logits, size_t n, bool may_end);
    Token forced(size_t n, Token token);
    void note(Token token);

    std::unique_ptr<RowSampler> inner_;
    std::shared_ptr<const Vocab> vocab_;
    ReasoningLimit limit_;
    Phase phase_;
    Utf8Stream characters_;
    std::string seen_; // the end of the text, as far as a tag may begin there
    int n_inside_ = 0;
    size_t n_closed_ = 0;       // tokens of the closing tag that were chosen
    std::vector<Token> banned_; // once it was closed here
    std::vector<float> row_;
};

} // namespace inllama
