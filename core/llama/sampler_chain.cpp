#include "core/llama/sampler_chain.h"

#include <limits>

namespace inllama {

namespace {

constexpr int64_t kMirostatWindow = 100; // "m" of the paper (arXiv 2007.14966)

void add_constraints(const SamplingParams& params, const Tokenizer& tokenizer,
                     const std::optional<Grammar>& grammar, std::vector<SamplerStage>& stages) {
    LogitBias bias;
    bias.biases.assign(params.logit_bias.begin(), params.logit_bias.end());
    if (params.ignore_eos) {
        for (const Token token : tokenizer.end_tokens()) {
            bias.biases.emplace_back(token, -std::numeric_limits<double>::infinity());
        }
    }
    if (!bias.biases.empty()) {
        stages.push_back(bias);
    }
    if (grammar) {
        stages.push_back(*grammar);
    }
}

void add_penalties(const SamplingParams& params, std::vector<SamplerStage>& stages) {
    const bool is_on =
        params.repeat_penalty != 1.0 || params.frequency_penalty != 0.0 || params.presence_penalty != 0.0;
    if (is_on && params.penalty_last_n > 0) {
        stages.push_back(Penalties{params.penalty_last_n, params.repeat_penalty, params.frequency_penalty,
                                   params.presence_penalty});
    }
    if (params.dry_multiplier > 0.0 && params.dry_penalty_last_n > 0) {
        stages.push_back(Dry{params.dry_multiplier, params.dry_base, params.dry_allowed_length,
                             params.dry_penalty_last_n, params.dry_sequence_breakers});
    }
}

void add_truncation(const SamplingParams& params, uint32_t seed, std::vector<SamplerStage>& stages) {
    if (params.top_n_sigma > 0.0) {
        stages.push_back(TopNSigma{params.top_n_sigma});
    }
    if (params.top_k > 0) {
        stages.push_back(TopK{params.top_k});
    }
    if (params.typical_p < 1.0) {
        stages.push_back(Typical{params.typical_p, 1});
    }
    if (params.top_p < 1.0) {
        stages.push_back(TopP{params.top_p, 1});
    }
    if (params.min_p > 0.0) {
        stages.push_back(MinP{params.min_p, 1});
    }
    if (params.xtc_probability > 0.0) {
        stages.push_back(Xtc{params.xtc_probability, params.xtc_threshold, 1, seed});
    }
}

void add_temperature(const SamplingParams& params, std::vector<SamplerStage>& stages) {
    if (params.dynatemp_range > 0.0) {
        stages.push_back(
            DynamicTemperature{params.temperature, params.dynatemp_range, params.dynatemp_exponent});
    } else {
        stages.push_back(Temperature{params.temperature});
    }
}

} // namespace

std::vector<SamplerStage> stages_for(const SamplingParams& params, uint32_t seed, const Tokenizer& tokenizer,
                                     const std::optional<Grammar>& grammar) {
    std::vector<SamplerStage> stages;
    add_constraints(params, tokenizer, grammar, stages);
    add_penalties(params, stages);
    if (params.temperature == 0.0) {
        stages.push_back(Greedy{});
        return stages;
    }
    if (params.mirostat != 0) {
        // Mirostat does its own truncation; others before it would change what it measures.
        add_temperature(params, stages);
        if (params.mirostat == 1) {
            stages.push_back(Mirostat{seed, params.mirostat_tau, params.mirostat_eta, kMirostatWindow});
        } else {
            stages.push_back(MirostatV2{seed, params.mirostat_tau, params.mirostat_eta});
        }
        return stages;
    }
    add_truncation(params, seed, stages);
    add_temperature(params, stages);
    if (params.adaptive_target) {
        stages.push_back(AdaptiveP{*params.adaptive_target, params.adaptive_decay, seed});
    } else {
        stages.push_back(Dist{seed});
    }
    return stages;
}

} // namespace inllama
