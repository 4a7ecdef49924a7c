// Runs what executes a chat template: within limits, on a stack of its own, with errors that name the line.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace inllama {

// A template's source. The largest that llama.cpp has in its tree is 30 KiB; parsing this much takes about 1
// s.
inline constexpr size_t kMaxTemplateBytes = size_t{1} << 20;

// What a template may use. Rendering 1,000 messages takes about 500,000 steps and 20 times their text.
struct TemplateLimits {
    size_t max_steps = 50'000'000; // about 5 s
    size_t max_text_bytes = size_t{64} << 20;
    double max_seconds = 10.0;
};

// llama.cpp finds out a template's format by rendering small conversations, and compares what comes out with
// itself: the time goes with the square of its length.
inline constexpr TemplateLimits kAnalysisLimits = {50'000'000, size_t{1} << 20, 10.0};

// Whether this build has the limits; without them no template may run.
bool has_template_limits() noexcept;

// Runs `function`, which parses or renders the template `source`.
//
// Throws TemplateError (fields reason and, where known, line) for whatever llama.cpp throws and for a limit
// that is exceeded; lets inllama::Error through. Any thread; blocks.
void run_template(const std::string& source, const TemplateLimits& limits,
                  const std::function<void()>& function);

} // namespace inllama
