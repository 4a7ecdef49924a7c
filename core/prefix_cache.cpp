#include "core/prefix_cache.h"

#include "core/prefix_node.h"

#include <algorithm>
#include <functional>

namespace inllama {

PrefixCache::PrefixCache(Decoder& decoder, bool is_enabled, PrefixStore* store)
    : decoder_(decoder), is_enabled_(is_enabled && decoder.traits().memory != MemoryKind::whole),
      store_(is_enabled_ && !decoder.traits().identity.empty() ? store : nullptr) {
    clear();
}

PrefixCache::~PrefixCache() = default;

void PrefixCache::clear() {
    const DecoderTraits& traits = decoder_.traits();
    decoder_.clear();
    roots_.clear();
    n_used_ = 0;
    ends_.assign(static_cast<size_t>(traits.n_ids), nullptr);
    free_run_ids_.clear();
    free_cache_ids_.clear();
    // Taken from the back: low ids first.
    for (SequenceId id = traits.n_ids - 1; id >= 0; id--) {
        (is_run(id) ? free_run_ids_ : free_cache_ids_).push_back(id);
    }
}

PrefixCache::Node& PrefixCache::root(const std::string& name_space) {
    std::unique_ptr<Node>& found = roots_[name_space];
    if (!found) {
        found = std::make_unique<Node>();
    }
    return *found;
}

const PrefixCache::Node* PrefixCache::find_root(const std::string& name_space) const {
    const auto found = roots_.find(name_space);
    return found == roots_.end() ? nullptr : found->second.get();
}

PrefixCache::Place PrefixCache::walk(const Node& root, const std::vector<Token>& tokens, int limit) {
    Place best{const_cast<Node*>(&root), 0, 0};
    // Two sequences may have computed the same tokens, so several children can begin alike.
    const std::function<void(const Node&)> descend = [&](const Node& node) {
        for (const auto& child : node.children) {
            const auto begin = tokens.begin() + node.end;
            const auto end = tokens.begin() + std::min(limit, child->end);
            const auto stop = std::mismatch(begin, end, child->tokens.begin()).first;
            const int n_inside = static_cast<int>(stop - begin);
            if (node.end + n_inside > best.depth) {
                best = {child.get(), n_inside, node.end + n_inside};
            }
            if (n_inside == static_cast<int>(child->tokens.size())) {
                descend(*child);
            }
        }
    };
    if (limit > 0) {
        descend(root);
    }
    return best;
}

SequenceId PrefixCache::covering_id(const Node& node, int n) const {
    const bool is_window = decoder_.traits().memory == MemoryKind::window;
    SequenceId found = -1;
    for (const SequenceId id : node.ids) {
        const Position oldest = is_window ? decoder_.pos_min(id) : 0;
        // What the next position will look at.
        const bool has_window = oldest <= std::max(0, n - decoder_.traits().n_window + 1);
        if (has_window && (found < 0 || is_run(found))) {
            found = id;
        }
    }
    for (const auto& child : node.children) {
        if (found >= 0) {
            break;
        }
        found = covering_id(*child, n);
    }
    return found;
}

PrefixCache::Source PrefixCache::source(const Node& root, const std::vector<Token>& tokens, int limit) const {
    const bool needs_snapshot = decoder_.traits().memory == MemoryKind::recurrent;
    Place place = walk(root, tokens, limit);
    while (place.depth > 0) {
        const bool is_whole_node = place.n_inside == static_cast<int>(place.node->tokens.size());
        SequenceId id = -1;
        if (!needs_snapshot) {
            id = covering_id(*place.node, place.depth);
        } else if (is_whole_node && !place.node->ids.empty()) {
            id = place.node->ids.front();
        }
        if (id >= 0) {
            return {place, id, place.depth};
        }
        Node* parent = place.node->parent;
        place = {parent, static_cast<int>(parent->tokens.size()), parent->end};
    }
    return {place, -1, 0};
}

bool PrefixCache::is_in_use(const Node& node) const {
    return std::any_of(node.ids.begin(), node.ids.end(), [&](SequenceId id) { return is_run(id); }) ||
           std::any_of(node.children.begin(), node.children.end(),
                       [&](const auto& child) { return is_in_use(*child); });
}

PrefixCache::Match PrefixCache::match(const std::string& name_space, const std::vector<Token>& tokens,
                                      int limit) const {
    const Node* root = is_enabled_ ? find_root(name_space) : nullptr;
    if (root == nullptr) {
        return {};
    }
    const Source found = source(*root, tokens, limit);
    Match match{found.n, 0};
    int end = found.n;
    for (const Node* node = found.place.node; node != nullptr && end > 0 && !is_in_use(*node);
         node = node->parent) {
        const int begin = node->end - static_cast<int>(node->tokens.size());
        match.n_unused += end - begin;
        end = begin;
    }
    return match;
}

int PrefixCache::known(const std::string& name_space, const std::vector<Token>& tokens, int limit) const {
    const Node* root = is_enabled_ ? find_root(name_space) : nullptr;
    return root == nullptr ? 0 : walk(*root, tokens, limit).depth;
}

PrefixCache::Node& PrefixCache::split(Node& node, int n_inside) {
    auto& siblings = node.parent->children;
    const auto slot = std::find_if(siblings.begin(), siblings.end(),
                                   [&](const auto& child) { return child.get() == &node; });
    auto upper = std::make_unique<Node>();
    upper->parent = node.parent;
    upper->tokens.assign(node.tokens.begin(), node.tokens.begin() + n_inside);
    upper->end = node.parent->end + n_inside;
    upper->last_use = node.last_use;
    node.tokens.erase(node.tokens.begin(), node.tokens.begin() + n_inside);
    node.parent = upper.get();
    upper->children.push_back(std::move(*slot));
    *slot = std::move(upper);
    return **slot;
}

PrefixCache::Opened PrefixCache::open(const std::string& name_space, const std::vector<Token>& tokens,
                                      int limit) {
    Node* node = &root(name_space);
    const Source from = is_enabled_ ? source(*node, tokens, limit) : Source{};
    const SequenceId id = free_run_ids_.back();
    if (n_used_ == 0) {
        // The same cells for whoever comes first: results do not depend on what was there before.
        decoder_.clear();
    }
    if (from.id >= 0) {
        decoder_.copy(from.id, id, from.n);
        const bool is_inside = from.place.n_inside < static_cast<int>(from.place.node->tokens.size());
        node = is_inside ? &split(*from.place.node, from.place.n_inside) : from.place.node;
    }
    free_run_ids_.pop_back();
    node->ids.push_back(id);
    ends_[static_cast<size_t>(id)] = node;
    touch(node);
    return {id, from.n};
}

void PrefixCache::touch(Node* node) {
    clock_++;
    for (; node != nullptr; node = node->parent) {
        node->last_use = clock_;
    }
}

void PrefixCache::append(SequenceId run, const Token* tokens, int n) {
    Node* node = ends_[static_cast<size_t>(run)];
    const bool is_private = node->parent != nullptr && node->children.empty() && node->ids.size() == 1;
    if (!is_private) {
        auto child = std::make_unique<Node>();
        child->parent = node;
        child->end = node->end;
        child->last_use = node->last_use;
        child->ids.push_back(run);
        node->ids.erase(std::find(node->ids.begin(), node->ids.end(), run));
        node->children.push_back(std::move(child));
        node = node->children.back().get();
        ends_[static_cast<size_t>(run)] = node;
    }
    node->tokens.insert(node->tokens.end(), tokens, tokens + n);
    node->end += n;
    n_used_ += n;
}

int PrefixCache::length(SequenceId run) const {
    return ends_[static_cast<size_t>(run)]->end;
}

void PrefixCache::prune(Node* node) {
    while (node->ids.empty() && node->children.empty()) {
        Node* parent = node->parent;
        if (parent == nullptr) {
            const auto root = std::find_if(roots_.begin(), roots_.end(),
                                           [&](const auto& entry) { return entry.second.get() == node; });
            roots_.erase(root);
            return;
        }
        n_used_ -= static_cast<int>(node->tokens.size());
        auto& siblings = parent->children;
        siblings.erase(std::find_if(siblings.begin(), siblings.end(),
                                    [&](const auto& child) { return child.get() == node; }));
        node = parent;
    }
}

void PrefixCache::release(SequenceId id) {
    Node* node = ends_[static_cast<size_t>(id)];
    ends_[static_cast<size_t>(id)] = nullptr;
    node->ids.erase(std::find(node->ids.begin(), node->ids.end(), id));
    decoder_.remove(id, 0);
    std::vector<SequenceId>& free_ids = is_run(id) ? free_run_ids_ : free_cache_ids_;
    free_ids.insert(std::upper_bound(free_ids.begin(), free_ids.end(), id, std::greater<>()), id);
    prune(node);
}

PrefixCache::Node* PrefixCache::oldest_leaf(const Node* except) const {
    // Only an attention id is of no use once others cover its node.
    const bool may_be_inner = decoder_.traits().memory != MemoryKind::attention;
    Node* oldest = nullptr;
    for (size_t id = static_cast<size_t>(decoder_.traits().n_run_ids); id < ends_.size(); id++) {
        Node* node = ends_[id];
        if (node == nullptr || node == except || (!may_be_inner && !node->children.empty())) {
            continue;
        }
        const bool is_running =
            std::any_of(node->ids.begin(), node->ids.end(), [&](SequenceId other) { return is_run(other); });
        if (!is_running && (oldest == nullptr || node->last_use < oldest->last_use)) {
            oldest = node;
        }
    }
    return oldest;
}

void PrefixCache::evict(Node& leaf) {
    const int n_before = n_used_;
    while (leaf.ids.size() > 1) {
        release(leaf.ids.back());
    }
    const SequenceId id = leaf.ids.front();
    store(leaf, id);
    Node* parent = leaf.parent;
    const bool is_parent_covered =
        parent->parent == nullptr || parent->children.size() > 1 || !parent->ids.empty();
    if (is_parent_covered || !can_trim()) {
        release(id);
    } else {
        // The end goes first: what comes before it may be the beginning of other prompts.
        decoder_.remove(id, parent->end);
        leaf.ids.clear();
        parent->ids.push_back(id);
        ends_[static_cast<size_t>(id)] = parent;
        prune(&leaf);
    }
    n_evicted_ += static_cast<uint64_t>(n_before - n_used_);
}

bool PrefixCache::evict_one() {
    Node* leaf = oldest_leaf(nullptr);
    if (leaf != nullptr) {
        evict(*leaf);
    }
    return leaf != nullptr;
}

bool PrefixCache::make_room(int n) {
    while (n_free() < n) {
        if (!evict_one()) {
            return false;
        }
    }
    return true;
}

SequenceId PrefixCache::take_cache_id(const Node* except) {
    while (free_cache_ids_.empty()) {
        Node* leaf = oldest_leaf(except);
        if (leaf == nullptr) {
            return -1;
        }
        evict(*leaf);
    }
    const SequenceId id = free_cache_ids_.back();
    free_cache_ids_.pop_back();
    return id;
}

void PrefixCache::drop_covered(Node& node) {
    for (Node* above = node.parent; above != nullptr; above = above->parent) {
        for (size_t i = above->ids.size(); i-- > 0;) {
            if (!is_run(above->ids[i])) {
                release(above->ids[i]);
            }
        }
    }
}

void PrefixCache::snapshot(SequenceId run) {
    Node* node = ends_[static_cast<size_t>(run)];
    const bool is_kept =
        std::any_of(node->ids.begin(), node->ids.end(), [&](SequenceId id) { return !is_run(id); });
    if (!is_enabled_ || is_kept || node->parent == nullptr) {
        return;
    }
    const SequenceId id = take_cache_id(node);
    if (id >= 0) {
        decoder_.copy(run, id, node->end);
        node->ids.push_back(id);
        ends_[static_cast<size_t>(id)] = node;
    }
}

void PrefixCache::close(SequenceId run, bool keep) {
    Node* node = ends_[static_cast<size_t>(run)];
    const bool is_attention = decoder_.traits().memory == MemoryKind::attention;
    const bool is_covered = is_attention && (!node->children.empty() || node->ids.size() > 1);
    touch(node);
    if (keep && !is_covered) {
        snapshot(run);
        if (is_attention && node->ids.size() > 1) {
            drop_covered(*node);
        }
    }
    release(run);
}

int PrefixCache::n_evictable() const {
    int n = 0;
    const std::function<bool(const Node&)> count = [&](const Node& node) {
        bool in_use =
            std::any_of(node.ids.begin(), node.ids.end(), [&](SequenceId id) { return is_run(id); });
        for (const auto& child : node.children) {
            in_use = count(*child) || in_use;
        }
        n += in_use ? 0 : static_cast<int>(node.tokens.size());
        return in_use;
    };
    for (const auto& [name_space, root] : roots_) {
        count(*root);
    }
    return n;
}

int PrefixCache::n_cached_sequences() const {
    return decoder_.traits().n_ids - decoder_.traits().n_run_ids - static_cast<int>(free_cache_ids_.size());
}

} // namespace inllama
