#include "core/llama/template_run.h"

#include "core/error.h"
#include "core/platform/stack.h"

#ifdef INLLAMA_TEMPLATE_LIMITS
#include <jinja/limits.h>
#endif

#include <algorithm>
#include <new>
#include <optional>
#include <string_view>

namespace inllama {

#ifdef INLLAMA_TEMPLATE_LIMITS

namespace {

// 512 levels of execution and 256 of parsing fit 1 MiB when optimized, and 16 MiB under sanitizers.
constexpr size_t kStackBytes = size_t{16} << 20;

constexpr std::string_view kArrow = "\xE2\x86\xB5"; // how llama.cpp shows the end of a line

// "While executing Call at line 3, column 5 in source:"
std::optional<size_t> line_in(std::string_view message) {
    const size_t at = message.find(" at line ");
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    size_t line = 0;
    for (size_t i = at + 9;
         i < message.size() && message[i] >= '0' && message[i] <= '9' && line < 100'000'000; i++) {
        line = line * 10 + static_cast<size_t>(message[i] - '0');
    }
    return line;
}

// Errors of the parser show a piece of the source and a caret below it, without its line:
//     ...{% if x %}(((...
//                  ^
std::optional<size_t> line_of_snippet(std::string_view message, const std::string& source) {
    const size_t begin = message.find("\n...");
    const size_t end = message.rfind("...\n");
    const size_t caret = message.rfind('^');
    if (begin == std::string_view::npos || end == std::string_view::npos || end < begin + 4 ||
        caret == std::string_view::npos || caret < end + 7) {
        return std::nullopt;
    }
    std::string snippet(message.substr(begin + 4, end - begin - 4));
    for (size_t at = snippet.find(kArrow); at != std::string::npos; at = snippet.find(kArrow, at)) {
        snippet.replace(at, kArrow.size(), "\n");
    }
    const size_t found = source.find(snippet);
    if (found == std::string::npos) {
        return std::nullopt;
    }
    const size_t place = std::min(found + (caret - end - 7), source.size());
    return 1 + static_cast<size_t>(
                   std::count(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(place), '\n'));
}

// What went wrong, in one line and without the frame that llama.cpp draws around it.
std::string reason_in(std::string_view message) {
    constexpr std::string_view kBefore = "\nError: ";
    constexpr std::string_view kRaised = "Jinja Exception: ";
    if (const size_t at = message.find(kBefore); at != std::string_view::npos) {
        message.remove_prefix(at + kBefore.size());
        if (message.substr(0, kRaised.size()) == kRaised) {
            message.remove_prefix(kRaised.size());
        }
    } else if (const size_t snippet = message.find("\n..."); snippet != std::string_view::npos) {
        message = message.substr(0, snippet);
    }
    const size_t first = message.find_first_not_of(" \n");
    const size_t last = message.find_last_not_of(" \n");
    return first == std::string_view::npos ? "llama.cpp gave no reason"
                                           : std::string(message.substr(first, last - first + 1));
}

[[noreturn]] void throw_template_error(std::string_view message, const std::string& source) {
    std::optional<size_t> line = line_in(message);
    if (!line) {
        line = line_of_snippet(message, source);
    }
    const std::string reason = reason_in(message);
    Error error(ErrorKind::TemplateError, "the chat template failed" +
                                              (line ? " in line " + std::to_string(*line) : "") + ": " +
                                              reason);
    error.with("reason", reason);
    if (line) {
        error.with("line", *line);
    }
    throw error;
}

void run_limited(const std::string& source, const TemplateLimits& limits,
                 const std::function<void()>& function) {
    jinja::limits native;
    native.max_steps = limits.max_steps;
    native.max_bytes = limits.max_text_bytes;
    native.max_seconds = limits.max_seconds;
    jinja::limit_scope scope(native);
    const auto check = [&] {
        if (!scope.exceeded().empty()) {
            throw Error(ErrorKind::TemplateError, "the chat template was stopped: " + scope.exceeded() +
                                                      "; shorten the messages, or use another template")
                .with("reason", scope.exceeded());
        }
    };
    try {
        function();
    } catch (const Error&) {
        throw;
    } catch (const std::bad_alloc&) {
        check();
        throw Error(ErrorKind::InsufficientMemoryError,
                    "there is not enough memory to render the chat template");
    } catch (const std::exception& error) {
        check();
        throw_template_error(error.what(), source);
    }
    check(); // llama.cpp swallows some exceptions
}

} // namespace

bool has_template_limits() noexcept {
    return true;
}

void run_template(const std::string& source, const TemplateLimits& limits,
                  const std::function<void()>& function) {
    run_with_stack(kStackBytes, [&] { run_limited(source, limits, function); });
}

#else

bool has_template_limits() noexcept {
    return false;
}

void run_template(const std::string&, const TemplateLimits&, const std::function<void()>&) {
    throw Error(
        ErrorKind::UnsupportedError,
        "this build cannot render chat templates: its llama.cpp is another than the pinned one, and the "
        "patch that limits what a template may do does not fit it; build with the pinned llama.cpp");
}

#endif

} // namespace inllama
