#include "core/logits.h"
#include "tests/core/check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

using namespace inllama;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

size_t plain_argmax(std::vector<float> logits, const std::vector<std::pair<Token, float>>& biases) {
    for (const auto& [token, bias] : biases) {
        logits[static_cast<size_t>(token)] += bias;
    }
    size_t best = 0;
    float value = -kInfinity;
    for (size_t i = 0; i < logits.size(); i++) {
        if (logits[i] > value) {
            value = logits[i];
            best = i;
        }
    }
    return best;
}

} // namespace

TEST("argmax agrees with a plain search, with ties and biases") {
    std::mt19937 random(7);
    for (int round = 0; round < 2000; round++) {
        const size_t n = 1 + random() % 5000;
        std::vector<float> logits(n);
        for (float& logit : logits) {
            logit = static_cast<float>(random() % 50) - 25.0f; // many ties
        }
        std::map<Token, float> chosen;
        for (size_t i = random() % 5; i > 0; i--) {
            const float biases[] = {-kInfinity, 30.0f, -1.0f, 0.5f};
            chosen[static_cast<Token>(random() % n)] = biases[random() % 4];
        }
        const std::vector<std::pair<Token, float>> biases(chosen.begin(), chosen.end());
        const Argmax found = argmax(logits.data(), n, biases);
        CHECK(!found.has_nan);
        if (found.value > -kInfinity) {
            CHECK_EQ(found.index, plain_argmax(logits, biases));
        }
    }
}

TEST("argmax reports a number that is none, wherever it stands") {
    for (const size_t at : {size_t{0}, size_t{15}, size_t{16}, size_t{1023}, size_t{1024}, size_t{1999}}) {
        std::vector<float> logits(2000, 1.0f);
        logits[at] = kNan;
        CHECK(argmax(logits.data(), logits.size()).has_nan);
        CHECK(argmax(logits.data(), logits.size(), {{static_cast<Token>(at), -kInfinity}}).has_nan);
    }
}

TEST("argmax of a row without any possible token is minus infinity") {
    const std::vector<float> logits(40, -kInfinity);
    CHECK_EQ(argmax(logits.data(), logits.size()).value, -kInfinity);
    CHECK_EQ(argmax(logits.data(), 0).value, -kInfinity);
}

namespace {

std::vector<Candidate> sorted(const std::vector<float>& logits, const RowBiases& biases) {
    std::vector<Candidate> all;
    for (size_t i = 0; i < logits.size(); i++) {
        all.push_back({static_cast<Token>(i), logits[i]});
    }
    for (const auto& [token, bias] : biases) {
        all[static_cast<size_t>(token)].logit += bias;
    }
    std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
        return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
    });
    return all;
}

std::vector<float> random_row(std::mt19937& random, size_t n, float spread) {
    std::normal_distribution<float> normal(0.0f, spread);
    std::vector<float> logits(n);
    for (float& logit : logits) {
        logit = random() % 50 == 0 ? -kInfinity : normal(random);
    }
    return logits;
}

RowBiases random_biases(std::mt19937& random, size_t n) {
    std::map<Token, float> chosen;
    for (size_t i = random() % 4; i > 0; i--) {
        const float biases[] = {-kInfinity, 8.0f, -1.0f, 0.5f};
        chosen[static_cast<Token>(random() % n)] = biases[random() % 4];
    }
    return {chosen.begin(), chosen.end()};
}

} // namespace

TEST("top_k keeps what sorting the whole row would put first") {
    std::mt19937 random(11);
    for (int round = 0; round < 500; round++) {
        const size_t n = 1 + random() % 3000;
        const std::vector<float> logits = random_row(random, n, round % 2 == 0 ? 3.0f : 1e-3f);
        const RowBiases biases = random_biases(random, n);
        const size_t k = 1 + random() % n;
        std::vector<Candidate> kept;
        CHECK(top_k(logits.data(), n, k, biases, kept));
        std::vector<Candidate> expected = sorted(logits, biases);
        expected.resize(k);
        while (!expected.empty() && expected.back().logit == -kInfinity) {
            expected.pop_back();
        }
        CHECK_EQ(kept.size(), expected.size());
        for (size_t i = 0; i < std::min(kept.size(), expected.size()); i++) {
            CHECK_EQ(kept[i].token, expected[i].token);
            CHECK_EQ(kept[i].logit, expected[i].logit);
        }
    }
}

TEST("top_k reports a number that is none, behind the threshold too") {
    for (const size_t at : {size_t{0}, size_t{255}, size_t{256}, size_t{1999}}) {
        std::vector<float> logits(2000, 1.0f);
        logits[1000] = 5.0f;
        logits[at] = kNan;
        std::vector<Candidate> kept;
        CHECK(!top_k(logits.data(), logits.size(), 3, {}, kept));
    }
}

TEST("top_p keeps the fewest tokens that reach the probability") {
    std::mt19937 random(13);
    for (int round = 0; round < 500; round++) {
        const size_t n = 1 + random() % 3000;
        const float spreads[] = {0.01f, 1.0f, 4.0f, 40.0f};
        const std::vector<float> logits = random_row(random, n, spreads[round % 4]);
        const RowBiases biases = random_biases(random, n);
        const Argmax largest = argmax(logits.data(), n, biases);
        if (largest.value == -kInfinity) {
            continue;
        }
        const double p = static_cast<double>(random() % 1000) / 1000.0;
        std::vector<Candidate> kept;
        top_p(logits.data(), n, p, 0.0, biases, largest, kept);

        const std::vector<Candidate> expected = sorted(logits, biases);
        const auto weight = [&](size_t i) {
            return std::exp(static_cast<double>(expected[i].logit) - static_cast<double>(largest.value));
        };
        double total = 0;
        for (size_t i = 0; i < n; i++) {
            total += weight(i);
        }
        // A sum that meets the limit within rounding may end one token earlier or later.
        std::vector<bool> is_kept(n);
        for (const Candidate& candidate : kept) {
            is_kept[static_cast<size_t>(candidate.token)] = true;
        }
        CHECK(!kept.empty());
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            const bool must = i == 0 || sum < (p - 1e-6) * total;
            const bool must_not = i > 0 && sum > (p + 1e-6) * total;
            const bool is = is_kept[static_cast<size_t>(expected[i].token)];
            CHECK(!must || is || expected[i].logit == -kInfinity);
            CHECK(!must_not || !is);
            sum += weight(i);
        }
    }
}

TEST("log_sum_exp is exact to six digits over any spread") {
    std::mt19937 random(17);
    for (const float spread : {0.01f, 1.0f, 10.0f, 300.0f}) {
        const std::vector<float> logits = random_row(random, 5000, spread);
        const float largest = argmax(logits.data(), logits.size()).value;
        double sum = 0;
        for (const float logit : logits) {
            sum += std::exp(static_cast<double>(logit) - static_cast<double>(largest));
        }
        const double expected = static_cast<double>(largest) + std::log(sum);
        CHECK(std::abs(log_sum_exp(logits.data(), logits.size(), largest) - expected) <
              1e-6 * (1 + std::abs(expected)));
    }
}
