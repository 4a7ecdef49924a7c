#include "core/fake_embedder.h"

#include <stdexcept>
#include <thread>

namespace inllama {

float FakeEmbedder::value_of(Token token, int j) {
    uint32_t hash = static_cast<uint32_t>(token) * 2654435761u + static_cast<uint32_t>(j) * 40503u;
    hash ^= hash >> 15;
    hash *= 2246822519u;
    hash ^= hash >> 13;
    return static_cast<float>(hash % 2001) / 1000.0f - 1.0f;
}

DecodeStatus FakeEmbedder::embed(const std::vector<TokenRun>& texts) {
    vectors_.clear();
    const FakeOutcome outcome = script ? script(n_steps_, texts) : FakeOutcome{};
    n_steps_++;
    int n_rows = 0;
    for (const TokenRun& text : texts) {
        n_rows += text.n;
        n_violations_ += text.n < 1 ? 1 : 0;
    }
    const bool is_too_much = n_rows > traits_.n_rows_max || texts.empty() ||
                             texts.size() > static_cast<size_t>(traits_.n_texts_max);
    n_violations_ += is_too_much ? 1 : 0;
    std::this_thread::sleep_for(outcome.delay);
    if (outcome.throws) {
        throw std::runtime_error("the fake was told to throw");
    }
    if (outcome.status != DecodeStatus::ok) {
        return outcome.status;
    }
    for (const TokenRun& text : texts) {
        std::vector<float> sum(static_cast<size_t>(traits_.n_values));
        for (int i = 0; i < text.n; i++) {
            std::vector<float> row(sum.size());
            for (size_t j = 0; j < row.size(); j++) {
                row[j] = value_of(text.tokens[i], static_cast<int>(j));
                sum[j] += row[j] / static_cast<float>(text.n);
            }
            if (!traits_.is_pooled) {
                vectors_.push_back(std::move(row));
            }
        }
        if (traits_.is_pooled) {
            vectors_.push_back(std::move(sum));
        }
    }
    return DecodeStatus::ok;
}

const float* FakeEmbedder::vector(int i) {
    if (i < 0 || static_cast<size_t>(i) >= vectors_.size()) {
        n_violations_++;
        throw std::logic_error("the last step has no vector " + std::to_string(i));
    }
    return vectors_[static_cast<size_t>(i)].data();
}

} // namespace inllama
