#include "core/either_structure.h"

namespace inllama {

namespace {

class EitherMaskSource : public MaskSource {
  public:
    EitherMaskSource(std::unique_ptr<MaskSource> first, std::unique_ptr<MaskSource> second, size_t n_words)
        : first_(std::move(first)), second_(std::move(second)), scratch_(n_words) {}

    bool fill(uint32_t* mask) override {
        if (!follows_second()) {
            return first_->fill(mask);
        }
        if (!follows_first()) {
            return second_->fill(mask);
        }
        if (!first_->fill(mask) || !second_->fill(scratch_.data())) {
            return false;
        }
        for (size_t i = 0; i < scratch_.size(); i++) {
            mask[i] |= scratch_[i];
        }
        return true;
    }
    bool accept(Token token) override {
        return step([&](MaskSource& source) { return source.accept(token); });
    }
    bool accept_bytes(std::string_view bytes) override {
        return step([&](MaskSource& source) { return source.accept_bytes(bytes); });
    }
    void rollback(int n) override {
        for (int i = 0; i < n; i++) {
            if (follows_first()) {
                first_->rollback(1);
            }
            if (follows_second()) {
                second_->rollback(1);
            }
            steps_.pop_back();
        }
    }
    bool can_end() const override {
        return (follows_first() && first_->can_end()) || (follows_second() && second_->can_end());
    }
    bool is_done() const override {
        return (follows_first() && first_->is_done()) || (follows_second() && second_->is_done());
    }

  private:
    static constexpr uint8_t kFirst = 1;
    static constexpr uint8_t kSecond = 2;

    uint8_t followed() const { return steps_.empty() ? kFirst | kSecond : steps_.back(); }
    bool follows_first() const { return (followed() & kFirst) != 0; }
    bool follows_second() const { return (followed() & kSecond) != 0; }

    template<class Accept> bool step(const Accept& accept) {
        const int first = follows_first() && accept(*first_) ? kFirst : 0;
        const int second = follows_second() && accept(*second_) ? kSecond : 0;
        const auto fits = static_cast<uint8_t>(first | second);
        if (fits != 0) {
            steps_.push_back(fits);
        }
        return fits != 0;
    }

    std::unique_ptr<MaskSource> first_;
    std::unique_ptr<MaskSource> second_;
    std::vector<uint8_t> steps_; // of each accepted step, which of them fitted
    std::vector<uint32_t> scratch_;
};

} // namespace

std::unique_ptr<MaskSource> EitherStructure::start() const {
    return std::make_unique<EitherMaskSource>(first_->start(), second_->start(), mask_words(n_tokens()));
}

} // namespace inllama
