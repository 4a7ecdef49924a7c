// xgrammar's log: fatal messages are thrown, warnings collected, and nothing is printed.
#pragma once

#include <string>

namespace inllama {

// Collects the warnings of the thread that made it, while it lives. Not more than one per thread.
class XgrammarLog {
  public:
    XgrammarLog();
    ~XgrammarLog();
    XgrammarLog(const XgrammarLog&) = delete;
    XgrammarLog& operator=(const XgrammarLog&) = delete;

    // Joined by "; ", the first few.
    const std::string& warnings() const { return warnings_; }

    void add(const std::string& message);

  private:
    std::string warnings_;
};

} // namespace inllama
