// Chooses only what a structure allows.
#pragma once

#include "core/mask_source.h"
#include "core/row_sampler.h"
#include "core/structure_start.h"
#include "core/types.h"
#include "core/vocab.h"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

namespace inllama {

// Gives another sampler rows in which what the structure forbids has a logit of minus infinity. Tokens before
// the structure's start are not constrained.
class MaskedSampler : public RowSampler {
  public:
    // REQUIRES: the structure was made for that vocabulary. Throws as StructureTrigger does.
    MaskedSampler(std::unique_ptr<RowSampler> inner, const std::shared_ptr<const Structure>& structure,
                  std::shared_ptr<const Vocab> vocab, StructureStart start);

    void accept_prompt(const std::vector<Token>& prompt) override { inner_->accept_prompt(prompt); }

    bool has_preparation() const override { return !trigger_ && !is_prepared_; }
    // Computes the mask of the next choice.
    void prepare() override;
    // Throws GrammarError if the structure allows no token, or none that the other sampler allows.
    Token choose(const float* logits, size_t n, bool may_end) override;
    bool is_done() const override { return source_->is_done(); }

  private:
    enum class Scope { none, only_ends, some };

    Scope scope() const;
    const float* masked(const float* logits, size_t n);
    Token choose_allowed(const float* logits, size_t n, bool may_end);
    void begin(const StructureTrigger::Begun& begun);

    std::unique_ptr<RowSampler> inner_;
    std::unique_ptr<MaskSource> source_;
    std::shared_ptr<const Vocab> vocab_;
    std::optional<StructureTrigger> trigger_; // until the structure begins
    std::vector<uint32_t> mask_;
    bool is_prepared_ = false;
    bool has_mask_ = false;       // of what is prepared: some token is forbidden
    std::exception_ptr failure_;  // of preparing it
    std::vector<float> row_;      // what the other sampler is given
    std::vector<uint8_t> blanks_; // by word of the mask: its logits in `row_` are all minus infinity
};

} // namespace inllama
