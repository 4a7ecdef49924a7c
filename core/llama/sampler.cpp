#include "core/llama/sampler.h"

#include "core/error.h"
#include "core/llama/sampler_build.h"
#include "core/platform/stack.h"

#include <llama.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

namespace inllama {

namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();
// While a lazy grammar waits, llama.cpp searches all text so far with a std::regex that recurses per
// character.
constexpr size_t kMaxLazyBytes = size_t{1} << 16;
constexpr size_t kLazyStackBytes = size_t{256} << 20;

Error no_token(bool has_grammar) {
    return has_grammar
               ? Error(ErrorKind::GrammarError, "the grammar allows no token here; "
                                                "it and the other samplers of the chain exclude each other")
               : Error(ErrorKind::InvalidRequestError,
                       "every token is excluded; check logit_bias and the order of the chain");
}

Error not_numbers() {
    return Error(ErrorKind::DecodeError, "the logits are not all numbers; the model file may be damaged");
}

} // namespace

struct Sampler::Candidates {
    std::vector<Candidate> kept; // by the head
    std::vector<llama_token_data> data;
    bool is_sorted = false;
};

void Sampler::Free::operator()(llama_sampler* sampler) const {
    llama_sampler_free(sampler);
}

Sampler::Sampler(std::shared_ptr<const Tokenizer> tokenizer, const std::vector<SamplerStage>& stages)
    : tokenizer_(std::move(tokenizer)), chain_(llama_sampler_chain_init({/*no_perf=*/true})),
      candidates_(std::make_unique<Candidates>()) {
    const auto n_selecting = std::count_if(stages.begin(), stages.end(), is_selecting);
    if (n_selecting != 1 || !is_selecting(stages.back())) {
        throw Error(
            ErrorKind::InvalidRequestError,
            "a chain must end with its only selecting sampler (greedy, dist, mirostat, mirostat_v2 or "
            "adaptive_p) but this one has " +
                std::to_string(n_selecting) + " of " + std::to_string(stages.size()) + " samplers")
            .with("n_selecting", n_selecting);
    }
    const size_t n_head = note_head(stages);
    for (size_t i = 0; i < stages.size(); i++) {
        add(stages[i], i < n_head);
    }
    must_accept_ = std::holds_alternative<AdaptiveP>(stages.back());
}

Sampler::Sampler(const Sampler& other, Chain chain)
    : tokenizer_(other.tokenizer_), chain_(std::move(chain)), candidates_(std::make_unique<Candidates>()),
      head_(other.head_), biases_(other.biases_), must_accept_(other.must_accept_), is_lazy_(other.is_lazy_),
      n_lazy_bytes_(other.n_lazy_bytes_), is_broken_(other.is_broken_) {
    for (int32_t i = 0; i < llama_sampler_chain_n(chain_.get()); i++) {
        llama_sampler* sampler = llama_sampler_chain_get(chain_.get(), i);
        if (std::string(llama_sampler_name(sampler)) == "grammar") {
            grammars_.push_back(sampler);
        }
    }
}

Sampler::~Sampler() = default;

void Sampler::add(const SamplerStage& stage, bool is_head) {
    Chain made(build_sampler(*tokenizer_, stage)); // checks its options too
    if (is_head) {
        return;
    }
    llama_sampler* sampler = made.release();
    llama_sampler_chain_add(chain_.get(), sampler);
    if (const auto* grammar = std::get_if<Grammar>(&stage)) {
        grammars_.push_back(sampler);
        is_lazy_ = is_lazy_ || grammar->is_lazy;
    }
}

