// A decoder that notes which cells each sequence has, and a prefix cache over it: what tests compare the tree
// with.
#pragma once

#include "core/fake_decoder.h"
#include "core/prefix_cache.h"
#include "tests/core/engine_fixture.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace inllama {

// The plain model: which cells each sequence has, without a tree.
class Memory : public FakeDecoder {
  public:
    explicit Memory(DecoderTraits traits) : FakeDecoder(traits) { clear(); }

    DecodeStatus decode(const std::vector<StepRow>& rows) override {
        const DecodeStatus status = FakeDecoder::decode(rows);
        for (const StepRow& row : rows) {
            auto& sequence = cells[static_cast<size_t>(row.sequence)];
            const std::string& space = spaces[static_cast<size_t>(row.sequence)];
            made.push_back(
                {row.token, space, sequence.empty() ? root_use[space] : made[sequence.back()].use});
            sequence.push_back(made.size() - 1);
        }
        return status;
    }
    void copy(SequenceId from, SequenceId to, Position n) override {
        FakeDecoder::copy(from, to, n);
        const auto& source = cells[static_cast<size_t>(from)];
        cells[static_cast<size_t>(to)].assign(source.begin(), source.begin() + n);
    }
    bool remove(SequenceId sequence, Position begin) override {
        const bool is_done = FakeDecoder::remove(sequence, begin);
        auto& of = cells[static_cast<size_t>(sequence)];
        of.resize(is_done ? std::min(of.size(), static_cast<size_t>(begin)) : of.size());
        return is_done;
    }
    void clear() override {
        FakeDecoder::clear();
        cells.assign(static_cast<size_t>(traits().n_ids), {});
        spaces.resize(cells.size());
    }

    // Whether somebody can go on after the first `n` positions of a sequence.
    bool can_share(size_t id, size_t n) {
        switch (traits().memory) {
        case MemoryKind::attention:
            return true;
        case MemoryKind::window:
            return pos_min(static_cast<SequenceId>(id)) <=
                   std::max(0, static_cast<int>(n) - traits().n_window + 1);
        case MemoryKind::recurrent:
            return n == cells[id].size();
        default:
            return false;
        }
    }
    bool is_run(size_t id) const { return static_cast<int>(id) < traits().n_run_ids; }
    std::vector<Token> text(size_t id) const {
        std::vector<Token> tokens;
        for (const size_t cell : cells[id]) {
            tokens.push_back(made[cell].token);
        }
        return tokens;
    }
    // How many tokens of a namespace's text a sequence begins with.
    size_t n_common(size_t id, const std::string& space, const std::vector<Token>& tokens) const {
        size_t n = 0;
        while (n < cells[id].size() && n < tokens.size() && made[cells[id][n]].space == space &&
               made[cells[id][n]].token == tokens[n]) {
            n++;
        }
        return n;
    }
    // Whether two sequences have computed the same tokens apart from each other.
    bool has_twins() const {
        for (size_t a = 0; a < cells.size(); a++) {
            for (size_t b = 0; b < a && !cells[a].empty(); b++) {
                const size_t n = n_common(b, made[cells[a][0]].space, text(a));
                if (!std::equal(cells[a].begin(), cells[a].begin() + static_cast<long>(n),
                                cells[b].begin())) {
                    return true;
                }
            }
        }
        return false;
    }
    std::set<size_t> cells_of(bool runs_only) const {
        std::set<size_t> all;
        for (size_t id = 0; id < cells.size(); id++) {
            if (!runs_only || is_run(id)) {
                all.insert(cells[id].begin(), cells[id].end());
            }
        }
        return all;
    }
    void touch(size_t id) {
        now_++;
        root_use[spaces[id]] = now_;
        for (const size_t cell : cells[id]) {
            made[cell].use = now_;
        }
    }
    // The kept sequences that nobody needs, as long ago as the one that was used first.
    std::set<size_t> least_recently_used() const {
        std::set<size_t> found;
        int64_t oldest = now_ + 1;
        for (size_t id = 0; id < cells.size(); id++) {
            if (is_run(id) || cells[id].empty()) {
                continue;
            }
            const size_t end = cells[id].size();
            bool is_needed = false;
            for (size_t other = 0; other < cells.size(); other++) {
                const bool goes_through =
                    cells[other].size() >= end && cells[other][end - 1] == cells[id].back();
                const bool ends_here = goes_through && cells[other].size() == end;
                is_needed = is_needed || (ends_here && is_run(other)) ||
                            (goes_through && !ends_here && traits().memory == MemoryKind::attention);
            }
            const int64_t use = made[cells[id].back()].use;
            if (!is_needed && use < oldest) {
                oldest = use;
                found.clear();
            }
            if (!is_needed && use == oldest) {
                found.insert(id);
            }
        }
        return found;
    }

    struct Cell {
        Token token;
        std::string space;
        int64_t use; // the last time that a sequence that has it was opened or closed
    };
    std::vector<Cell> made;
    std::vector<std::vector<size_t>> cells; // by id
    std::vector<std::string> spaces;        // by run id
    std::map<std::string, int64_t> root_use;

  private:
    int64_t now_ = 0;
};

struct Cached {
    explicit Cached(MemoryKind kind, int n_cells = 512) : memory(traits_of(kind, n_cells)) {}

    static DecoderTraits traits_of(MemoryKind kind, int n_cells) {
        DecoderTraits traits = small_traits(kind);
        traits.n_cells = n_cells;
        return traits;
    }
    SequenceId open(const std::vector<Token>& tokens, const std::string& space = "", int n_spared = 1) {
        const int limit = static_cast<int>(tokens.size()) - n_spared;
        const PrefixCache::Opened opened = cache.open(space, tokens, limit);
        n_cached = opened.n_cached;
        memory.spaces[static_cast<size_t>(opened.id)] = space;
        memory.touch(static_cast<size_t>(opened.id));
        return opened.id;
    }
    void append(SequenceId run, const std::vector<Token>& tokens) {
        std::vector<StepRow> rows;
        for (const Token token : tokens) {
            rows.push_back({token, cache.length(run) + static_cast<int>(rows.size()), run, false});
        }
        memory.decode(rows);
        cache.append(run, tokens.data(), static_cast<int>(tokens.size()));
    }
    void close(SequenceId run, bool keep = true) {
        memory.touch(static_cast<size_t>(run));
        cache.close(run, keep);
    }
    // Computes a whole text; gives how much of it was there.
    int compute(const std::vector<Token>& tokens, const std::string& space = "", bool keep = true) {
        const SequenceId run = open(tokens, space);
        append(run, {tokens.begin() + n_cached, tokens.end()});
        close(run, keep);
        return n_cached;
    }
    int match(const std::vector<Token>& tokens, const std::string& space = "") const {
        return cache.match(space, tokens, static_cast<int>(tokens.size())).n;
    }

    Memory memory;
    PrefixCache cache{memory, true};
    int n_cached = 0; // of the last open()
};

} // namespace inllama
