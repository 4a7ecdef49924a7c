// One chat template, parsed, with the format of answers that llama.cpp finds in it.
#pragma once

#include "core/llama/chat_params.h"

#include <chat-auto-parser.h>
#include <chat.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace inllama {

// What answers to requests of one shape look like.
struct ChatAnswers {
    std::shared_ptr<const common_peg_arena> arena;
    common_chat_params params;    // its text of the parser is left out
    std::string thinking_closing; // what stands between reasoning and answer; "": only a tag is known
};

// A template. Immutable, but for what is found out on first use; any thread.
//
// Everything but the getters REQUIRES run_template().
class ChatFormat {
  public:
    struct Prompt {
        std::string text;
        std::string generation_prompt; // the end of it, or the beginning of the answer; "" unless asked for
    };

    // Throws what llama.cpp throws for a template that it cannot parse.
    ChatFormat(const std::string& source, const std::string& bos, const std::string& eos);

    const common_chat_template& native() const { return native_; }
    const std::string& source() const { return native_.source(); }
    // Whether enable_thinking makes a difference.
    bool has_thinking_switch() const { return has_thinking_switch_; }
    // Whether analyse() still has something to do.
    bool needs_analysis() const { return !is_specialized_ && !is_analysed_; }

    // Finds out the format of answers by rendering small conversations, once. Takes 2 to 10 ms.
    void analyse() const;

    // REQUIRES: analyse(), if a message is continued or the generation prompt is asked for.
    Prompt prompt(const autoparser::generation_params& params, bool with_generation_prompt) const;

    // Parser, grammar and so on. REQUIRES: analyse().
    ChatAnswers answers(const autoparser::generation_params& params) const;
    static ChatAnswers describe(common_chat_params params);

  private:
    // All that llama.cpp computes for a request.
    common_chat_params compute(autoparser::generation_params params) const;
    bool is_specialized() const;
    bool changes_with_thinking() const;

    common_chat_template native_;
    bool is_specialized_; // llama.cpp has code for this family of templates
    bool has_thinking_switch_;
    mutable std::once_flag analysed_;
    mutable std::atomic<bool> is_analysed_ = false;
    mutable autoparser::autoparser analysis_;
};

} // namespace inllama
