// A structure that is one of two: which one, the output decides.
#pragma once

#include "core/mask_source.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace inllama {

// Both are followed until a token or text fits only one of them. REQUIRES: they are of one vocabulary.
class EitherStructure : public Structure {
  public:
    EitherStructure(std::shared_ptr<const Structure> first, std::shared_ptr<const Structure> second)
        : first_(std::move(first)), second_(std::move(second)) {}

    std::unique_ptr<MaskSource> start() const override;
    int n_tokens() const override { return first_->n_tokens(); }
    size_t n_bytes() const override { return first_->n_bytes() + second_->n_bytes(); }

  private:
    std::shared_ptr<const Structure> first_;
    std::shared_ptr<const Structure> second_;
};

} // namespace inllama
