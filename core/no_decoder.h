// The decoder of a model that generates no text.
#pragma once

#include "core/decoder.h"

#include <vector>

namespace inllama {

// The engine refuses every prompt by its traits, so nothing of it is called but what has no effect.
class NoDecoder : public Decoder {
  public:
    // `n_positions` are those of the longest text.
    explicit NoDecoder(int n_positions) {
        traits_.generates = false;
        traits_.memory = MemoryKind::whole;
        traits_.n_positions = n_positions;
    }

    const DecoderTraits& traits() const override { return traits_; }
    void use(const std::shared_ptr<const AdapterSet>&) override {}
    DecodeStatus decode(const std::vector<StepRow>&) override { return DecodeStatus::failed; }
    DecodeStatus encode(const std::vector<Token>&) override { return DecodeStatus::failed; }
    const float* logits(int) override { return nullptr; }
    void copy(SequenceId, SequenceId, Position) override {}
    bool remove(SequenceId, Position) override { return true; }
    void clear() override {}
    std::vector<uint8_t> save(SequenceId, Position) override { return {}; }
    bool load(SequenceId, const std::vector<uint8_t>&, Position) override { return false; }
    Position pos_min(SequenceId) override { return -1; }
    Position pos_max(SequenceId) override { return -1; }

  private:
    DecoderTraits traits_;
};

} // namespace inllama
