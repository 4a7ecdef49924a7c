#include "core/event_queue.h"

#include <algorithm>
#include <iterator>

namespace inllama {

void Bell::ring() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        is_rung_ = true;
    }
    rung_.notify_one();
}

void Bell::wait_until(std::optional<std::chrono::steady_clock::time_point> end) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto is_rung = [this] { return is_rung_; };
    if (end) {
        rung_.wait_until(lock, *end, is_rung);
    } else {
        rung_.wait(lock, is_rung);
    }
    is_rung_ = false;
}

EventQueue::~EventQueue() {
    close_wakeup(wakeup_);
}

void EventQueue::push(std::vector<Event>& events) {
    if (events.empty()) {
        return;
    }
    bool was_empty;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        was_empty = events_.empty();
        events_.insert(events_.end(), std::make_move_iterator(events.begin()),
                       std::make_move_iterator(events.end()));
        if (was_empty && wakeup_.write >= 0) {
            signal_wakeup(wakeup_);
        }
    }
    events.clear();
    if (was_empty) {
        has_events_.notify_one();
    }
}

void RequestControl::note_read(int n) {
    n_unread.fetch_sub(n);
    if (is_paused.exchange(false)) {
        engine->ring();
    }
}

std::vector<Event> EventQueue::take(size_t n_max, bool are_read) {
    std::vector<Event> taken;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (wakeup_.read >= 0 && !events_.empty() && events_.size() <= n_max) {
            clear_wakeup(wakeup_);
        }
        const auto end = events_.begin() + static_cast<std::ptrdiff_t>(std::min(n_max, events_.size()));
        taken.assign(std::make_move_iterator(events_.begin()), std::make_move_iterator(end));
        events_.erase(events_.begin(), end);
    }
    if (are_read) {
        for (const Event& event : taken) {
            event.control->note_read(1);
        }
    }
    return taken;
}

bool EventQueue::wait_for(std::chrono::milliseconds time) {
    std::unique_lock<std::mutex> lock(mutex_);
    return has_events_.wait_for(lock, time, [this] { return !events_.empty(); });
}

int EventQueue::descriptor() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (wakeup_.read < 0) {
        wakeup_ = make_wakeup();
        if (wakeup_.read < 0) {
            throw Error(ErrorKind::EngineError,
                        "there is no descriptor left to wait for results; raise the limit on open files");
        }
        if (!events_.empty()) {
            signal_wakeup(wakeup_);
        }
    }
    return wakeup_.read;
}

} // namespace inllama
