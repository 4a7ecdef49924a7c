#include "core/xgrammar/log.h"

#include "core/error.h"

// Declared in xgrammar's cpp/support/logging.h for builds with XGRAMMAR_LOG_CUSTOMIZE.
namespace xgrammar {

[[noreturn]] void LogFatalImpl(const std::string& file, int line, const std::string& message);
void LogMessageImpl(const std::string& file, int line, int level, const std::string& message);

} // namespace xgrammar

namespace inllama {

namespace {

constexpr size_t kMaxWarningBytes = 1024;
constexpr int kWarning = 2; // XGRAMMAR_LOG_LEVEL_WARNING

thread_local XgrammarLog* collecting = nullptr;

} // namespace

XgrammarLog::XgrammarLog() {
    collecting = this;
}

XgrammarLog::~XgrammarLog() {
    collecting = nullptr;
}

void XgrammarLog::add(const std::string& message) {
    if (warnings_.size() < kMaxWarningBytes) {
        warnings_ += (warnings_.empty() ? "" : "; ") + message;
    }
}

} // namespace inllama

void xgrammar::LogFatalImpl(const std::string&, int, const std::string& message) {
    throw inllama::Error(inllama::ErrorKind::GrammarError, "the grammar cannot be enforced: " + message);
}

void xgrammar::LogMessageImpl(const std::string&, int, int level, const std::string& message) {
    if (level >= inllama::kWarning && inllama::collecting != nullptr) {
        inllama::collecting->add(message);
    }
}
