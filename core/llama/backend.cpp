#include "core/llama/backend.h"

#include <llama.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <stdexcept>

// Of ggml; in no public header.
extern "C" void ggml_print_backtrace(void);

namespace inllama {

namespace {

std::atomic<bool> is_started{false};
thread_local ErrorCapture* current_capture = nullptr;
thread_local LogTap* current_tap = nullptr;
thread_local bool asserts_throw = false;

// Called on any thread, without the GIL and inside C frames: it must not lock, and throw only for a tap.
void on_log(ggml_log_level level, const char* text, void*) {
    log_ring().push(static_cast<int>(level), text);
    if (current_capture != nullptr) {
        current_capture->append(static_cast<int>(level), text);
    }
    if (current_tap != nullptr) {
        current_tap->see(text);
    }
}

// Called where an assertion failed, in a frame of C that is compiled to let exceptions pass
// (cmake/llama_cpp.cmake). What is returned to ends the process.
void on_abort(const char* message) {
    if (kAssertsCanThrow && asserts_throw) {
        throw std::runtime_error(message);
    }
    std::fprintf(stderr, "%s\n", message);
    ggml_print_backtrace();
}

const char* type_name(enum ggml_backend_dev_type type) {
    switch (type) {
    case GGML_BACKEND_DEVICE_TYPE_CPU:
        return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_GPU:
        return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU:
        return "integrated_gpu";
    default:
        return "accelerator";
    }
}

} // namespace

LogRing& log_ring() {
    // Leaked: a thread of a backend may log while static objects are destroyed.
    static LogRing* ring = new LogRing(4096);
    return *ring;
}

void start_backend() {
    static std::once_flag once;
    std::call_once(once, [] {
        log_ring();
        llama_log_set(on_log, nullptr);
        ggml_set_abort_callback(on_abort);
        llama_backend_init();
        is_started = true;
    });
}

bool is_backend_started() noexcept {
    return is_started;
}

ThrowingAsserts::ThrowingAsserts(bool throws) : outer_(asserts_throw) {
    asserts_throw = throws;
}

ThrowingAsserts::~ThrowingAsserts() {
    asserts_throw = outer_;
}

ErrorCapture::ErrorCapture() : outer_(current_capture) {
    current_capture = this;
}

ErrorCapture::~ErrorCapture() {
    current_capture = outer_;
}

LogTap::LogTap(std::function<void(const char*)> function)
    : outer_(current_tap), function_(std::move(function)) {
    current_tap = this;
}

LogTap::~LogTap() {
    current_tap = outer_;
}

void LogTap::see(const char* line) {
    if (has_thrown_) {
        return; // while llama.cpp says that it failed
    }
    try {
        function_(line);
    } catch (...) {
        has_thrown_ = true;
        throw;
    }
}

void ErrorCapture::append(int level, const char* text) {
    if (level != GGML_LOG_LEVEL_CONT) {
        in_error_ = level == GGML_LOG_LEVEL_ERROR;
    }
    if (in_error_) {
        try {
            errors_ += text;
        } catch (const std::bad_alloc&) {
            in_error_ = false;
        }
    }
}

std::string ErrorCapture::reason(const std::string& otherwise) const {
    size_t end = errors_.find_last_not_of(" \n");
    if (end == std::string::npos) {
        return otherwise;
    }
    // The first error is the cause; those after it only say that something failed.
    std::string line = errors_.substr(0, errors_.find('\n'));
    const size_t colon = line.find(": ");
    if (colon != std::string::npos && line.find(' ') > colon) {
        line = line.substr(colon + 2);
    }
    return line;
}

std::vector<Device> devices() {
    start_backend();
    std::vector<Device> found;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t free = 0;
        size_t total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        found.push_back({ggml_backend_dev_name(device), ggml_backend_dev_description(device),
                         type_name(ggml_backend_dev_type(device)), total, free});
    }
    return found;
}

std::string system_info() {
    start_backend();
    return llama_print_system_info();
}

} // namespace inllama
