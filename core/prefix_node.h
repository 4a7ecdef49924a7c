// A node of the prefix cache's tree; for its own files only.
#pragma once

#include "core/prefix_cache.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace inllama {

struct PrefixCache::Node {
    Node* parent = nullptr; // null: a root
    std::vector<std::unique_ptr<Node>> children;
    std::vector<Token> tokens;
    std::vector<SequenceId> ids; // sequences that end here
    int end = 0;                 // length of the path down to here
    uint64_t last_use = 0;
};

} // namespace inllama
