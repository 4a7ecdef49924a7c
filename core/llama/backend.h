// llama.cpp's process-wide state: started once, on first use, and never at import.
#pragma once

#include "core/log_ring.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace inllama {

// Starts llama.cpp if it is not started: sends its log to log_ring() and registers its backends. Any thread.
void start_backend();
// Whether that was done. Any thread.
bool is_backend_started() noexcept;

// What llama.cpp logged and nobody took yet. Push from any thread; one thread at a time may pop.
LogRing& log_ring();

// Collects the errors that llama.cpp logs on this thread while it lives: its C API returns only null.
class ErrorCapture {
  public:
    ErrorCapture();
    ~ErrorCapture();
    ErrorCapture(const ErrorCapture&) = delete;
    ErrorCapture& operator=(const ErrorCapture&) = delete;

    // The last error in one line, without llama.cpp's function name; `otherwise` if none was logged.
    std::string reason(const std::string& otherwise) const;

    // For the log callback: the text and its continuation lines.
    void append(int level, const char* text);

  private:
    ErrorCapture* outer_;
    std::string errors_;
    bool in_error_ = false;
};

// Sees every line that llama.cpp logs on this thread while it lives. What the function throws goes through
// llama.cpp: only where the code between is known to bear it.
class LogTap {
  public:
    explicit LogTap(std::function<void(const char*)> function);
    ~LogTap();
    LogTap(const LogTap&) = delete;
    LogTap& operator=(const LogTap&) = delete;

    // For the log callback.
    void see(const char* line);
    // Whether the function threw: llama.cpp may have caught it.
    bool has_thrown() const { return has_thrown_; }

  private:
    LogTap* outer_;
    std::function<void(const char*)> function_;
    bool has_thrown_ = false;
};

// Whether exceptions can pass the C between an assertion of llama.cpp and what catches them.
#ifdef _MSC_VER
constexpr bool kAssertsCanThrow = false;
#else
constexpr bool kAssertsCanThrow = true;
#endif

// While it lives, an assertion of llama.cpp that fails on this thread throws std::runtime_error, which names
// it, instead of ending the process, if kAssertsCanThrow. Only around calls that load a file, since these
// catch exceptions and give up what they have made by then; what they call back, which may compute, has one
// that does not throw.
class ThrowingAsserts {
  public:
    explicit ThrowingAsserts(bool throws = true);
    ~ThrowingAsserts();
    ThrowingAsserts(const ThrowingAsserts&) = delete;
    ThrowingAsserts& operator=(const ThrowingAsserts&) = delete;

  private:
    const bool outer_;
};

struct Device {
    std::string name;        // "CPU", "CUDA0"
    std::string description; // "NVIDIA H200"
    std::string type;        // "cpu", "gpu", "integrated_gpu" or "accelerator"
    uint64_t memory_bytes;
    uint64_t free_bytes;
};

// Every device that llama.cpp can use. Starts the backend: on a GPU build this makes a driver context.
std::vector<Device> devices();

// llama.cpp's own line about the instruction sets it was built with and found.
std::string system_info();

} // namespace inllama
