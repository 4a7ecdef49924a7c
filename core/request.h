// What is asked of an engine.
#pragma once

#include "core/adapter_set.h"
#include "core/error.h"
#include "core/event_queue.h"
#include "core/row_sampler.h"
#include "core/types.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace inllama {

using Clock = std::chrono::steady_clock;

// Prefixes are shared by those with the same salt and the same adapters, null: none. The same in every
// process.
std::string name_space_of(const AdapterSet* adapters, const std::string& salt);

struct Request {
    std::vector<Token> prompt;                         // at least one token
    std::vector<std::unique_ptr<RowSampler>> samplers; // one per output, at least one
    int max_tokens = std::numeric_limits<int>::max();  // of each output
    int min_tokens = 0;                                // before these no token ends an output
    std::vector<std::string> stops;                    // texts that end an output
    std::vector<Token> stop_tokens;                    // ascending; tokens that do
    std::vector<Token> spelled_tokens;                 // ascending; control tokens that show in the text
    int priority = 0;                                  // the larger, the earlier
    std::optional<Clock::time_point> deadline;
    std::string salt;                           // prefixes are shared with requests of the same one only
    std::shared_ptr<const AdapterSet> adapters; // null: none
    // So many tokens at the end of the prompt are the output, with their log-probabilities; nothing is
    // generated then.
    int n_scored = 0;
    int n_logprobs = -1;        // likeliest tokens reported at each place; negative: not even the chosen one
    bool is_structured = false; // its samplers follow a structure
    bool has_sampler_grammar = false; // its samplers hold a grammar that no mask is made of
    bool is_streaming = true;         // otherwise each output comes whole, in one event
    int n_unread_max = 256;           // events that may wait for the consumer before the request pauses
    std::shared_ptr<EventQueue> events;
    // If there is one, each row of logits goes there, and the output waits until resume() brings it back.
    std::shared_ptr<EventQueue> processors;
};

// What became of a row of logits that a processor was given.
struct ProcessedRow {
    uint64_t request = 0;
    int output = 0;
    std::vector<float> logits;          // as many as there were
    std::shared_ptr<const Error> error; // the processor failed, and so does the request
};

} // namespace inllama
