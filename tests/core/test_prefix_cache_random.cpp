#include "tests/core/cache_model.h"
#include "tests/core/check.h"

#include <random>

using namespace inllama;

namespace {

const MemoryKind kKinds[] = {MemoryKind::attention, MemoryKind::window, MemoryKind::recurrent};

// Random operations on a cache, each compared with the model.
class Trial {
  public:
    Trial(MemoryKind kind, int n_cells, uint32_t seed) : with_(kind, n_cells), random_(seed) {}

    void step() {
        const uint32_t what = one_of(100);
        if (what < 30) {
            open();
        } else if (what < 68 && !runs_.empty()) {
            append();
        } else if (what < 86 && !runs_.empty()) {
            close();
        } else if (what < 92 && !runs_.empty()) {
            with_.cache.snapshot(any_run()->first);
        } else if (what < 97) {
            evict();
        } else if (what == 97 && one_of(20) == 0) {
            with_.cache.clear();
            runs_.clear();
            CHECK_EQ(with_.cache.n_used(), 0);
        }
        check_account();
    }

    void end() {
        while (!runs_.empty()) {
            close();
        }
        while (with_.cache.evict_one()) {
        }
        CHECK_EQ(with_.cache.n_used(), 0);
        CHECK_EQ(memory().n_cells_used(), 0);
        CHECK_EQ(with_.cache.n_cached_sequences(), 0);
        std::set<SequenceId> ids;
        while (with_.cache.has_run_id()) {
            ids.insert(with_.open({1}));
        }
        CHECK_EQ(static_cast<int>(ids.size()), memory().traits().n_run_ids);
        for (const SequenceId id : ids) {
            with_.close(id, false);
        }
        const int n_cache_ids = memory().traits().n_ids - memory().traits().n_run_ids;
        for (int i = 0; i < n_cache_ids; i++) {
            with_.compute({i, 1});
        }
        CHECK_EQ(with_.cache.n_cached_sequences(), n_cache_ids);
    }

    int n_shared = 0, n_exact = 0, n_evicted = 0, n_trimmed = 0, n_refused = 0;

