#include "core/argmax.h"
#include "tests/core/check.h"

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