// A chain that begins with a choice among all tokens, biased or not, is entered behind it. Returns how many
// stages that replaces. None of them learns from accepted tokens.
size_t Sampler::note_head(const std::vector<SamplerStage>& stages) {
    const auto* bias = std::get_if<LogitBias>(&stages.front()); // the last stage is a selecting one
    const size_t first = bias != nullptr ? 1 : 0;
    const SamplerStage& stage = stages[first];
    bool has_min_p = false;
    if (std::holds_alternative<Greedy>(stage)) {
        head_ = Greedy{};
    } else if (const auto* k = std::get_if<TopK>(&stage); k != nullptr && k->k > 0) {
        head_ = *k;
    } else if (const auto* p = std::get_if<TopP>(&stage); p != nullptr && p->p < 1.0 && p->min_keep <= 1) {
        const auto* min_p = std::get_if<MinP>(&stages[first + 1]); // as it never drops the likeliest one
        has_min_p = min_p != nullptr && min_p->min_keep <= 1;
        head_ = Nucleus{p->p, has_min_p ? min_p->p : 0.0};
    } else {
        return 0;
    }
    if (bias != nullptr) {
        std::map<Token, float> sums;
        for (const auto& [token, value] : bias->biases) {
            sums[token] += static_cast<float>(value);
        }
        biases_.assign(sums.begin(), sums.end());
    }
    return first + (has_min_p ? 2 : 1);
}

void Sampler::check_usable() const {
    if (is_broken_) {
        throw Error(ErrorKind::GrammarError, "an earlier failure left this sampler unusable; call reset()");
    }
}

Token Sampler::sample(Context& context, int64_t row, bool accept) {
    if (context.handle()->model != tokenizer_->model()) {
        throw Error(ErrorKind::InvalidRequestError,
                    "the sampler was made for another Model object than the context");
    }
    Token token = 0;
    context.read_logits(row, [&](const float* logits, size_t n) { token = sample(logits, n, accept); });
    return token;
}

Token Sampler::sample(const float* logits, size_t n, bool accept) {
    const ExclusiveUse::Guard guard(use_, "Sampler");
    check_usable();
    if (n != static_cast<size_t>(tokenizer_->n_tokens())) {
        throw Error(ErrorKind::InvalidRequestError, "there are " + std::to_string(n) +
                                                        " logits but the vocabulary has " +
                                                        std::to_string(tokenizer_->n_tokens()) + " tokens")
            .with("n_logits", n)
            .with("n_vocab", tokenizer_->n_tokens());
    }
    if (must_accept_ && !accept) {
        throw Error(ErrorKind::UnsupportedError,
                    "adaptive_p learns from each choice; sample with accept=True");
    }
    const Token token = select(logits, n);
    if (accept) {
        accept_checked(token);
    }
    return token;
}

// Sorting with a NaN is undefined behaviour, so every row is looked at before anything else.
void Sampler::fill_candidates(const float* logits, size_t n) {
    auto& data = candidates_->data;
    const auto take_kept = [&] {
        data.clear();
        for (const Candidate& candidate : candidates_->kept) {
            data.push_back({candidate.token, candidate.logit, 0.0f});
        }
    };
    Argmax largest{kNegativeInfinity, 0, false};
    if (const auto* k = std::get_if<TopK>(&head_)) {
        const size_t n_kept = std::min(static_cast<size_t>(k->k), n);
        largest.has_nan = !top_k(logits, n, n_kept, biases_, candidates_->kept);
        largest.value = candidates_->kept.empty() ? kNegativeInfinity : candidates_->kept.front().logit;
        candidates_->is_sorted = true;
    } else {
        largest = argmax(logits, n, biases_);
        candidates_->is_sorted = false;
    }
    if (largest.has_nan || largest.value == -kNegativeInfinity) {
        throw not_numbers();
    }
    if (largest.value == kNegativeInfinity) {
        throw biases_.empty() ? not_numbers() : no_token(false);
    }
    if (std::holds_alternative<TopK>(head_)) {
        take_kept();
    } else if (const auto* nucleus = std::get_if<Nucleus>(&head_)) {
        top_p(logits, n, nucleus->p, nucleus->min_p, biases_, largest, candidates_->kept);
        take_kept();
    } else if (std::holds_alternative<Greedy>(head_)) {
        data.assign(1, {static_cast<Token>(largest.index), largest.value, 0.0f});
    } else {
        // What is excluded is no candidate: the logarithm of its probability would be none.
        data.clear();
        for (size_t i = 0; i < n; i++) {
            if (logits[i] > kNegativeInfinity) {
                data.push_back({static_cast<Token>(i), logits[i], 0.0f});
            }
        }
    }
}