  private:
    Memory& memory() { return with_.memory; }
    uint32_t one_of(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
    int below(uint32_t n) { return static_cast<int>(one_of(n)); }
    std::map<SequenceId, std::vector<Token>>::iterator any_run() {
        return std::next(runs_.begin(), below(static_cast<uint32_t>(runs_.size())));
    }

    void open() {
        if (!with_.cache.has_run_id()) {
            CHECK_EQ(static_cast<int>(runs_.size()), memory().traits().n_run_ids);
            return;
        }
        std::vector<Token> tokens =
            joined(tokens_of(below(30), one_of(3)), tokens_of(below(9), 9 + one_of(4)));
        if (one_of(3) == 0) {
            // What somebody has computed, a few tokens longer or shorter.
            tokens = memory().text(one_of(static_cast<uint32_t>(memory().cells.size())));
            tokens.resize(tokens.size() - std::min(tokens.size(), size_t{one_of(4)}));
            tokens = joined(tokens, tokens_of(below(4), 20));
        }
        tokens.push_back(below(250));
        const std::string space(one_of(3), 'x');
        const int limit = std::max(0, static_cast<int>(tokens.size()) - 1 - below(2));
        check_match(space, tokens, limit);
        const int n_match = with_.cache.match(space, tokens, limit).n;
        const SequenceId id = with_.open(tokens, space, static_cast<int>(tokens.size()) - limit);
        CHECK_EQ(with_.n_cached, n_match);
        CHECK(id >= 0 && memory().is_run(static_cast<size_t>(id)) && runs_.count(id) == 0);
        tokens.resize(static_cast<size_t>(with_.n_cached));
        runs_[id] = tokens;
    }

    void check_match(const std::string& space, const std::vector<Token>& tokens, int limit) {
        const std::vector<Token> seen(tokens.begin(), tokens.begin() + limit);
        const PrefixCache::Match match = with_.cache.match(space, tokens, limit);
        const auto n_match = static_cast<size_t>(match.n);
        const std::set<size_t> running = memory().cells_of(true);
        size_t longest = 0;
        size_t known = 0;
        bool is_there = n_match == 0 && match.n_unused == 0;
        for (size_t id = 0; id < memory().cells.size(); id++) {
            const size_t n = memory().n_common(id, space, seen);
            known = std::max(known, n);
            longest = n > 0 && memory().can_share(id, n) ? std::max(longest, n) : longest;
            if (n_match > 0 && n >= n_match && memory().can_share(id, n_match)) {
                const auto& cells = memory().cells[id];
                is_there = is_there || match.n_unused == std::count_if(cells.begin(), cells.begin() + match.n,
                                                                       [&](size_t cell) {
                                                                           return running.count(cell) == 0;
                                                                       });
            }
        }
        CHECK(is_there);
        CHECK(n_match <= longest);
        CHECK_EQ(with_.cache.known(space, tokens, limit), static_cast<int>(known));
        if (!memory().has_twins()) {
            CHECK_EQ(n_match, longest);
            n_exact++;
        }
        n_shared += n_match > 0 ? 1 : 0;
    }

    void append() {
        auto& [id, tokens] = *any_run();
        const int n = 1 + below(6);
        const int n_possible = with_.cache.n_free() + with_.cache.n_evictable();
        const bool has_room = with_.cache.make_room(n);
        CHECK_EQ(has_room, n <= n_possible);
        n_refused += has_room ? 0 : 1;
        if (has_room) {
            CHECK(with_.cache.n_free() >= n);
            // Often the same as others compute: twins.
            const std::vector<Token> more = tokens_of(n, one_of(5));
            with_.append(id, more);
            tokens.insert(tokens.end(), more.begin(), more.end());
        }
    }

    void close() {
        const auto run = any_run();
        const auto at = static_cast<size_t>(run->first);
        const std::string space = memory().spaces[at];
        const int n_cache_ids = memory().traits().n_ids - memory().traits().n_run_ids;
        const bool is_kept = one_of(4) != 0;
        const bool has_id = with_.cache.n_cached_sequences() < n_cache_ids;
        with_.close(run->first, is_kept);
        if (is_kept && has_id) {
            const auto n = static_cast<int>(run->second.size());
            CHECK_EQ(with_.cache.known(space, run->second, n), n);
        }
        runs_.erase(run);
    }

    void evict() {
        const std::set<size_t> expected = memory().least_recently_used();
        const auto before = memory().cells;
        const int n_used = with_.cache.n_used();
        const uint64_t n_before = with_.cache.n_evicted();
        CHECK_EQ(with_.cache.evict_one(), !expected.empty());
        CHECK_EQ(with_.cache.n_evicted() - n_before, static_cast<uint64_t>(n_used - with_.cache.n_used()));
        int n_changed = 0;
        for (size_t id = 0; id < before.size(); id++) {
            if (memory().cells[id] != before[id]) {
                n_changed++;
                n_trimmed += memory().cells[id].empty() ? 0 : 1;
                CHECK_EQ(expected.count(id), size_t{1});
            }
        }
        CHECK_EQ(n_changed, expected.empty() ? 0 : 1);
        n_evicted += n_changed;
    }

    void check_account() {
        const auto n_all = static_cast<int>(memory().cells_of(false).size());
        CHECK_EQ(with_.cache.n_used(), n_all);
        CHECK_EQ(memory().n_cells_used(), n_all);
        CHECK_EQ(with_.cache.n_evictable(), n_all - static_cast<int>(memory().cells_of(true).size()));
        int n_kept = 0;
        for (size_t id = 0; id < memory().cells.size(); id++) {
            const auto& cells = memory().cells[id];
            if (!memory().is_run(id)) {
                n_kept += cells.empty() ? 0 : 1;
                CHECK(std::all_of(cells.begin(), cells.end(), [&](size_t cell) {
                    return memory().made[cell].space == memory().made[cells[0]].space;
                }));
                continue;
            }
            const auto run = runs_.find(static_cast<SequenceId>(id));
            CHECK(memory().text(id) == (run == runs_.end() ? std::vector<Token>{} : run->second));
            CHECK(std::all_of(cells.begin(), cells.end(),
                              [&](size_t cell) { return memory().made[cell].space == memory().spaces[id]; }));
        }
        CHECK_EQ(with_.cache.n_cached_sequences(), n_kept);
    }

    Cached with_;
    std::mt19937 random_;
    std::map<SequenceId, std::vector<Token>> runs_; // what each run id has computed
};

} // namespace

TEST("random operations on any memory give what a list of sequences gives, and leave nothing behind") {
    for (const MemoryKind kind : kKinds) {
        int n_shared = 0, n_exact = 0, n_evicted = 0, n_trimmed = 0, n_refused = 0;
        for (uint32_t seed = 0; seed < 6; seed++) {
            Trial trial(kind, 60 + 60 * static_cast<int>(seed), seed);
            for (int i = 0; i < 3000; i++) {
                trial.step();
            }
            trial.end();
            n_shared += trial.n_shared;
            n_exact += trial.n_exact;
            n_evicted += trial.n_evicted;
            n_trimmed += trial.n_trimmed;
            n_refused += trial.n_refused;
        }
        CHECK(n_shared > 300 && n_exact > 1000 && n_evicted > 1000 && n_refused > 10);
        CHECK_EQ(n_trimmed > 0, kind == MemoryKind::attention);
    }
}
