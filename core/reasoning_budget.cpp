#include "core/reasoning_budget.h"

#include <algorithm>
#include <limits>

namespace inllama {

ReasoningBudget::ReasoningBudget(std::unique_ptr<RowSampler> inner, std::shared_ptr<const Vocab> vocab,
                                 ReasoningLimit limit)
    : inner_(std::move(inner)), vocab_(std::move(vocab)), limit_(std::move(limit)),
      phase_(limit_.is_open ? Phase::inside : Phase::before) {}

Token ReasoningBudget::choose(const float* logits, size_t n, bool may_end) {
    const bool is_used_up = phase_ == Phase::inside && n_inside_ >= limit_.n_tokens;
    // A tag that was begun has as many tokens more as it has bytes, at most.
    const bool is_overdue = n_inside_ >= limit_.n_tokens + longest_end();
    if (is_used_up && characters_.n_held() == 0 && (is_overdue || !has_begun_to_end())) {
        phase_ = Phase::closing;
    }
    if (phase_ == Phase::closing) {
        const Token token = forced(n, limit_.closing[n_closed_]);
        n_closed_++;
        if (n_closed_ == limit_.closing.size()) {
            phase_ = Phase::behind;
            banned_ = tags_of_one_token();
        }
        return token;
    }
    if (!banned_.empty()) {
        return choose_behind(logits, n, may_end);
    }
    const Token token = inner_->choose(logits, n, may_end);
    if (phase_ != Phase::behind) {
        note(token);
    }
    return token;
}

int ReasoningBudget::longest_end() const {
    size_t longest = 0;
    for (const std::string& end : limit_.ends) {
        longest = std::max(longest, end.size());
    }
    return static_cast<int>(longest);
}

// Whether the output ends with the beginning of a closing tag.
bool ReasoningBudget::has_begun_to_end() const {
    for (const std::string& end : limit_.ends) {
        for (size_t n = std::min(seen_.size(), end.size() - 1); n > 0; n--) {
            if (seen_.compare(seen_.size() - n, n, end, 0, n) == 0) {
                return true;
            }
        }
    }
    return false;
}

std::vector<Token> ReasoningBudget::tags_of_one_token() const {
    std::vector<Token> found;
    for (const Token token : limit_.closing) {
        std::string spelling;
        vocab_->append_spelling(token, spelling);
        if (std::find(limit_.ends.begin(), limit_.ends.end(), spelling) != limit_.ends.end()) {
            found.push_back(token);
        }
    }
    return found;
}

Token ReasoningBudget::choose_behind(const float* logits, size_t n, bool may_end) {
    row_.assign(logits, logits + n);
    for (const Token token : banned_) {
        row_[static_cast<size_t>(token)] = -std::numeric_limits<float>::infinity();
    }
    return inner_->choose(row_.data(), n, may_end);
}

// The other sampler chooses too, from a row that leaves one token: penalties and structures see it.
Token ReasoningBudget::forced(size_t n, Token token) {
    row_.assign(n, -std::numeric_limits<float>::infinity());
    row_[static_cast<size_t>(token)] = 0.0f;
    return inner_->choose(row_.data(), n, true);
}

void ReasoningBudget::note(Token token) {
    n_inside_ += phase_ == Phase::inside ? 1 : 0;
    std::string bytes;
    if (std::binary_search(limit_.spelled.begin(), limit_.spelled.end(), token)) {
        vocab_->append_spelling(token, bytes);
    } else {
        vocab_->append_bytes(token, bytes);
    }
    seen_ += characters_.push(bytes);
    if (phase_ == Phase::before) {
        // White space may come before the tag; an output that begins with anything else does not reason.
        const size_t begin = std::min(seen_.find_first_not_of(" \t\r\n"), seen_.size());
        const std::string text = seen_.substr(begin);
        if (text.compare(0, limit_.start.size(), limit_.start) == 0) {
            phase_ = Phase::inside;
            seen_ = text.substr(limit_.start.size());
        } else if (limit_.start.compare(0, text.size(), text) != 0) {
            phase_ = Phase::behind;
        }
    }
    if (phase_ != Phase::inside) {
        return;
    }
    size_t longest = 0;
    for (const std::string& end : limit_.ends) {
        if (seen_.find(end) != std::string::npos) {
            phase_ = Phase::behind;
        }
        longest = std::max(longest, end.size());
    }
    seen_.erase(0, seen_.size() - std::min(seen_.size(), longest));
}

} // namespace inllama
