// An embedder without a model, which answers at once and fails on command.
#pragma once

#include "core/embedder.h"
#include "core/fake_decoder.h"

#include <functional>
#include <utility>
#include <vector>

namespace inllama {

// A text's vector is the mean of those of its tokens, which differ from token to token: what has tokens in
// common is alike. What a real embedder would answer with an abort is counted.
class FakeEmbedder : public Embedder {
  public:
    explicit FakeEmbedder(EmbedderTraits traits) : traits_(traits) {}

    // Asked before each step; `step` counts from 0.
    std::function<FakeOutcome(int step, const std::vector<TokenRun>& texts)> script;

    const EmbedderTraits& traits() const override { return traits_; }
    DecodeStatus embed(const std::vector<TokenRun>& texts) override;
    const float* vector(int i) override;

    // Value `j` of a token's vector, in [-1, 1].
    static float value_of(Token token, int j);
    int n_steps() const { return n_steps_; }
    int n_violations() const { return n_violations_; }

  private:
    EmbedderTraits traits_;
    std::vector<std::vector<float>> vectors_;
    int n_steps_ = 0;
    int n_violations_ = 0;
};

} // namespace inllama
