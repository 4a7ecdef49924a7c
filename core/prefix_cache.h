// What memory holds, as a tree: every prefix that sequences have in common is there once.
#pragma once

#include "core/decoder.h"
#include "core/prefix_store.h"
#include "core/types.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace inllama {

// Owns the sequence ids of a decoder and keeps account of its cells.
//
// A node is a run of cells; the path to it spells a prefix. Each id ends at a node and covers all cells on
// its path. Run ids belong to sequences that grow; cache ids keep what ended sequences left. Invariants:
// 1. n_used() is the number of cells that memory uses: the sum over all nodes.
// 2. Every node but a root has an id that ends at it or below.
// 3. Prefixes of different namespaces share nothing.
// Threads: one at a time, the engine's.
class PrefixCache {
  public:
    // Without `is_enabled` nothing is shared and nothing is kept. What is evicted goes to `store`, if there
    // is one. The decoder and the store outlive the cache; the decoder is empty.
    PrefixCache(Decoder& decoder, bool is_enabled, PrefixStore* store = nullptr);
    ~PrefixCache();
    PrefixCache(const PrefixCache&) = delete;
    PrefixCache& operator=(const PrefixCache&) = delete;

    struct Match {
        int n = 0;        // positions that open() could share at this moment
        int n_unused = 0; // of those, cells that no running sequence uses: they count as evictable until then
    };
    // What open() would find for the first `limit` tokens.
    Match match(const std::string& name_space, const std::vector<Token>& tokens, int limit) const;
    // How many of the first `limit` tokens memory holds; more than match() where a snapshot is missing.
    int known(const std::string& name_space, const std::vector<Token>& tokens, int limit) const;

    struct Opened {
        SequenceId id;
        int n_cached; // positions it shares
    };
    // Gives a run id that shares the longest prefix of the first `limit` tokens. REQUIRES: has_run_id().
    Opened open(const std::string& name_space, const std::vector<Token>& tokens, int limit);
    // Notes that `n` tokens from `tokens` on were computed for a run id.
    void append(SequenceId run, const Token* tokens, int n);
    // Ends a run id. What it computed stays, to be evicted when there is need, or with !keep is forgotten.
    void close(SequenceId run, bool keep);
    // Keeps a run id's present state under a cache id, so that others can start from it. Does nothing if
    // there is no id for it, or memory needs none.
    void snapshot(SequenceId run);

    // Evicts the least recently used leaf. False if there is none.
    bool evict_one();
    // Evicts until `n` cells are free, least recently used first. False if that many cannot be had.
    bool make_room(int n);
    // Brings a prefix of the first `limit` tokens back from the store, if it has one that is at least
    // `n_more` longer than what memory holds, and memory has room.
    void recall(const std::string& name_space, const std::vector<Token>& tokens, int limit, int n_more);
    // What memory holds of the beginning of `tokens`; without tokens if that is nothing.
    SavedPrefix save(const std::string& name_space, const std::vector<Token>& tokens);
    // Keeps the first `n` tokens of a saved prefix. False: memory has no room for it, or refuses it. Of a
    // prefix that memory holds already nothing happens.
    bool load(const SavedPrefix& prefix, int n);
    // Puts every kept prefix into the store.
    void store_all();

    // Forgets everything, running sequences too; every id is free then.
    void clear();

    bool is_enabled() const { return is_enabled_; }
    bool has_run_id() const { return !free_run_ids_.empty(); }
    int length(SequenceId run) const;
    int n_used() const { return n_used_; }
    int n_free() const { return decoder_.traits().n_cells - n_used_; }
    // Cells of prefixes that no running sequence uses.
    int n_evictable() const;
    uint64_t n_evicted() const { return n_evicted_; }
    uint64_t n_recalled() const { return n_recalled_; }
    int n_cached_sequences() const;

  private:
    struct Node;
    struct Place {
        Node* node;   // the last one that matches
        int n_inside; // of its tokens
        int depth;    // tokens that match on the way to here
    };

    Node& root(const std::string& name_space);
    const Node* find_root(const std::string& name_space) const;
    static Place walk(const Node& root, const std::vector<Token>& tokens, int limit);
    // The place and id to copy from, with the number of positions; id -1 if there is none.
    struct Source {
        Place place;
        SequenceId id = -1;
        int n = 0;
    };
    Source source(const Node& root, const std::vector<Token>& tokens, int limit) const;
    SequenceId covering_id(const Node& node, int n) const;
    bool is_in_use(const Node& node) const;
    Node& split(Node& node, int n_inside);
    void touch(Node* node);
    void release(SequenceId id);
    void prune(Node* node);
    SequenceId take_cache_id(const Node* except);
    Node* oldest_leaf(const Node* except) const;
    void evict(Node& leaf);
    void drop_covered(Node& node);
    enum class Placed { kept, no_room, refused };
    Placed place(const SavedPrefix& prefix, int n);
    bool read_state(SequenceId id, const SavedPrefix& prefix);
    static std::vector<Token> path_of(const Node& node);
    const std::string& name_space_of(const Node& node) const;
    void store(const Node& node, SequenceId id);
    bool can_trim() const { return decoder_.traits().memory == MemoryKind::attention; }
    bool is_run(SequenceId id) const { return id < decoder_.traits().n_run_ids; }

    Decoder& decoder_;
    bool is_enabled_;
    PrefixStore* store_;
    std::map<std::string, std::unique_ptr<Node>> roots_; // by namespace
    std::vector<Node*> ends_;                            // by id; null: free
    // Each falls, so that the lowest one is taken first.
    std::vector<SequenceId> free_run_ids_;
    std::vector<SequenceId> free_cache_ids_;
    int n_used_ = 0;
    uint64_t n_evicted_ = 0;
    uint64_t n_recalled_ = 0;
    uint64_t clock_ = 0;
};

} // namespace inllama
