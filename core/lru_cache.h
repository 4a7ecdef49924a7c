// A bounded cache: what was used least recently goes first.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace inllama {

// Values by text. Any thread.
//
// It holds at most `max_cost` in sum; a value that costs more alone is not kept. `Value` is copied, so it is
// a shared pointer or small.
template<class Value> class LruCache {
  public:
    explicit LruCache(size_t max_cost) : max_cost_(max_cost) {}

    std::optional<Value> find(const std::string& key) {
        const std::lock_guard lock(mutex_);
        const auto found = index_.find(key);
        if (found == index_.end()) {
            return std::nullopt;
        }
        entries_.splice(entries_.begin(), entries_, found->second);
        return found->second->value;
    }

    // Puts `value` in, in place of an older one.
    void insert(const std::string& key, Value value, size_t cost) {
        const std::lock_guard lock(mutex_);
        erase(key);
        if (cost > max_cost_) {
            return;
        }
        entries_.push_front({key, std::move(value), cost});
        index_[entries_.front().key] = entries_.begin();
        cost_ += cost;
        while (cost_ > max_cost_) {
            erase(entries_.back().key);
        }
    }

    size_t size() const {
        const std::lock_guard lock(mutex_);
        return entries_.size();
    }

  private:
    struct Entry {
        std::string key;
        Value value;
        size_t cost;
    };

    void erase(std::string_view key) {
        const auto found = index_.find(key);
        if (found != index_.end()) {
            const auto entry = found->second;
            index_.erase(found); // first: its key is in the entry
            cost_ -= entry->cost;
            entries_.erase(entry);
        }
    }

    const size_t max_cost_;
    mutable std::mutex mutex_;
    std::list<Entry> entries_; // most recently used first
    std::unordered_map<std::string_view, typename std::list<Entry>::iterator> index_;
    size_t cost_ = 0;
};

} // namespace inllama
