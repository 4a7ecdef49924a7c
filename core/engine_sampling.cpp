// From the logits of a step to tokens, directly or by way of processors.
#include "core/engine_loop.h"
#include "core/logits.h"
#include "core/logprobs.h"

#include <algorithm>
#include <exception>
#include <limits>

namespace inllama {

namespace {

// What is wrong with a row that comes from a processor; null if nothing is.
const char* problem_of(const std::vector<float>& logits) {
    const Argmax largest = argmax(logits.data(), logits.size());
    if (largest.has_nan) {
        return "a logits processor returned a number that is none (NaN); use -inf to exclude a token";
    }
    if (largest.value == std::numeric_limits<float>::infinity()) {
        return "a logits processor returned an infinite number; a large one is enough to choose a token";
    }
    if (largest.value == -std::numeric_limits<float>::infinity()) {
        return "a logits processor excluded every token; leave one that is not -inf";
    }
    return nullptr;
}

} // namespace

EngineLoop::Chosen EngineLoop::choose(Sequence& sequence, const float* logits, const float* raw) const {
    const auto n_vocab = static_cast<size_t>(decoder_.traits().n_vocab);
    const Request& request = sequence.request();
    Chosen chosen;
    try {
        const bool may_end = sequence.n_generated() >= request.min_tokens;
        chosen.token = sequence.sampler->choose(logits, n_vocab, may_end);
        if (request.n_logprobs >= 0) {
            chosen.logprobs = logprobs_of(raw, n_vocab, chosen.token, request.n_logprobs);
        }
    } catch (const Error& error) {
        chosen.error = std::make_unique<Error>(error);
    } catch (const std::exception& error) {
        chosen.error = std::make_unique<Error>(ErrorKind::EngineError, error.what());
    }
    return chosen;
}

void EngineLoop::score(const StepPlan& plan) {
    struct Scored {
        Sequence* sequence;
        const float* logits;
        Token token;
        TokenLogprobs logprobs;
    };
    std::vector<Scored> scored;
    for (const StepPart& part : plan.parts) {
        Sequence& sequence = *part.sequence;
        if (sequence.n_unscored() == 0) {
            continue;
        }
        for (int i = 0; i < part.n_rows; i++) {
            const auto next = static_cast<size_t>(sequence.n_computed + i + 1);
            const int row = part.first_row + i;
            if (plan.rows[static_cast<size_t>(row)].has_output && next < sequence.tokens.size()) {
                scored.push_back({&sequence, decoder_.logits(row), sequence.tokens[next], {}});
            }
        }
    }
    workers_.run(static_cast<int>(scored.size()), [&](int i) {
        Scored& one = scored[static_cast<size_t>(i)];
        const auto n_vocab = static_cast<size_t>(decoder_.traits().n_vocab);
        one.logprobs =
            logprobs_of(one.logits, n_vocab, one.token, std::max(0, one.sequence->request().n_logprobs));
    });
    for (Scored& one : scored) {
        one.sequence->unpublished.push_back(one.token);
        one.sequence->unpublished_logprobs.push_back(std::move(one.logprobs));
    }
}

void EngineLoop::sample(const std::vector<const StepPart*>& parts) {
    // An error of one output ends the others of its request too, so sequences may go while this runs.
    std::vector<std::shared_ptr<ActiveRequest>> owners;
    std::vector<const float*> rows;
    std::vector<Chosen> chosen(parts.size());
    for (const StepPart* part : parts) {
        owners.push_back(part->sequence->active);
        rows.push_back(decoder_.logits(part->output_row));
    }
    workers_.run(static_cast<int>(parts.size()), [&](int i) {
        const auto at = static_cast<size_t>(i);
        if (!owners[at]->request.processors && owners[at]->request.n_scored == 0) {
            chosen[at] = choose(*parts[at]->sequence, rows[at], rows[at]);
        }
    });
    const Clock::time_point now = Clock::now();
    for (size_t i = 0; i < parts.size(); i++) {
        if (active_.count(owners[i]->id) == 0) {
            continue;
        }
        if (owners[i]->request.n_scored > 0) {
            finish(*parts[i]->sequence, {}, FinishReason::length);
        } else if (owners[i]->request.processors) {
            send_to_processors(*parts[i]->sequence, rows[i]);
        } else {
            take(*parts[i]->sequence, std::move(chosen[i]), now);
        }
    }
}

void EngineLoop::take(Sequence& sequence, Chosen chosen, Clock::time_point now) {
    if (chosen.error) {
        fail(*sequence.active, *chosen.error);
    } else {
        accept(sequence, chosen.token, std::move(chosen.logprobs), now);
    }
}

void EngineLoop::send_to_processors(Sequence& sequence, const float* logits) {
    const auto n_vocab = static_cast<size_t>(decoder_.traits().n_vocab);
    Event event;
    event.output = sequence.index;
    event.tokens.assign(sequence.tokens.end() - (sequence.n_generated() - sequence.n_processed),
                        sequence.tokens.end());
    event.values = std::make_shared<std::vector<float>>(logits, logits + n_vocab);
    sequence.n_processed = sequence.n_generated();
    if (sequence.request().n_logprobs >= 0) {
        sequence.raw_logits = *event.values;
    }
    sequence.is_processing = true;
    ActiveRequest& active = *sequence.active;
    post(active, active.request.processors, std::move(event));
}

void EngineLoop::resume(ProcessedRow row) {
    const auto found = active_.find(row.request);
    if (found == active_.end()) {
        return;
    }
    const std::shared_ptr<ActiveRequest> request = found->second;
    for (Sequence* sequence : outputs_of(*request)) {
        if (sequence->index != row.output || !sequence->is_processing) {
            continue;
        }
        sequence->is_processing = false;
        if (row.error) {
            fail(*request, *row.error);
        } else if (const char* problem = problem_of(row.logits); problem != nullptr) {
            fail(*request, Error(ErrorKind::InvalidRequestError, problem));
        } else {
            take(*sequence, choose(*sequence, row.logits.data(), sequence->raw_logits.data()), Clock::now());
        }
        return;
    }
}

} // namespace inllama
