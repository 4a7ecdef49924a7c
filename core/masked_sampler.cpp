#include "core/masked_sampler.h"

#include "core/error.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace inllama {

namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();
constexpr size_t kWord = 32; // tokens of a word of the mask

Error dead_end() {
    return Error(ErrorKind::GrammarError,
                 "the structure allows no token here: the vocabulary cannot spell what would have to follow");
}

Error conflict(const Error& of) {
    return Error(ErrorKind::GrammarError,
                 "the structure and the other options exclude each other: none of the "
                 "tokens that it allows here is left; check logit_bias (" +
                     of.message() + ")");
}

} // namespace

MaskedSampler::MaskedSampler(std::unique_ptr<RowSampler> inner,
                             const std::shared_ptr<const Structure>& structure,
                             std::shared_ptr<const Vocab> vocab, StructureStart start)
    : inner_(std::move(inner)), source_(structure->start()), vocab_(std::move(vocab)),
      mask_(mask_words(structure->n_tokens())) {
    if (!start.prefix.empty() && !source_->accept_bytes(start.prefix)) {
        throw Error(ErrorKind::GrammarError, "the structure does not begin with the text '" + start.prefix +
                                                 "', with which the prompt ends")
            .with("text", start.prefix);
    }
    if (!start.is_immediate()) {
        trigger_.emplace(std::move(start), vocab_);
    }
}

void MaskedSampler::prepare() {
    if (!has_preparation()) {
        return;
    }
    failure_ = nullptr;
    try {
        has_mask_ = source_->fill(mask_.data());
    } catch (...) {
        failure_ = std::current_exception(); // it belongs to this request, not to the thread that runs this
    }
    is_prepared_ = true;
}

MaskedSampler::Scope MaskedSampler::scope() const {
    Scope found = Scope::none;
    for (size_t word = 0; word < mask_.size(); word++) {
        for (uint32_t left = mask_[word], bit = 0; left != 0; left >>= 1, bit++) {
            if ((left & 1) == 0) {
                continue;
            }
            if (!vocab_->ends(static_cast<Token>(word * kWord + bit))) {
                return Scope::some;
            }
            found = Scope::only_ends;
        }
    }
    return found;
}

// A structure often allows a handful of 150,000 tokens: words that forbid all of theirs are written once.
const float* MaskedSampler::masked(const float* logits, size_t n) {
    if (row_.size() != n) {
        row_.assign(n, kForbidden);
        blanks_.assign((n + kWord - 1) / kWord, 1);
    }
    for (size_t word = 0; word < blanks_.size(); word++) {
        const uint32_t allowed = word < mask_.size() ? mask_[word] : 0;
        const size_t first = word * kWord;
        const size_t n_here = std::min(kWord, n - first);
        float* to = row_.data() + first;
        const float* from = logits + first;
        if (allowed == UINT32_MAX) {
            std::copy_n(from, n_here, to);
        } else if (allowed != 0) {
            for (size_t i = 0; i < n_here; i++) {
                to[i] = (allowed >> i & 1) != 0 ? from[i] : kForbidden;
            }
        } else if (blanks_[word] == 0) {
            std::fill_n(to, n_here, kForbidden);
        }
        blanks_[word] = allowed == 0;
    }
    return row_.data();
}

Token MaskedSampler::choose_allowed(const float* logits, size_t n, bool may_end) {
    prepare();
    is_prepared_ = false;
    if (failure_) {
        std::rethrow_exception(std::exchange(failure_, nullptr));
    }
    Token token = 0;
    if (!has_mask_) {
        token = inner_->choose(logits, n, may_end);
    } else {
        const Scope allowed = scope();
        if (allowed == Scope::none) {
            throw dead_end();
        }
        try {
            // Where a structure is complete nothing but its end can come, min_tokens or not.
            token = inner_->choose(masked(logits, n), n, may_end || allowed == Scope::only_ends);
        } catch (const Error& error) {
            if (error.kind() == ErrorKind::InvalidRequestError) {
                throw conflict(error);
            }
            throw;
        }
    }
    if (!source_->accept(token)) {
        throw Error(ErrorKind::GrammarError,
                    "the structure forbids token " + std::to_string(token) + ", which was chosen")
            .with("token", token);
    }
    return token;
}

void MaskedSampler::begin(const StructureTrigger::Begun& begun) {
    trigger_.reset();
    if (begun.token && source_->accept(*begun.token)) {
        return;
    }
    if (!begun.bytes.empty() && !source_->accept_bytes(begun.bytes)) {
        throw Error(ErrorKind::GrammarError,
                    "the structure cannot begin with the text '" + begun.bytes +
                        "', which the model wrote in one token with its trigger; let it begin so, or "
                        "use another trigger")
            .with("text", begun.bytes);
    }
}

Token MaskedSampler::choose(const float* logits, size_t n, bool may_end) {
    if (!trigger_) {
        return choose_allowed(logits, n, may_end);
    }
    const Token token = inner_->choose(logits, n, may_end);
    if (const auto begun = trigger_->push(token)) {
        begin(*begun);
    }
    return token;
}

} // namespace inllama
