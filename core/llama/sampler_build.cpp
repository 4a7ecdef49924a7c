#include "core/llama/sampler_build.h"

#include "core/error.h"
#include "core/gbnf.h"
#include "core/platform/stack.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>
#include <string>

namespace inllama {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLargest = 1e30; // beyond it a product of two options is no float
constexpr int64_t kMaxCount = int64_t{1} << 30;
constexpr int64_t kMaxWindow = int64_t{1} << 22; // tokens that penalties look back; allocated at once
constexpr size_t kMaxBreakerBytes = 40;          // llama.cpp cuts longer ones

Error bad(const char* option, const std::string& text) {
    return Error(ErrorKind::InvalidRequestError, std::string(option) + " " + text).with("option", option);
}

float number(const char* option, double value, double low, double high) {
    if (std::isnan(value) || value < low || value > std::min(high, kLargest)) {
        throw bad(option, "is " + std::to_string(value) + " but must be a number from " +
                              std::to_string(low) + " to " +
                              (high == kInfinity ? "1e30" : std::to_string(high)))
            .with("value", value);
    }
    return static_cast<float>(value);
}

int32_t count(const char* option, int64_t value, int64_t low, int64_t high = kMaxCount) {
    if (value < low || value > high) {
        throw bad(option, "is " + std::to_string(value) + " but must be " + std::to_string(low) + " to " +
                              std::to_string(high))
            .with("value", value);
    }
    return static_cast<int32_t>(value);
}

size_t keep(int64_t min_keep) {
    return static_cast<size_t>(count("min_keep", min_keep, 0));
}

// std::regex recurses for every parenthesis of a pattern.
constexpr size_t kMaxPatternBytes = 4096;
constexpr size_t kPatternStackBytes = size_t{64} << 20;

class Builder {
  public:
    explicit Builder(const Tokenizer& tokenizer)
        : tokenizer_(tokenizer), vocab_(tokenizer.model()->vocab()) {}

    llama_sampler* operator()(const Greedy&) const { return llama_sampler_init_greedy(); }

    llama_sampler* operator()(const Dist& stage) const { return llama_sampler_init_dist(stage.seed); }

    llama_sampler* operator()(const Mirostat& stage) const {
        // With m of 1 the estimate divides by zero; with 0 it reads before its array.
        return llama_sampler_init_mirostat(
            tokenizer_.n_tokens(), stage.seed, number("tau", stage.tau, 1e-6, 1e6),
            number("eta", stage.eta, 0, 1e6), count("m", stage.m, 2, tokenizer_.n_tokens()));
    }

    llama_sampler* operator()(const MirostatV2& stage) const {
        return llama_sampler_init_mirostat_v2(stage.seed, number("tau", stage.tau, 1e-6, 1e6),
                                              number("eta", stage.eta, 0, 1e6));
    }

    llama_sampler* operator()(const AdaptiveP& stage) const {
        return llama_sampler_init_adaptive_p(number("target", stage.target, 0, 1),
                                             number("decay", stage.decay, 0, 0.99), stage.seed);
    }

    llama_sampler* operator()(const TopK& stage) const {
        return llama_sampler_init_top_k(count("k", stage.k, 0));
    }

    llama_sampler* operator()(const TopP& stage) const {
        return llama_sampler_init_top_p(number("top_p", stage.p, 0, 1), keep(stage.min_keep));
    }

    llama_sampler* operator()(const MinP& stage) const {
        return llama_sampler_init_min_p(number("min_p", stage.p, 0, 1), keep(stage.min_keep));
    }

    llama_sampler* operator()(const Typical& stage) const {
        return llama_sampler_init_typical(number("typical_p", stage.p, 0, 1), keep(stage.min_keep));
    }

    llama_sampler* operator()(const TopNSigma& stage) const {
        return llama_sampler_init_top_n_sigma(number("top_n_sigma", stage.n, 0, kInfinity));
    }

    llama_sampler* operator()(const Xtc& stage) const {
        return llama_sampler_init_xtc(number("xtc_probability", stage.probability, 0, 1),
                                      number("xtc_threshold", stage.threshold, 0, 1), keep(stage.min_keep),
                                      stage.seed);
    }

    llama_sampler* operator()(const Temperature& stage) const {
        return llama_sampler_init_temp(number("temperature", stage.temperature, 0, kInfinity));
    }

    llama_sampler* operator()(const DynamicTemperature& stage) const {
        return llama_sampler_init_temp_ext(number("temperature", stage.temperature, 0, kInfinity),
                                           number("range", stage.range, 0, kInfinity),
                                           number("exponent", stage.exponent, 0, kInfinity));
    }

