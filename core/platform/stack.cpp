#include "core/platform/stack.h"

#include "core/error.h"

#include <exception>
#include <string>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <pthread.h>
#endif

namespace inllama {

namespace {

struct Call {
    const std::function<void()>& function;
    std::exception_ptr thrown;

    void run() noexcept {
        try {
            function();
        } catch (...) {
            thrown = std::current_exception();
        }
    }
};

[[noreturn]] void throw_no_thread(size_t stack_bytes) {
    throw Error(ErrorKind::InsufficientMemoryError, "could not start a thread with a stack of " +
                                                        std::to_string(stack_bytes) +
                                                        " bytes; raise the limits on threads and memory")
        .with("stack_bytes", stack_bytes);
}

#ifdef _WIN32
DWORD WINAPI enter(void* call) {
    static_cast<Call*>(call)->run();
    return 0;
}

void run_thread(size_t stack_bytes, Call& call) {
    HANDLE thread =
        CreateThread(nullptr, stack_bytes, enter, &call, STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
    if (thread == nullptr) {
        throw_no_thread(stack_bytes);
    }
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}
#else
void* enter(void* call) {
    static_cast<Call*>(call)->run();
    return nullptr;
}

void run_thread(size_t stack_bytes, Call& call) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_t thread;
    const int failed = pthread_create(&thread, &attributes, enter, &call);
    pthread_attr_destroy(&attributes);
    if (failed != 0) {
        throw_no_thread(stack_bytes);
    }
    pthread_join(thread, nullptr);
}
#endif

} // namespace

void run_with_stack(size_t stack_bytes, const std::function<void()>& function) {
    Call call{function, nullptr};
    run_thread(stack_bytes, call);
    if (call.thrown) {
        std::rethrow_exception(call.thrown);
    }
}

} // namespace inllama
