// Prefixes that leave memory as bytes, and come back.
#include "core/prefix_cache.h"

#include "core/error.h"
#include "core/prefix_node.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace inllama {

std::vector<Token> PrefixCache::path_of(const Node& node) {
    std::vector<Token> tokens(static_cast<size_t>(node.end));
    for (const Node* at = &node; at->parent != nullptr; at = at->parent) {
        std::copy(at->tokens.begin(), at->tokens.end(),
                  tokens.begin() + (at->end - static_cast<std::ptrdiff_t>(at->tokens.size())));
    }
    return tokens;
}

const std::string& PrefixCache::name_space_of(const Node& node) const {
    const Node* root = &node;
    while (root->parent != nullptr) {
        root = root->parent;
    }
    return std::find_if(roots_.begin(), roots_.end(),
                        [&](const auto& entry) { return entry.second.get() == root; })
        ->first;
}

void PrefixCache::store(const Node& node, SequenceId id) {
    if (store_ == nullptr || !store_->wants(static_cast<size_t>(node.end))) {
        return;
    }
    SavedPrefix prefix;
    prefix.name_space = name_space_of(node);
    prefix.tokens = path_of(node);
    if (store_->covers(prefix.name_space, prefix.tokens)) {
        return;
    }
    try {
        prefix.state = decoder_.save(id, node.end);
    } catch (const std::exception&) {
        return; // what is not stored is computed again
    }
    if (!prefix.state.empty()) {
        store_->put(std::move(prefix));
    }
}

void PrefixCache::store_all() {
    if (store_ == nullptr) {
        return;
    }
    // What was used last is stored last, and so stays longest.
    std::vector<std::pair<uint64_t, SequenceId>> kept;
    for (size_t id = static_cast<size_t>(decoder_.traits().n_run_ids); id < ends_.size(); id++) {
        const Node* node = ends_[id];
        if (node != nullptr && (!can_trim() || node->children.empty())) {
            kept.emplace_back(node->last_use, static_cast<SequenceId>(id));
        }
    }
    std::sort(kept.begin(), kept.end());
    for (const auto& [last_use, id] : kept) {
        store_->wait_for_files();
        store(*ends_[static_cast<size_t>(id)], id);
    }
}

void PrefixCache::recall(const std::string& name_space, const std::vector<Token>& tokens, int limit,
                         int n_more) {
    if (store_ == nullptr || store_->n_entries() == 0) {
        return;
    }
    const int n_known = match(name_space, tokens, limit).n;
    const PrefixStore::Wanted wanted{limit, n_known + n_more - 1, decoder_.traits().n_cells, !can_trim()};
    const PrefixStore::Found found = store_->find(name_space, tokens, wanted);
    if (found.prefix == nullptr) {
        return;
    }
    switch (place(*found.prefix, found.n_common)) {
    case Placed::kept:
        n_recalled_ += static_cast<uint64_t>(found.n_common);
        return;
    case Placed::no_room:
        return; // there may be some for the next one
    case Placed::refused:
        store_->forget(*found.prefix);
        return;
    }
}

SavedPrefix PrefixCache::save(const std::string& name_space, const std::vector<Token>& tokens) {
    SavedPrefix prefix;
    prefix.identity = decoder_.traits().identity;
    prefix.name_space = name_space;
    const Node* root = is_enabled_ && !prefix.identity.empty() ? find_root(name_space) : nullptr;
    if (root == nullptr) {
        return prefix;
    }
    const Source found = source(*root, tokens, static_cast<int>(tokens.size()));
    if (found.id < 0) {
        return prefix;
    }
    prefix.state = decoder_.save(found.id, found.n);
    if (!prefix.state.empty()) {
        prefix.tokens.assign(tokens.begin(), tokens.begin() + found.n);
    }
    return prefix;
}

bool PrefixCache::load(const SavedPrefix& prefix, int n) {
    return place(prefix, n) == Placed::kept;
}

bool PrefixCache::read_state(SequenceId id, const SavedPrefix& prefix) {
    try {
        return decoder_.load(id, prefix.state, static_cast<Position>(prefix.tokens.size()));
    } catch (const std::exception&) {
        return false;
    }
}

PrefixCache::Placed PrefixCache::place(const SavedPrefix& prefix, int n) {
    const auto n_all = static_cast<int>(prefix.tokens.size());
    n = can_trim() ? std::min(n, n_all) : n_all;
    if (!is_enabled_ || n == 0) {
        return Placed::refused;
    }
    if (match(prefix.name_space, prefix.tokens, n).n >= n) {
        return Placed::kept;
    }
    // All of it for a moment, even if only a part is kept. Nothing is evicted for what cannot have room.
    if (n_all > n_free() + n_evictable() || !make_room(n_all)) {
        return Placed::no_room;
    }
    const SequenceId id = take_cache_id(nullptr);
    if (id < 0) {
        return Placed::no_room;
    }
    if (!read_state(id, prefix)) {
        decoder_.remove(id, 0);
        free_cache_ids_.push_back(id);
        return Placed::refused;
    }
    if (n < n_all) {
        decoder_.remove(id, n);
    }
    Node& above = root(prefix.name_space);
    auto node = std::make_unique<Node>();
    node->parent = &above;
    node->tokens.assign(prefix.tokens.begin(), prefix.tokens.begin() + n);
    node->end = n;
    node->ids.push_back(id);
    ends_[static_cast<size_t>(id)] = node.get();
    n_used_ += n;
    touch(node.get());
    above.children.push_back(std::move(node));
    if (match(prefix.name_space, prefix.tokens, n).n < n) { // a window is there that nobody can go on from
        release(id);
        return Placed::refused;
    }
    return Placed::kept;
}

} // namespace inllama
