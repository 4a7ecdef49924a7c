// What is asked of an engine about texts: vectors, or scores.
#pragma once

#include "core/error.h"
#include "core/event_queue.h"
#include "core/request.h"
#include "core/types.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace inllama {

// What is done with a vector after it was cut to its first values.
enum class Normalization : uint8_t {
    none,
    l2,     // of length 1
    max_abs // so that the largest value is 1 or -1
};

struct EmbedRequest {
    std::string embedder;      // one that the engine was given
    std::vector<Token> tokens; // of all texts, one after the other
    std::vector<size_t> ends;  // of each text in them; every text has tokens
    int n_dimensions = 0;      // first values of each vector that are kept; 0: all
    Normalization normalization = Normalization::none;
    int priority = 0; // the larger, the earlier
    std::optional<Clock::time_point> deadline;
    std::shared_ptr<EventQueue> events; // one event: all vectors, or the error
};

// Scales the `n` values in place; nothing happens to a vector of zeros.
void normalize(float* values, size_t n, Normalization normalization);

} // namespace inllama
