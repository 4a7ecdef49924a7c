#include "core/exclusive_use.h"
#include "tests/core/check.h"

#include <atomic>
#include <thread>
#include <vector>

using inllama::Error;
using inllama::ErrorKind;
using inllama::ExclusiveUse;

namespace {

void enter(ExclusiveUse& use) {
    ExclusiveUse::Guard guard(use, "Context");
}

} // namespace

TEST("an object in use by another thread refuses entry and keeps its owner") {
    ExclusiveUse use;
    ExclusiveUse::Guard guard(use, "Context");
    std::string text;
    std::thread([&] {
        try {
            enter(use);
        } catch (const Error& error) {
            text = error.message();
        }
    }).join();
    CHECK_EQ(text,
             "Context is in use by another thread; use one Context per thread or take turns with a lock");
}

TEST("re-entry from the same thread is refused with its own text") {
    ExclusiveUse use;
    ExclusiveUse::Guard guard(use, "Context");
    CHECK_ERROR(enter(use), ErrorKind::ConcurrentUseError,
                "Context is in use by this thread; do not call it from inside one of its own calls");
}

TEST("an object can be entered again after a guard ends, also after a refused entry") {
    ExclusiveUse use;
    {
        ExclusiveUse::Guard guard(use, "Context");
        CHECK_THROWS_AS(enter(use), Error);
    }
    enter(use);
    std::thread([&] { enter(use); }).join();
}

TEST("threads that race for an object are either inside alone or refused") {
    ExclusiveUse use;
    int n_inside = 0;
    // Relaxed, so that only the guard orders the threads: thread sanitizer reports it if it does not.
    std::atomic<int> n_entered{0}, n_refused{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; t++) {
        threads.emplace_back([&] {
            for (int i = 0; i < 5000; i++) {
                try {
                    ExclusiveUse::Guard guard(use, "Context");
                    n_inside++;
                    n_entered.fetch_add(1, std::memory_order_relaxed);
                } catch (const Error&) {
                    n_refused.fetch_add(1, std::memory_order_relaxed);
                }
            }
        });
    }
    for (auto& thread : threads)
        thread.join();
    CHECK_EQ(n_inside, n_entered.load());
    CHECK_EQ(n_entered + n_refused, 20000);
}
