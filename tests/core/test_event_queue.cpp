#include "core/event_queue.h"

#include "tests/core/check.h"

#include <algorithm>
#include <thread>

#ifndef _WIN32
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#endif

using namespace inllama;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds kLong{10}; // only what fails lasts so long

struct Consumer {
    std::shared_ptr<Bell> bell = std::make_shared<Bell>();
    std::shared_ptr<RequestControl> control = std::make_shared<RequestControl>(bell);

    // Events as an engine makes them: counted before they are pushed.
    std::vector<Event> events(int n, uint64_t request = 1, int first = 0) const {
        std::vector<Event> made(static_cast<size_t>(n));
        for (Event& event : made) {
            event.request = request;
            event.control = control;
            event.output = first++;
            control->n_unread++;
        }
        return made;
    }

    // Says whether the bell had been rung; it is silent afterwards.
    bool was_rung(steady_clock::duration patience = milliseconds(5)) const {
        const auto end = steady_clock::now() + patience;
        bell->wait_until(end);
        return steady_clock::now() < end;
    }
};

void push(EventQueue& queue, std::vector<Event> events) {
    queue.push(events);
}

} // namespace

TEST("events come in the order in which they were pushed, each once") {
    Consumer consumer;
    EventQueue queue;
    push(queue, consumer.events(3));
    push(queue, consumer.events(2, 1, 3));
    const std::vector<Event> taken = queue.take();
    CHECK_EQ(taken.size(), size_t{5});
    for (size_t i = 0; i < taken.size(); i++) {
        CHECK_EQ(taken[i].output, static_cast<int>(i));
    }
    CHECK(queue.take().empty());
}

TEST("a push takes the events out of the caller's vector") {
    Consumer consumer;
    EventQueue queue;
    for (int round = 0; round < 3; round++) {
        std::vector<Event> events = consumer.events(2);
        queue.push(events);
        CHECK(events.empty());
    }
    CHECK_EQ(queue.take().size(), size_t{6});
}

TEST("an event keeps all that it says") {
    Consumer consumer;
    EventQueue queue;
    std::vector<Event> events = consumer.events(2, 7);
    events[1].text = "text";
    events[1].tokens = {1, 2};
    events[1].stop = Token{5};
    events[1].finish = FinishReason::stop;
    events[1].error = std::make_shared<const Error>(ErrorKind::DecodeError, "it failed");
    queue.push(events);
    const std::vector<Event> taken = queue.take();
    CHECK_EQ(taken.size(), size_t{2});
    CHECK_EQ(taken[1].request, uint64_t{7});
    CHECK_EQ(taken[1].text, std::string("text"));
    CHECK(taken[1].tokens == (std::vector<Token>{1, 2}));
    CHECK(std::get<Token>(taken[1].stop) == 5);
    CHECK(taken[1].finish == FinishReason::stop);
    CHECK_EQ(taken[1].error->message(), std::string("it failed"));
    CHECK(!taken[0].finish && taken[0].text.empty());
}

TEST("taken events count as read, those that wait do not") {
    Consumer consumer;
    EventQueue queue;
    push(queue, consumer.events(4));
    CHECK_EQ(consumer.control->n_unread.load(), 4);
    const std::vector<Event> on_the_way = consumer.events(1);
    queue.take();
    CHECK_EQ(consumer.control->n_unread.load(), 1);
}

TEST("taking the events of a paused request rings its engine's bell, once") {
    Consumer paused;
    Consumer running;
    EventQueue queue;
    push(queue, paused.events(2));
    push(queue, running.events(2, 2));
    paused.control->is_paused = true;
    queue.take();
    CHECK(!paused.control->is_paused);
    CHECK(paused.was_rung(kLong));
    CHECK(!running.was_rung());
    push(queue, paused.events(1));
    queue.take();
    CHECK(!paused.was_rung());
}

