// Prefixes that memory had no room for, kept in main memory and in files.
#pragma once

#include "core/saved_prefix.h"
#include "core/types.h"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace inllama {

struct PrefixStoreParams {
    uint64_t max_memory_bytes = 0;
    std::string folder; // empty: no files
    uint64_t max_file_bytes = 0;
    int least_tokens = 64; // what is shorter is computed again as fast
    bool can_trim = true;  // a state has those of its beginnings in it
};

// Of both, what was used least recently goes first. Files are written by a thread of the store's own and
// survive it: one that is opened on the same folder finds them. A file of another decoder, or a damaged one,
// is left alone.
//
// Threads: one at a time, the engine's; the thread that writes is inside.
class PrefixStore {
  public:
    // Reads the heads of the files that are there. Throws StateError if the folder cannot be made or read.
    PrefixStore(const PrefixStoreParams& params, std::string identity);
    // Waits until everything is written.
    ~PrefixStore();
    PrefixStore(const PrefixStore&) = delete;
    PrefixStore& operator=(const PrefixStore&) = delete;

    // Whether there is any place for a prefix of so many tokens.
    bool wants(size_t n_tokens) const;
    // Whether a kept prefix begins with all of `tokens`.
    bool covers(const std::string& name_space, const std::vector<Token>& tokens) const;
    void put(SavedPrefix prefix);

    // Forgets a prefix that could not be loaded.
    void forget(const SavedPrefix& prefix);
    // Waits until what there is to write is written.
    void wait_for_files();

    // What find() looks for among the first `limit` tokens: more than `n_known` of them, in a prefix of at
    // most `n_most`; with `is_whole` only one of which all is a part of them.
    struct Wanted {
        int limit;
        int n_known;
        int n_most;
        bool is_whole;
    };
    struct Found {
        std::shared_ptr<const SavedPrefix> prefix;
        int n_common = 0;
    };
    // The prefix that has most of the tokens. Reads it, if it is in a file.
    Found find(const std::string& name_space, const std::vector<Token>& tokens, const Wanted& wanted);

    uint64_t n_memory_bytes() const { return n_memory_bytes_; }
    uint64_t n_file_bytes() const { return n_file_bytes_; }
    size_t n_entries() const { return entries_.size(); }

  private:
    struct Entry {
        std::string name_space;
        std::vector<Token> tokens;
        std::shared_ptr<const SavedPrefix> prefix; // null: only in the file
        std::string file;                          // empty: none
        uint64_t n_bytes = 0;
    };
    using Entries = std::list<Entry>; // most recently used first
    struct Writing {
        std::shared_ptr<const SavedPrefix> prefix;
        std::string file;
    };

    void read_folder();
    std::shared_ptr<const SavedPrefix> load(const Entry& entry);
    void drop_covered(const SavedPrefix& prefix);
    void shrink_memory();
    void shrink_files();
    void erase(Entries::iterator entry);
    void write_later(const std::shared_ptr<const SavedPrefix>& prefix, const std::string& file);
    bool has_room_to_write(uint64_t n_bytes);
    void run();

    PrefixStoreParams params_;
    std::string identity_;
    Entries entries_;
    uint64_t n_memory_bytes_ = 0;
    uint64_t n_file_bytes_ = 0;

    std::mutex mutex_; // what follows
    std::condition_variable changed_;
    std::deque<Writing> to_write_;
    uint64_t n_queued_bytes_ = 0; // of their states
    bool is_closing_ = false;
    std::thread thread_;
};

} // namespace inllama