Token Sampler::select(const float* logits, size_t n) {
    fill_candidates(logits, n);
    auto& data = candidates_->data;
    if (std::holds_alternative<Greedy>(head_)) {
        return data.front().id;
    }
    llama_token_data_array candidates = {data.data(), data.size(), -1, candidates_->is_sorted};
    try {
        llama_sampler_apply(chain_.get(), &candidates);
    } catch (const std::exception& error) {
        is_broken_ = true;
        throw Error(ErrorKind::GrammarError, std::string("sampling failed: ") + error.what());
    }
    if (candidates.selected < 0 || static_cast<size_t>(candidates.selected) >= candidates.size) {
        throw no_token(!grammars_.empty());
    }
    const llama_token_data& chosen = candidates.data[candidates.selected];
    if (std::isinf(chosen.logit) && chosen.logit < 0) {
        throw no_token(!grammars_.empty());
    }
    return chosen.id;
}

void Sampler::accept(Token token) {
    const ExclusiveUse::Guard guard(use_, "Sampler");
    check_usable();
    tokenizer_->check_token(token);
    accept_checked(token);
}

// A grammar aborts on an end token that it does not allow and is ruined by any other: it is asked before.
bool Sampler::allows(Token token) const {
    for (llama_sampler* grammar : grammars_) {
        llama_token_data one = {token, 0.0f, 0.0f};
        llama_token_data_array candidates = {&one, 1, -1, false};
        llama_sampler_apply(grammar, &candidates);
        if (std::isinf(one.logit)) {
            return false;
        }
    }
    return true;
}

void Sampler::accept_checked(Token token) {
    try {
        if (!allows(token)) {
            throw Error(ErrorKind::GrammarError,
                        "the grammar forbids token " + std::to_string(token) + " here")
                .with("token", token);
        }
        if (is_lazy_ && n_lazy_bytes_ < kMaxLazyBytes) {
            n_lazy_bytes_ += tokenizer_->piece(token, true).size();
            run_with_stack(kLazyStackBytes, [&] { llama_sampler_accept(chain_.get(), token); });
        } else if (is_lazy_) {
            throw Error(ErrorKind::GrammarError, "the grammar's trigger did not come within " +
                                                     std::to_string(kMaxLazyBytes) + " bytes")
                .with("limit", kMaxLazyBytes);
        } else {
            llama_sampler_accept(chain_.get(), token);
        }
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        is_broken_ = true;
        throw Error(ErrorKind::GrammarError, std::string("the grammar failed: ") + error.what())
            .with("token", token);
    }
}

void Sampler::accept_prompt(const std::vector<Token>& tokens) {
    const ExclusiveUse::Guard guard(use_, "Sampler");
    check_usable();
    for (const Token token : tokens) {
        tokenizer_->check_token(token);
    }
    for (int32_t i = 0; i < llama_sampler_chain_n(chain_.get()); i++) {
        llama_sampler* sampler = llama_sampler_chain_get(chain_.get(), i);
        if (std::find(grammars_.begin(), grammars_.end(), sampler) != grammars_.end()) {
            continue;
        }
        for (const Token token : tokens) {
            llama_sampler_accept(sampler, token);
        }
    }
}

void Sampler::reset() {
    const ExclusiveUse::Guard guard(use_, "Sampler");
    llama_sampler_reset(chain_.get());
    n_lazy_bytes_ = 0;
    is_broken_ = false;
}

std::unique_ptr<Sampler> Sampler::clone() const {
    const ExclusiveUse::Guard guard(use_, "Sampler");
    check_usable();
    return std::unique_ptr<Sampler>(new Sampler(*this, Chain(llama_sampler_clone(chain_.get()))));
}

} // namespace inllama
