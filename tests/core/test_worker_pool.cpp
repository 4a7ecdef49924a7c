#include "core/worker_pool.h"

#include "tests/core/check.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>

using inllama::WorkerPool;

TEST("every item of a loop is worked on once, whatever the number of threads and items") {
    for (const int n_threads : {1, 2, 4, 9}) {
        WorkerPool pool(n_threads);
        for (const int n : {0, 1, 2, 3, 16, 257}) {
            std::vector<std::atomic<int>> n_calls(static_cast<size_t>(n));
            pool.run(n, [&](int i) { n_calls[static_cast<size_t>(i)]++; });
            CHECK(std::all_of(n_calls.begin(), n_calls.end(), [](const auto& calls) { return calls == 1; }));
        }
    }
}

TEST("all items are done when the loop returns, and the caller sees what they wrote") {
    WorkerPool pool(4);
    std::vector<int> squares;
    for (int round = 0; round < 2000; round++) {
        const int n = round % 7;
        squares.assign(static_cast<size_t>(n), -1);
        pool.run(n, [&](int i) { squares[static_cast<size_t>(i)] = i * i + round; });
        for (int i = 0; i < n; i++) {
            CHECK_EQ(squares[static_cast<size_t>(i)], i * i + round);
        }
    }
}

TEST("items are worked on at the same time by the caller and all threads") {
    constexpr int kThreads = 3;
    WorkerPool pool(kThreads);
    std::mutex mutex;
    std::condition_variable has_come;
    std::set<std::thread::id> threads;
    // Each item waits for the others, so one thread alone would not come to an end.
    std::atomic<int> n_alone{0};
    pool.run(kThreads, [&](int) {
        std::unique_lock<std::mutex> lock(mutex);
        threads.insert(std::this_thread::get_id());
        has_come.notify_all();
        const bool is_complete = has_come.wait_for(lock, std::chrono::seconds(20),
                                                   [&] { return threads.size() == size_t{kThreads}; });
        n_alone += is_complete ? 0 : 1;
    });
    CHECK_EQ(n_alone.load(), 0);
    CHECK_EQ(threads.count(std::this_thread::get_id()), size_t{1});
}

TEST("one thread or one item is worked on by the caller itself") {
    const auto self = std::this_thread::get_id();
    std::vector<std::thread::id> threads;
    WorkerPool(1).run(5, [&](int) { threads.push_back(std::this_thread::get_id()); });
    WorkerPool(4).run(1, [&](int) { threads.push_back(std::this_thread::get_id()); });
    CHECK_EQ(threads.size(), size_t{6});
    CHECK(std::all_of(threads.begin(), threads.end(), [&](auto id) { return id == self; }));
}

TEST("a loop is of use to one thread after the other") {
    WorkerPool pool(3);
    std::atomic<int> n{0};
    for (int round = 0; round < 20; round++) {
        std::thread([&] { pool.run(10, [&](int) { n++; }); }).join();
    }
    CHECK_EQ(n.load(), 200);
}

TEST("work that was started goes on while the caller does something else, and is done when it has finished") {
    for (const int n_threads : {1, 2, 4}) {
        WorkerPool pool(n_threads);
        for (const int n : {1, 2, 16, 257}) {
            std::vector<int> squares(static_cast<size_t>(n), -1);
            const std::function<void(int)> work = [&](int i) { squares[static_cast<size_t>(i)] = i * i; };
            pool.start(n, work);
            pool.finish();
            for (int i = 0; i < n; i++) {
                CHECK_EQ(squares[static_cast<size_t>(i)], i * i);
            }
            pool.run(n, [&](int i) { squares[static_cast<size_t>(i)] = i; });
            CHECK_EQ(squares.back(), n - 1);
        }
    }
}

TEST("started work is done by other threads before the caller joins them") {
    WorkerPool pool(2);
    std::atomic<int> n_done{0};
    const std::function<void(int)> work = [&](int) { n_done++; };
    pool.start(3, work);
    for (int i = 0; i < 20000 && n_done < 3; i++) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK_EQ(n_done.load(), 3);
    pool.finish();
    CHECK_EQ(n_done.load(), 3);
}
