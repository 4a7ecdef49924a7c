// What decides the choice of a token. The Python dataclass of the same name has ranges and texts; a test
// compares both.
#pragma once

#include "core/types.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace inllama {

using LogitBiases = std::map<Token, double>;

// X(type, name, default), in the order of the documentation. 0 or 1 is "off" as the Python field says.
#define INLLAMA_SAMPLING_FIELDS(X)                                                                           \
    X(double, temperature, 0.8)                                                                              \
    X(int64_t, top_k, 40)                                                                                    \
    X(double, top_p, 0.95)                                                                                   \
    X(double, min_p, 0.05)                                                                                   \
    X(double, typical_p, 1.0)                                                                                \
    X(double, top_n_sigma, 0.0)                                                                              \
    X(double, xtc_probability, 0.0)                                                                          \
    X(double, xtc_threshold, 0.1)                                                                            \
    X(double, dynatemp_range, 0.0)                                                                           \
    X(double, dynatemp_exponent, 1.0)                                                                        \
    X(int64_t, mirostat, 0)                                                                                  \
    X(double, mirostat_tau, 5.0)                                                                             \
    X(double, mirostat_eta, 0.1)                                                                             \
    X(std::optional<double>, adaptive_target, std::nullopt)                                                  \
    X(double, adaptive_decay, 0.9)                                                                           \
    X(double, repeat_penalty, 1.0)                                                                           \
    X(double, frequency_penalty, 0.0)                                                                        \
    X(double, presence_penalty, 0.0)                                                                         \
    X(int64_t, penalty_last_n, 64)                                                                           \
    X(double, dry_multiplier, 0.0)                                                                           \
    X(double, dry_base, 1.75)                                                                                \
    X(int64_t, dry_allowed_length, 2)                                                                        \
    X(int64_t, dry_penalty_last_n, 1024)                                                                     \
    X(std::vector<std::string>, dry_sequence_breakers, (std::vector<std::string>{"\n", ":", "\"", "*"}))     \
    X(LogitBiases, logit_bias, {})                                                                           \
    X(bool, ignore_eos, false)                                                                               \
    X(std::optional<int64_t>, seed, std::nullopt)

struct SamplingParams {
#define INLLAMA_SAMPLING_MEMBER(type, name, value) type name = value;
    INLLAMA_SAMPLING_FIELDS(INLLAMA_SAMPLING_MEMBER)
#undef INLLAMA_SAMPLING_MEMBER
};

} // namespace inllama
