// A decoder that fails when somebody asks for it.
#pragma once

#include "core/decoder.h"
#include "core/fake_decoder.h"

#include <memory>
#include <utility>
#include <vector>

namespace inllama {

// Passes everything on to another decoder, but for the steps that shall fail. What a failure may do to memory
// happens: where it may have changed, it is empty afterwards.
class FaultyDecoder : public Decoder {
  public:
    FaultyDecoder(std::unique_ptr<Decoder> inner, std::shared_ptr<FakeFaults> faults)
        : inner_(std::move(inner)), faults_(std::move(faults)) {}

    const DecoderTraits& traits() const override { return inner_->traits(); }
    DecodeStatus decode(const std::vector<StepRow>& rows) override {
        const DecodeStatus status = faults_->take();
        if (status == DecodeStatus::failed || status == DecodeStatus::no_memory) {
            inner_->clear();
        }
        return status == DecodeStatus::ok ? inner_->decode(rows) : status;
    }
    void use(const std::shared_ptr<const AdapterSet>& adapters) override { inner_->use(adapters); }
    DecodeStatus encode(const std::vector<Token>& prompt) override { return inner_->encode(prompt); }
    const float* logits(int row) override { return inner_->logits(row); }
    void copy(SequenceId from, SequenceId to, Position n) override { inner_->copy(from, to, n); }
    bool remove(SequenceId sequence, Position begin) override { return inner_->remove(sequence, begin); }
    void clear() override { inner_->clear(); }
    std::vector<uint8_t> save(SequenceId sequence, Position n) override { return inner_->save(sequence, n); }
    bool load(SequenceId sequence, const std::vector<uint8_t>& state, Position n) override {
        return inner_->load(sequence, state, n);
    }
    Position pos_min(SequenceId sequence) override { return inner_->pos_min(sequence); }
    Position pos_max(SequenceId sequence) override { return inner_->pos_max(sequence); }

  private:
    std::unique_ptr<Decoder> inner_;
    std::shared_ptr<FakeFaults> faults_;
};

} // namespace inllama
