// The samplers of llama.h as plain data: a chain of them chooses a token.
#pragma once

#include "core/types.h"

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace inllama {

// Selecting samplers: exactly one ends a chain.
struct Greedy {};
struct Dist {
    uint32_t seed;
};
struct Mirostat {
    uint32_t seed;
    double tau;
    double eta;
    int64_t m;
};
struct MirostatV2 {
    uint32_t seed;
    double tau;
    double eta;
};
struct AdaptiveP {
    double target;
    double decay;
    uint32_t seed;
};

// Filters and weights, in any order before it.
struct TopK {
    int64_t k;
};
struct TopP {
    double p;
    int64_t min_keep;
};
struct MinP {
    double p;
    int64_t min_keep;
};
struct Typical {
    double p;
    int64_t min_keep;
};
struct TopNSigma {
    double n;
};
struct Xtc {
    double probability;
    double threshold;
    int64_t min_keep;
    uint32_t seed;
};
struct Temperature {
    double temperature;
};
struct DynamicTemperature {
    double temperature;
    double range;
    double exponent;
};
struct Penalties {
    int64_t last_n;
    double repeat;
    double frequency;
    double presence;
};
struct Dry {
    double multiplier;
    double base;
    int64_t allowed_length;
    int64_t last_n;
    std::vector<std::string> sequence_breakers;
};
struct LogitBias {
    std::vector<std::pair<Token, double>> biases;
};
struct Infill {};
// GBNF. With triggers, it begins to constrain at the first match of a pattern or at a trigger token.
struct Grammar {
    std::string text;
    std::string root;
    std::vector<std::string> trigger_patterns;
    std::vector<Token> trigger_tokens;
    bool is_lazy = false;
};

using SamplerStage =
    std::variant<Greedy, Dist, Mirostat, MirostatV2, AdaptiveP, TopK, TopP, MinP, Typical, TopNSigma, Xtc,
                 Temperature, DynamicTemperature, Penalties, Dry, LogitBias, Infill, Grammar>;

// A seed that nobody chose: drawn from the system, and never llama.cpp's mark for "random".
uint32_t random_seed();

// `seed` in llama.cpp's width; throws InvalidRequestError outside 0..2^32-2.
uint32_t checked_seed(int64_t seed);

} // namespace inllama
