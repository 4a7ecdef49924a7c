// One output of a request on its way through the engine.
#pragma once

#include "core/output_text.h"
#include "core/request.h"
#include "core/types.h"

#include <memory>
#include <vector>

namespace inllama {

// A request that was submitted. The engine's thread alone changes it; `control` is shared with the consumer.
struct ActiveRequest {
    uint64_t id = 0;
    Request request;
    std::shared_ptr<RequestControl> control;
    Clock::time_point submitted;
    std::optional<Clock::time_point> admitted;
    std::optional<Clock::time_point> first_token;
    int n_outputs_left = 0;
    int n_completion = 0;
    int n_cached = 0;
};

enum class Phase : uint8_t { waiting, prefill, decode };

// Invariants: memory holds the first `n_computed` of `tokens` under `id`; waiting means no id and none
// computed.
struct Sequence {
    Sequence(std::shared_ptr<ActiveRequest> of, int output, const Vocab& vocab)
        : active(std::move(of)), index(output), tokens(active->request.prompt),
          n_prompt(static_cast<int>(tokens.size())),
          sampler(std::move(active->request.samplers[static_cast<size_t>(output)])),
          text(vocab, active->request.stops, active->request.spelled_tokens),
          name_space(name_space_of(adapters(), active->request.salt)) {}

    int n_tokens() const { return static_cast<int>(tokens.size()); }
    int n_generated() const { return n_tokens() - n_prompt; }
    int n_left() const { return n_tokens() - n_computed; }
    // Tokens at the end of the prompt whose log-probabilities are still to come.
    int n_unscored() const {
        return request().n_scored > 0 ? request().n_scored - static_cast<int>(unpublished.size()) : 0;
    }
    // Tokens that need not be computed if memory has them; what follows must give logits.
    int n_shareable() const { return n_tokens() - n_unscored() - 1; }
    // Whether the row at `position` must give logits.
    bool has_output(int position) const {
        return position == n_tokens() - 1 || position + 1 >= n_tokens() - n_unscored();
    }
    const Request& request() const { return active->request; }
    const AdapterSet* adapters() const { return request().adapters.get(); }

    std::shared_ptr<ActiveRequest> active;
    int index;
    std::vector<Token> tokens; // the prompt, then what was generated
    int n_prompt;
    std::unique_ptr<RowSampler> sampler;
    OutputText text;
    std::string name_space; // of its prefixes: others with the same salt and adapters share them
    Phase phase = Phase::waiting;
    SequenceId id = -1;
    int n_computed = 0;
    int snapshot_at = 0;          // prefill stops here once, to keep the state for others
    uint64_t order = 0;           // of admission
    int n_faults = 0;             // failed steps it took part in, until it is past where they failed
    int fault_end = 0;            // so many tokens would have been computed then
    bool is_suspect = false;      // runs alone until it is past that
    uint64_t n_turn = 0;          // the step in which its output had a row last
    bool has_seen_prompt = false; // its sampler was shown the prompt
    bool was_admitted = false;
    bool was_recalled = false;      // its prefix was looked for in what was evicted
    bool is_processing = false;     // its logits are with the processors
    std::vector<float> raw_logits;  // those, as the model gave them, if log-probabilities are asked for
    int n_processed = 0;            // of the generated tokens, those that the processors know
    std::string unpublished_text;   // of an output that is not streamed
    std::vector<Token> unpublished; // tokens whose text waits for more
    std::vector<TokenLogprobs> unpublished_logprobs;
    Clock::time_point last_token;
};

} // namespace inllama
