// What is asked of an engine about what its memory holds.
#pragma once

#include "core/adapter_set.h"
#include "core/event_queue.h"
#include "core/saved_prefix.h"
#include "core/types.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace inllama {

// Saving: the longest prefix of `tokens` that memory holds. Loading: `prefix`.
struct StateRequest {
    std::vector<Token> tokens;
    std::string salt;
    std::shared_ptr<const AdapterSet> adapters;
    std::shared_ptr<const SavedPrefix> prefix; // null: save
    std::shared_ptr<EventQueue> events;        // one event: the bytes, and how many tokens; or the error
};

// A request that was submitted.
struct ActiveState {
    uint64_t id = 0;
    StateRequest request;
    std::shared_ptr<RequestControl> control;
};

} // namespace inllama
