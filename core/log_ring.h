// Carries llama.cpp's log from whatever thread writes it to the one thread that publishes it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace inllama {

// ggml_log_level values that the log code tells apart (ggml.h).
inline constexpr int kLogLevelInfo = 2;
inline constexpr int kLogLevelContinue = 5;

// One fragment of the log as it travels through a LogRing: raw bytes, not always valid UTF-8.
struct LogRecord {
    static constexpr size_t kTextBytes = 496;

    int32_t level = 0;
    uint32_t size_bytes = 0;
    char text[kTextBytes];

    std::string_view view() const noexcept { return {text, size_bytes}; }
};

// Bounded queue of log fragments: many producers, one consumer.
//
// 1. push() neither locks, waits nor allocates, so it is safe inside llama.cpp's log callback on any thread.
// 2. A text longer than a record takes several neighbouring ones, the first with its level, the others with
//    kLogLevelContinue; nothing comes between them. It is stored whole or not at all.
// 3. When it does not fit, the new text is dropped and counted; what is stored is never overwritten.
// Threads: push, dropped, empty on any; pop on one at a time. A producer that is suspended inside push delays
// the consumer, never another producer.
// Source: the bounded queue of D. Vyukov (1024cores.net), with a run of slots claimed at once.
class LogRing {
  public:
    // `n_slots` is rounded up to a power of two, at least 2.
    explicit LogRing(size_t n_slots = 1024)
        : mask_(round_up(n_slots) - 1),
          slots_(static_cast<Slot*>(std::calloc(mask_ + 1, sizeof(Slot)))) { // zeros: pages cost when used
        if (!slots_) {
            throw std::bad_alloc();
        }
    }
    LogRing(const LogRing&) = delete;
    LogRing& operator=(const LogRing&) = delete;

    // Stores `text`, or drops it whole if there is no room. An empty text is ignored.
    void push(int level, std::string_view text) noexcept {
        if (text.empty())
            return;
        const size_t n_needed = (text.size() - 1) / LogRecord::kTextBytes + 1;
        size_t first = 0;
        if (n_needed > mask_ + 1 || !claim(n_needed, first)) {
            n_dropped_.fetch_add(1, std::memory_order_relaxed);
            return;
        }
        for (size_t i = 0; i < n_needed; i++) {
            Slot& slot = slots_[(first + i) & mask_];
            const auto part = text.substr(i * LogRecord::kTextBytes, LogRecord::kTextBytes);
            slot.record.level = i == 0 ? level : kLogLevelContinue;
            slot.record.size_bytes = static_cast<uint32_t>(part.size());
            std::memcpy(slot.record.text, part.data(), part.size());
            slot.turn.store(lap(first + i) + 1, std::memory_order_release);
        }
    }

    // Moves the oldest record to `record` and returns true; false if there is none. One thread at a time.
    bool pop(LogRecord& record) noexcept {
        const size_t at = head_.load(std::memory_order_relaxed);
        Slot& slot = slots_[at & mask_];
        if (slot.turn.load(std::memory_order_acquire) != lap(at) + 1)
            return false;
        record.level = slot.record.level;
        record.size_bytes = slot.record.size_bytes;
        std::memcpy(record.text, slot.record.text, slot.record.size_bytes);
        head_.store(at + 1, std::memory_order_relaxed);
        slot.turn.store(lap(at + mask_ + 1), std::memory_order_release);
        return true;
    }

    // Gives the number of texts dropped since the last call, and starts again from 0.
    uint64_t dropped() noexcept { return n_dropped_.exchange(0, std::memory_order_relaxed); }

    // True if pop() would have given nothing at some moment during the call.
    bool empty() const noexcept {
        const size_t at = head_.load(std::memory_order_relaxed);
        return slots_[at & mask_].turn.load(std::memory_order_acquire) != lap(at) + 1;
    }

  private:
    // `turn`: lap(p) when free for position p, lap(p) + 1 when it holds the record of position p.
    struct Slot {
        std::atomic<size_t> turn;
        LogRecord record;
    };
    static_assert(std::is_trivially_destructible_v<Slot>);
    struct Free {
        void operator()(Slot* slots) const { std::free(slots); }
    };

    // The first position of the turn around the ring that a position belongs to.
    size_t lap(size_t position) const noexcept { return position & ~mask_; }

    static size_t round_up(size_t n_slots) {
        size_t power = 2;
        while (power < n_slots)
            power *= 2;
        return power;
    }

    bool claim(size_t n_needed, size_t& first) noexcept {
        size_t at = tail_.load(std::memory_order_relaxed);
        for (;;) {
            // The consumer frees in order: once the last slot of the run is free, all of them are.
            const size_t last = at + n_needed - 1;
            const size_t turn = slots_[last & mask_].turn.load(std::memory_order_acquire);
            const auto lead = static_cast<std::ptrdiff_t>(turn - lap(last));
            if (lead < 0)
                return false;
            if (lead > 0) {
                at = tail_.load(std::memory_order_relaxed);
            } else if (tail_.compare_exchange_weak(at, at + n_needed, std::memory_order_relaxed)) {
                first = at;
                return true;
            }
        }
    }

    const size_t mask_;
    const std::unique_ptr<Slot[], Free> slots_;
    alignas(64) std::atomic<size_t> tail_{0}; // next position to claim
    alignas(64) std::atomic<size_t> head_{0}; // next position to pop; written by the consumer only
    std::atomic<uint64_t> n_dropped_{0};
};

struct LogLine {
    int level;
    std::string text; // without its newline
};

// Joins fragments into lines: llama.cpp logs parts of a line with kLogLevelContinue.
//
// A fragment of any other level starts a new line, with that level, and ends an unfinished one. A fragment
// that continues a finished line starts one with the same level. A line longer than kMaxLineBytes is cut.
// Threads: one at a time (the consumer of a LogRing).
class LogLines {
  public:
    static constexpr size_t kMaxLineBytes = 64 * 1024;

    // Takes the next fragment and returns the lines that it finishes, oldest first; empty lines are left out.
    std::vector<LogLine> push(int level, std::string_view text) {
        std::vector<LogLine> lines;
        if (level != kLogLevelContinue) {
            emit(lines);
            level_ = level;
        }
        while (!text.empty()) {
            const size_t room = kMaxLineBytes - pending_.size();
            const size_t newline = text.substr(0, room).find('\n');
            const size_t taken = newline == std::string_view::npos ? std::min(room, text.size()) : newline;
            pending_.append(text.substr(0, taken));
            text.remove_prefix(newline == std::string_view::npos ? taken : taken + 1);
            if (newline != std::string_view::npos || pending_.size() == kMaxLineBytes)
                emit(lines);
        }
        return lines;
    }

    // Returns the unfinished line, if there is one, and forgets it. For a pause or the end of the log.
    std::optional<LogLine> flush() {
        if (pending_.empty())
            return std::nullopt;
        return LogLine{level_, std::exchange(pending_, {})};
    }

  private:
    void emit(std::vector<LogLine>& lines) {
        if (!pending_.empty())
            lines.push_back({level_, std::exchange(pending_, {})});
    }

    int level_ = kLogLevelInfo;
    std::string pending_;
};

} // namespace inllama
