// A chain of samplers: chooses the next token from a row of logits.
#pragma once

#include "core/exclusive_use.h"
#include "core/llama/context.h"
#include "core/llama/sampler_stage.h"
#include "core/llama/tokenizer.h"
#include "core/logits.h"
#include "core/types.h"

#include <memory>
#include <utility>
#include <variant>
#include <vector>

struct llama_sampler;

namespace inllama {

// One thread at a time, else ConcurrentUseError. Keeps the tokenizer, and so the model, alive.
class Sampler {
  public:
    // Throws InvalidRequestError for a stage out of range or a chain that does not end with its one selecting
    // stage, GrammarError for a grammar that cannot be enforced.
    Sampler(std::shared_ptr<const Tokenizer> tokenizer, const std::vector<SamplerStage>& stages);
    ~Sampler();
    Sampler(const Sampler&) = delete;
    Sampler& operator=(const Sampler&) = delete;

    // Chooses a token from row `row` of the context's last call and, with `accept`, accepts it: exactly once.
    //
    // Throws GrammarError if the grammar allows no token, DecodeError for a row that is not all numbers,
    // InvalidRequestError for a context of another model or a row without output.
    Token sample(Context& context, int64_t row, bool accept);
    // The same for `n` logits from anywhere.
    Token sample(const float* logits, size_t n, bool accept);
    // Tells the chain that `token` is next. Throws GrammarError, and changes nothing, if a grammar forbids
    // it.
    void accept(Token token);
    // The same for the tokens of a prompt, which penalties see and grammars do not.
    void accept_prompt(const std::vector<Token>& tokens);
    // Forgets everything accepted and starts the random numbers anew from the seed.
    void reset();
    // A sampler in the same state that goes its own way.
    std::unique_ptr<Sampler> clone() const;

  private:
    struct Free {
        void operator()(llama_sampler* sampler) const;
    };
    using Chain = std::unique_ptr<llama_sampler, Free>;
    struct Candidates;
    // top_p and min_p together.
    struct Nucleus {
        double p;
        double min_p;
    };

    Sampler(const Sampler& other, Chain chain);
    void add(const SamplerStage& stage, bool is_head);
    size_t note_head(const std::vector<SamplerStage>& stages);
    Token select(const float* logits, size_t n);
    void fill_candidates(const float* logits, size_t n);
    void accept_checked(Token token);
    bool allows(Token token) const;
    void check_usable() const;

    std::shared_ptr<const Tokenizer> tokenizer_;
    Chain chain_;
    std::vector<llama_sampler*> grammars_; // owned by the chain
    std::unique_ptr<Candidates> candidates_;
    mutable ExclusiveUse use_;
    std::variant<std::monostate, Greedy, TopK, Nucleus> head_; // the first stages, where we are faster
    RowBiases biases_;                                         // of the head
    bool must_accept_ = false; // adaptive_p keeps a choice that only accept() may consume
    bool is_lazy_ = false;     // a grammar waits for its trigger
    size_t n_lazy_bytes_ = 0;  // what its regular expression searches
    bool is_broken_ = false;   // an exception left a grammar's state unknown
};

} // namespace inllama
