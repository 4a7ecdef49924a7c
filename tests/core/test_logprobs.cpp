#include "core/logprobs.h"

#include "tests/core/check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using namespace inllama;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TokenLogprobs of(const std::vector<float>& logits, Token chosen, int n_top) {
    return logprobs_of(logits.data(), logits.size(), chosen, n_top);
}

bool is_near(double a, double b) {
    return std::abs(a - b) <= 1e-5 * std::max(1.0, std::abs(b));
}

// The definition, without thought for range or speed.
double logprob_by_model(const std::vector<float>& logits, Token token) {
    long double sum = 0;
    for (const float logit : logits) {
        sum += std::exp(static_cast<long double>(logit));
    }
    return static_cast<double>(static_cast<long double>(logits[static_cast<size_t>(token)]) - std::log(sum));
}

std::vector<Token> likeliest_by_model(const std::vector<float>& logits, int n_top) {
    std::vector<Token> tokens;
    for (size_t i = 0; i < logits.size(); i++) {
        tokens.push_back(static_cast<Token>(i));
    }
    std::stable_sort(tokens.begin(), tokens.end(), [&](Token a, Token b) {
        return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    tokens.resize(std::min(tokens.size(), static_cast<size_t>(n_top)));
    return tokens;
}

} // namespace

TEST("log-probabilities are logarithms of probabilities that add up to one") {
    const std::vector<float> logits = {1.0f, -2.0f, 0.5f, 3.0f};
    double sum = 0;
    for (const auto& [token, logprob] : of(logits, 0, 4).top) {
        sum += std::exp(static_cast<double>(logprob));
    }
    CHECK(is_near(sum, 1));
    CHECK(is_near(of({0.0f, 0.0f}, 1, 0).chosen, -std::log(2.0)));
    CHECK_EQ(of({7.0f}, 0, 0).chosen, 0.0f);
}

TEST("the chosen token has its log-probability also when it is not among the likeliest") {
    const TokenLogprobs got = of({4.0f, 0.0f, 5.0f}, 1, 2);
    CHECK(is_near(got.chosen, logprob_by_model({4.0f, 0.0f, 5.0f}, 1)));
    CHECK_EQ(got.top.size(), size_t{2});
    CHECK_EQ(got.top[0].first, 2);
    CHECK_EQ(got.top[1].first, 0);
}

TEST("no likeliest tokens are given when none are asked for") {
    CHECK(of({1.0f, 2.0f}, 0, 0).top.empty());
    CHECK(of({1.0f, 2.0f}, 0, -1).top.empty());
}

TEST("more likeliest tokens than the vocabulary has are all of it") {
    const TokenLogprobs got = of({1.0f, 3.0f, 2.0f}, 0, 100);
    CHECK_EQ(got.top.size(), size_t{3});
    CHECK_EQ(got.top[0].first, 1);
    CHECK_EQ(got.top[1].first, 2);
    CHECK_EQ(got.top[2].first, 0);
}

TEST("of equally likely tokens the lower ones come first") {
    const TokenLogprobs got = of({1.0f, 2.0f, 1.0f, 2.0f, 1.0f}, 0, 3);
    CHECK_EQ(got.top[0].first, 1);
    CHECK_EQ(got.top[1].first, 3);
    CHECK_EQ(got.top[2].first, 0);
}

TEST("adding the same to all logits changes nothing, also where exponentials overflow") {
    const std::vector<float> logits = {0.0f, 8.0f, -8.0f, 4.0f};
    for (const float shift : {-65536.0f, 65536.0f, 1024.0f}) {
        std::vector<float> shifted = logits;
        for (float& logit : shifted) {
            logit += shift;
        }
        for (Token token = 0; token < 4; token++) {
            CHECK(is_near(of(shifted, token, 0).chosen, of(logits, token, 0).chosen));
        }
    }
}

TEST("a token that a mask excluded has the probability zero and takes nothing from others") {
    const std::vector<float> logits = {1.0f, -kInfinity, 1.0f, -kInfinity};
    CHECK_EQ(of(logits, 1, 0).chosen, -kInfinity);
    const TokenLogprobs got = of(logits, 2, 2);
    CHECK(is_near(got.chosen, -std::log(2.0)));
    CHECK_EQ(got.top[0].first, 0);
    CHECK_EQ(got.top[1].first, 2);
}

TEST("any row gives what sorting all of it gives") {
    std::mt19937 random(20261004);
    int n_ties = 0;
    for (int round = 0; round < 500; round++) {
        std::vector<float> logits(1 + random() % 600);
        // Few different values: ties at every border.
        const bool is_coarse = random() % 2 == 0;
        for (float& logit : logits) {
            logit = is_coarse ? static_cast<float>(random() % 6)
                              : static_cast<float>(random() % 100000) / 5000.0f - 10.0f;
        }
        const auto chosen = static_cast<Token>(random() % logits.size());
        const int n_top = static_cast<int>(random() % 24);
        const TokenLogprobs got = of(logits, chosen, n_top);
        CHECK(is_near(got.chosen, logprob_by_model(logits, chosen)));
        const std::vector<Token> expected = likeliest_by_model(logits, n_top);
        CHECK_EQ(got.top.size(), expected.size());
        for (size_t i = 0; i < std::min(expected.size(), got.top.size()); i++) {
            CHECK_EQ(got.top[i].first, expected[i]);
            CHECK(is_near(got.top[i].second, logprob_by_model(logits, expected[i])));
            n_ties += i > 0 && got.top[i].second == got.top[i - 1].second ? 1 : 0;
        }
    }
    CHECK(n_ties > 500);
}
