#include "core/llama/thread_pool.h"

#include "core/error.h"
#include "core/platform/process.h"

#include <llama.h>

#include <string>

namespace inllama {

static_assert(kMaxThreads == GGML_MAX_N_THREADS);

void ThreadPools::Free::operator()(ggml_threadpool* pool) const {
    ggml_threadpool_free(pool);
}

ThreadPools::Pool ThreadPools::make(int n_threads) {
    ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
    Pool pool(ggml_threadpool_new(&params));
    if (!pool) {
        throw Error(ErrorKind::InsufficientMemoryError,
                    "could not start " + std::to_string(n_threads) + " threads; raise the limit on threads")
            .with("n_threads", n_threads);
    }
    return pool;
}

ThreadPools::ThreadPools(int n_threads, int n_threads_batch)
    : process_(process_id()), n_threads_(n_threads), n_threads_batch_(n_threads_batch),
      single_(make(n_threads)), batch_(n_threads == n_threads_batch ? nullptr : make(n_threads_batch)) {}

ThreadPools::~ThreadPools() {
    if (process_ != process_id()) {
        static_cast<void>(single_.release()); // it would wait for threads that are not there
        static_cast<void>(batch_.release());
    }
}

void ThreadPools::check_process() const {
    if (process_ != process_id()) {
        throw Error(
            ErrorKind::ForkedEngineError,
            "this context was made before the process forked, and its threads stay with the parent; make one "
            "in the child");
    }
}

void ThreadPools::attach(llama_context* context) const {
    llama_set_n_threads(context, n_threads_, n_threads_batch_);
    llama_attach_threadpool(context, single_.get(), batch_ ? batch_.get() : single_.get());
}

} // namespace inllama
