// A few threads that share the items of a loop.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace inllama {

// One thread at a time calls run(), or start() and finish(), and takes part in the work.
class WorkerPool {
  public:
    // `n_threads` counts the caller; 1 starts none.
    explicit WorkerPool(int n_threads);
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    // Calls `work(i)` once for each i in [0, n) and returns when all are done. `work` must not throw.
    void run(int n, const std::function<void(int)>& work);

    // The same in two halves: the threads begin at once, and the caller does something else until it joins
    // them in finish(). Without threads all is done there. REQUIRES: `work` lives until then.
    void start(int n, const std::function<void(int)>& work);
    void finish();

  private:
    void serve();
    void take_items(std::unique_lock<std::mutex>& lock);

    std::mutex mutex_;
    std::condition_variable has_work_;
    std::condition_variable is_done_;
    const std::function<void(int)>* work_ = nullptr;
    int next_ = 0;
    int n_ = 0;
    int n_busy_ = 0;
    bool is_closing_ = false;
    std::vector<std::thread> threads_;
};

} // namespace inllama
