// The engine's sampler over a chain of llama.cpp's samplers.
#pragma once

#include "core/llama/sampler.h"
#include "core/row_sampler.h"

#include <limits>
#include <memory>
#include <vector>

namespace inllama {

class LlamaRowSampler : public RowSampler {
  public:
    LlamaRowSampler(std::shared_ptr<const Tokenizer> tokenizer, const std::vector<SamplerStage>& stages)
        : tokenizer_(tokenizer), chain_(std::move(tokenizer), stages) {}

    void accept_prompt(const std::vector<Token>& prompt) override { chain_.accept_prompt(prompt); }

    Token choose(const float* logits, size_t n, bool may_end) override {
        if (may_end) {
            return chain_.sample(logits, n, true);
        }
        without_ends_.assign(logits, logits + n);
        for (const Token token : tokenizer_->end_tokens()) {
            without_ends_[static_cast<size_t>(token)] = -std::numeric_limits<float>::infinity();
        }
        return chain_.sample(without_ends_.data(), n, true);
    }

  private:
    std::shared_ptr<const Tokenizer> tokenizer_;
    Sampler chain_;
    std::vector<float> without_ends_;
};

} // namespace inllama