    llama_sampler* operator()(const Penalties& stage) const {
        return llama_sampler_init_penalties(tokenizer_.n_tokens(),
                                            count("last_n", stage.last_n, 0, kMaxWindow),
                                            number("repeat_penalty", stage.repeat, 1e-6, kInfinity),
                                            number("frequency_penalty", stage.frequency, -1e6, 1e6),
                                            number("presence_penalty", stage.presence, -1e6, 1e6));
    }

    llama_sampler* operator()(const Dry& stage) const {
        std::vector<const char*> breakers;
        for (const std::string& breaker : stage.sequence_breakers) {
            if (breaker.empty() || breaker.size() > kMaxBreakerBytes ||
                breaker.find('\0') != std::string::npos) {
                throw bad("sequence_breakers", "has a text of " + std::to_string(breaker.size()) +
                                                   " bytes; each must have 1 to 40 bytes without NUL");
            }
            breakers.push_back(breaker.c_str());
        }
        return llama_sampler_init_dry(
            vocab_, number("multiplier", stage.multiplier, 0, 1e6), number("base", stage.base, 1, 1e6),
            count("allowed_length", stage.allowed_length, 0), count("last_n", stage.last_n, 0, kMaxWindow),
            breakers.data(), breakers.size());
    }

    llama_sampler* operator()(const LogitBias& stage) const {
        std::vector<llama_logit_bias> biases;
        for (const auto& [token, bias] : stage.biases) {
            tokenizer_.check_token(token);
            if (std::isnan(bias) || bias > kLargest) {
                throw bad("logit_bias", "of token " + std::to_string(token) +
                                            " must be a number or -inf, which bans the token");
            }
            biases.push_back({token, static_cast<float>(bias)});
        }
        return llama_sampler_init_logit_bias(tokenizer_.n_tokens(), static_cast<int32_t>(biases.size()),
                                             biases.data());
    }

    llama_sampler* operator()(const Infill&) const {
        if (!tokenizer_.eos() && !tokenizer_.eot()) {
            throw Error(ErrorKind::UnsupportedError, "infill needs a vocabulary with an end token");
        }
        return llama_sampler_init_infill(vocab_);
    }

    llama_sampler* operator()(const Grammar& stage) const {
        check_gbnf(stage.text, stage.root,
                   [this](std::string_view text) { return tokenizer_.named_token(text).has_value(); });
        std::vector<const char*> patterns;
        for (const std::string& pattern : stage.trigger_patterns) {
            check_pattern(pattern);
            patterns.push_back(pattern.c_str());
        }
        for (const Token token : stage.trigger_tokens) {
            tokenizer_.check_token(token);
        }
        llama_sampler* sampler = nullptr;
        const auto build = [&] {
            sampler = stage.is_lazy
                          ? llama_sampler_init_grammar_lazy_patterns(
                                vocab_, stage.text.c_str(), stage.root.c_str(), patterns.data(),
                                patterns.size(), stage.trigger_tokens.data(), stage.trigger_tokens.size())
                          : llama_sampler_init_grammar(vocab_, stage.text.c_str(), stage.root.c_str());
        };
        try {
            // The patterns are compiled once more inside, by recursive descent.
            stage.is_lazy ? run_with_stack(kPatternStackBytes, build) : build();
        } catch (const std::exception& error) {
            throw Error(ErrorKind::GrammarError,
                        std::string("llama.cpp refused the grammar: ") + error.what());
        }
        if (sampler == nullptr) {
            throw Error(ErrorKind::GrammarError, "llama.cpp refused the grammar");
        }
        return sampler;
    }

  private:
    static void check_pattern(const std::string& pattern) {
        if (pattern.size() > kMaxPatternBytes) {
            throw Error(ErrorKind::GrammarError, "a trigger pattern has " + std::to_string(pattern.size()) +
                                                     " bytes but at most " +
                                                     std::to_string(kMaxPatternBytes) + " are possible")
                .with("limit", kMaxPatternBytes);
        }
        try {
            run_with_stack(kPatternStackBytes, [&] { const std::regex expression(pattern); });
        } catch (const std::regex_error& error) {
            throw Error(ErrorKind::GrammarError,
                        "the trigger pattern '" + pattern + "' is not a regular expression: " + error.what());
        }
        if (pattern.find('\0') != std::string::npos) {
            throw Error(ErrorKind::GrammarError, "a trigger pattern contains a NUL byte");
        }
    }

    const Tokenizer& tokenizer_;
    const llama_vocab* vocab_;
};

} // namespace

bool is_selecting(const SamplerStage& stage) {
    return std::holds_alternative<Greedy>(stage) || std::holds_alternative<Dist>(stage) ||
           std::holds_alternative<Mirostat>(stage) || std::holds_alternative<MirostatV2>(stage) ||
           std::holds_alternative<AdaptiveP>(stage);
}

llama_sampler* build_sampler(const Tokenizer& tokenizer, const SamplerStage& stage) {
    return std::visit(Builder(tokenizer), stage);
}

} // namespace inllama
