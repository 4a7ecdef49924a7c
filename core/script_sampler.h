// A sampler that was told what to choose.
#pragma once

#include "core/error.h"
#include "core/row_sampler.h"
#include "core/types.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace inllama {

// What a fake model writes.
struct Script {
    std::string text;                  // a token per byte; then the token that ends an output
    std::optional<size_t> fails_after; // so many tokens
    bool has_end = true;               // otherwise spaces follow the text, without end
};

// Chooses the tokens of a script. Where it must not end yet, it chooses spaces.
class ScriptSampler : public RowSampler {
  public:
    // With `obeys_logits` another token whose logit is larger than that of the script's takes its place.
    ScriptSampler(std::shared_ptr<const Script> script, Token end, bool obeys_logits)
        : script_(std::move(script)), end_(end), obeys_logits_(obeys_logits) {}

    void accept_prompt(const std::vector<Token>&) override {}

    // Throws EngineError where the script fails.
    Token choose(const float* logits, size_t n, bool may_end) override {
        if (script_->fails_after && n_chosen_ >= *script_->fails_after) {
            throw Error(ErrorKind::EngineError, "the script of the fake engine fails here");
        }
        const bool can_end = may_end && script_->has_end;
        const Token after = can_end ? end_ : kSpace;
        const Token next =
            n_chosen_ < script_->text.size() ? static_cast<unsigned char>(script_->text[n_chosen_]) : after;
        n_chosen_++;
        return obeys_logits_ ? largest(logits, n, next, can_end) : next;
    }

  private:
    static constexpr Token kSpace = ' ';

    // Of equal ones `next`, else the first from the space on: what can be read.
    Token largest(const float* logits, size_t n, Token next, bool can_end) const {
        Token best = next;
        for (size_t i = 0; i < n; i++) {
            const auto token = static_cast<Token>((i + kSpace) % n);
            if (logits[token] > logits[best] && (can_end || token != end_)) {
                best = token;
            }
        }
        return best;
    }

    std::shared_ptr<const Script> script_;
    Token end_;
    bool obeys_logits_;
    size_t n_chosen_ = 0;
};

} // namespace inllama
