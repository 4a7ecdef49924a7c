#include "core/worker_pool.h"

namespace inllama {

WorkerPool::WorkerPool(int n_threads) {
    for (int i = 1; i < n_threads; i++) {
        threads_.emplace_back([this] { serve(); });
    }
}

WorkerPool::~WorkerPool() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        is_closing_ = true;
    }
    has_work_.notify_all();
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

void WorkerPool::take_items(std::unique_lock<std::mutex>& lock) {
    while (next_ < n_) {
        const int item = next_++;
        n_busy_++;
        lock.unlock();
        (*work_)(item);
        lock.lock();
        n_busy_--;
    }
}

void WorkerPool::serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
        has_work_.wait(lock, [this] { return is_closing_ || next_ < n_; });
        if (is_closing_) {
            return;
        }
        take_items(lock);
        if (n_busy_ == 0) {
            is_done_.notify_one();
        }
    }
}

void WorkerPool::run(int n, const std::function<void(int)>& work) {
    if (n == 1 || threads_.empty()) {
        for (int i = 0; i < n; i++) {
            work(i);
        }
        return;
    }
    start(n, work);
    finish();
}

void WorkerPool::start(int n, const std::function<void(int)>& work) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        work_ = &work;
        next_ = 0;
        n_ = n;
    }
    has_work_.notify_all();
}

void WorkerPool::finish() {
    std::unique_lock<std::mutex> lock(mutex_);
    take_items(lock);
    is_done_.wait(lock, [this] { return n_busy_ == 0; });
    n_ = 0;
}

} // namespace inllama