TEST("taking a few leaves the rest in order for the next time, unread") {
    Consumer consumer;
    EventQueue queue;
    push(queue, consumer.events(5));
    for (const size_t n : {2, 2, 1, 0}) {
        const std::vector<Event> taken = queue.take(2);
        CHECK_EQ(taken.size(), n);
        for (size_t i = 0; i < n; i++) {
            CHECK_EQ(taken[i].output, 5 - consumer.control->n_unread.load() - static_cast<int>(n - i));
        }
        CHECK_EQ(queue.wait_for(milliseconds(0)), consumer.control->n_unread.load() > 0);
    }
    CHECK_EQ(consumer.control->n_unread.load(), 0);
    push(queue, consumer.events(2));
    CHECK(queue.take(0).empty());
    CHECK_EQ(queue.take(2).size(), size_t{2});
}

TEST("a paused request's bell is silent while only others are read") {
    Consumer paused;
    Consumer other;
    EventQueue queue;
    paused.control->is_paused = true;
    push(queue, other.events(1));
    queue.take();
    CHECK(paused.control->is_paused.load());
    CHECK(!paused.was_rung());
}

TEST("a bell that was rung before lets one wait pass, however often it was rung") {
    Consumer consumer;
    consumer.bell->ring();
    consumer.bell->ring();
    CHECK(consumer.was_rung(kLong));
    CHECK(!consumer.was_rung());
}

TEST("a bell wakes who waits") {
    Bell bell;
    for (int round = 0; round < 200; round++) {
        const auto begin = steady_clock::now();
        std::thread other([&] { bell.wait_until(begin + kLong); });
        bell.ring();
        other.join();
        if (steady_clock::now() >= begin + kLong) {
            CHECK(!"the bell woke nobody");
            return;
        }
    }
    std::thread other([&] { bell.wait_until(std::nullopt); });
    bell.ring();
    other.join();
}

TEST("waiting ends without events when the time is over, and at once when there are some") {
    Consumer consumer;
    EventQueue queue;
    CHECK(!queue.wait_for(milliseconds(0)));
    const auto begin = steady_clock::now();
    CHECK(!queue.wait_for(milliseconds(20)));
    CHECK(steady_clock::now() - begin >= milliseconds(20));
    push(queue, consumer.events(1));
    CHECK(queue.wait_for(kLong));
    CHECK(queue.wait_for(milliseconds(0)));
    queue.take();
    CHECK(!queue.wait_for(milliseconds(0)));
}

TEST("a push without events wakes nobody") {
    EventQueue queue;
    push(queue, {});
    CHECK(!queue.wait_for(milliseconds(0)));
}

TEST("who waits is woken by events and finds all of the step") {
    for (int round = 0; round < 200; round++) {
        Consumer consumer;
        EventQueue queue;
        const auto begin = steady_clock::now();
        std::thread engine([&] { push(queue, consumer.events(5)); });
        CHECK(queue.wait_for(kLong));
        CHECK_EQ(queue.take().size(), size_t{5});
        engine.join();
        if (steady_clock::now() >= begin + kLong) {
            CHECK(!"the events woke nobody");
            return;
        }
    }
}

