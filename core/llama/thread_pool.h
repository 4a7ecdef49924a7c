// The threads that compute llama.cpp's graphs.
#pragma once

#include <cstdint>
#include <memory>

struct ggml_threadpool;
struct llama_context;

namespace inllama {

inline constexpr int kMaxThreads = 512; // GGML_MAX_N_THREADS

// The pools of one context: one for single rows, one for batches, or one for both if the counts are equal.
//
// llama.cpp without OpenMP would otherwise start and join threads for every graph.
class ThreadPools {
  public:
    // REQUIRES: counts in 1..kMaxThreads.
    ThreadPools(int n_threads, int n_threads_batch);
    ~ThreadPools();
    ThreadPools(const ThreadPools&) = delete;
    ThreadPools& operator=(const ThreadPools&) = delete;

    // Gives the pools to `context`, which must let go of them before they are destroyed.
    void attach(llama_context* context) const;
    // Throws ForkedEngineError in a child of the process that made them: their threads are not there.
    void check_process() const;

  private:
    struct Free {
        void operator()(ggml_threadpool* pool) const;
    };
    using Pool = std::unique_ptr<ggml_threadpool, Free>;

    static Pool make(int n_threads);

    int64_t process_;
    int n_threads_;
    int n_threads_batch_;
    Pool single_;
    Pool batch_;
};

} // namespace inllama