TEST("threads that push at the same time lose, double and reorder nothing") {
    constexpr int kThreads = 4;
    constexpr int kEvents = 5000;
    Consumer consumer;
    EventQueue queue;
    std::vector<std::thread> threads;
    for (uint64_t thread = 0; thread < kThreads; thread++) {
        threads.emplace_back([&, thread] {
            int n = 0;
            for (int i = 0; n < kEvents; i++) {
                const int n_step = std::min(1 + i % 4, kEvents - n);
                push(queue, consumer.events(n_step, thread, n));
                n += n_step;
            }
        });
    }
    int next[kThreads] = {};
    int n_wrong = 0;
    int n = 0;
    while (n < kThreads * kEvents && queue.wait_for(kLong)) {
        for (const Event& event : queue.take()) {
            n_wrong += event.output == next[event.request]++ ? 0 : 1;
            n++;
        }
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK_EQ(n, kThreads * kEvents);
    CHECK_EQ(n_wrong, 0);
    CHECK(queue.take().empty());
    CHECK_EQ(consumer.control->n_unread.load(), 0);
}

#ifndef _WIN32

namespace {

bool is_readable(int descriptor, int milliseconds = 0) {
    pollfd waiting{descriptor, POLLIN, 0};
    return poll(&waiting, 1, milliseconds) == 1 && (waiting.revents & POLLIN) != 0;
}

} // namespace

TEST("the descriptor can be read while there are events, and only then") {
    Consumer consumer;
    EventQueue queue;
    const int descriptor = queue.descriptor();
    for (int round = 0; round < 3; round++) {
        CHECK(!is_readable(descriptor));
        push(queue, consumer.events(2));
        CHECK(is_readable(descriptor));
        push(queue, consumer.events(1));
        CHECK(is_readable(descriptor));
        queue.wait_for(milliseconds(0));
        CHECK(is_readable(descriptor));
        queue.take();
    }
    queue.take();
    push(queue, {});
    CHECK(!is_readable(descriptor));
}

TEST("the descriptor can be read until the last event is taken") {
    Consumer consumer;
    EventQueue queue;
    const int descriptor = queue.descriptor();
    push(queue, consumer.events(5));
    for (const bool has_more : {true, true, false}) {
        queue.take(2);
        CHECK_EQ(is_readable(descriptor), has_more);
    }
    push(queue, consumer.events(1));
    CHECK(is_readable(descriptor));
    queue.take(1);
    CHECK(!is_readable(descriptor));
}

TEST("a descriptor that is made while events wait can be read") {
    Consumer consumer;
    EventQueue queue;
    push(queue, consumer.events(1));
    CHECK(is_readable(queue.descriptor()));
    queue.take();
    CHECK(!is_readable(queue.descriptor()));
}

TEST("a queue has one descriptor, which no program it starts inherits, and closes it") {
    int descriptor = -1;
    {
        EventQueue queue;
        descriptor = queue.descriptor();
        CHECK_EQ(queue.descriptor(), descriptor);
        CHECK((fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0);
        CHECK((fcntl(descriptor, F_GETFL) & O_NONBLOCK) != 0);
    }
    CHECK_EQ(fcntl(descriptor, F_GETFD), -1);
}

TEST("a reader of the descriptor is woken for every event that threads push while it takes") {
    constexpr int kThreads = 3;
    constexpr int kEvents = 3000;
    Consumer consumer;
    EventQueue queue;
    const int descriptor = queue.descriptor();
    std::vector<std::thread> threads;
    for (uint64_t thread = 0; thread < kThreads; thread++) {
        threads.emplace_back([&, thread] {
            for (int i = 0; i < kEvents; i++) {
                push(queue, consumer.events(1, thread, i));
            }
        });
    }
    size_t n = 0;
    while (n < kThreads * kEvents && is_readable(descriptor, 10000)) {
        n += queue.take(n % 2 == 0 ? 7 : 1000).size();
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK_EQ(n, size_t{kThreads * kEvents});
    CHECK(!is_readable(descriptor));
}

#ifdef __linux__
TEST("the descriptor is signalled once for all events that nobody has taken") {
    Consumer consumer;
    EventQueue queue;
    const int descriptor = queue.descriptor();
    for (int round = 0; round < 3; round++) {
        push(queue, consumer.events(2));
    }
    uint64_t n_signals = 0;
    CHECK_EQ(read(descriptor, &n_signals, sizeof(n_signals)), static_cast<ssize_t>(sizeof(n_signals)));
    CHECK_EQ(n_signals, uint64_t{1});
    CHECK_EQ(queue.take().size(), size_t{6});
}
#endif

#endif
