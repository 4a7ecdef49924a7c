// Renders conversations with a model's chat template, and says how to read the answers.
#pragma once

#include "core/llama/chat_inputs.h"
#include "core/llama/chat_parser.h"
#include "core/llama/tokenizer.h"
#include "core/types.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace inllama {

struct RenderedChat {
    std::string text;
    std::vector<Token> tokens;
};

// Where a lazy grammar begins.
struct ChatTrigger {
    std::string kind; // word, pattern, pattern_full or token
    std::variant<std::string, Token> value;
};

struct PreparedChat : RenderedChat {
    std::shared_ptr<const ChatParser> parser;
    // GBNF of the answer, or of what follows a trigger if it is lazy. One that is not lazy begins with the
    // generation prompt, which is to be fed to it first.
    std::optional<std::string> grammar;
    bool is_grammar_lazy = false;
    std::vector<ChatTrigger> triggers;
    std::vector<Token> preserved_tokens; // special tokens whose spelling the parser needs to see
    std::vector<std::string> stops;
    std::string generation_prompt;
    bool supports_thinking = false;
    std::string thinking_start_tag;
    std::vector<std::string> thinking_end_tags;
    std::string thinking_closing; // one of them, with the white space that belongs to it
};

class ChatFormat;
class ChatTokens;
struct ChatAnswers;

// A chat template of a model, or one that is given. Immutable; any thread; keeps the vocabulary alive.
//
// 1. Rendering runs in llama.cpp's Jinja engine within limits of time, memory and depth: a template can fail
// with
//    TemplateError, and nothing else.
// 2. Text of messages, tools and variables becomes no special token, whatever it spells, unless a request
// says
//    so. To the template such a spelling looks like one strange character: it does not find "</think>" in
//    content. Reasoning belongs in reasoning_content.
// 3. What a request costs beside rendering is computed once per template and once per set of tools.
class ChatTemplate {
  public:
    // The template `source`; else the model's template called `name`; else its default, and "tool_use" for
    // requests with tools if the model has one.
    //
    // Throws TemplateError for a template that cannot be parsed; UnsupportedError if the model has none, or
    // if the build has no limits for templates. Takes milliseconds.
    ChatTemplate(std::shared_ptr<const Tokenizer> tokenizer, const std::optional<std::string>& source,
                 const std::optional<std::string>& name);
    ~ChatTemplate();
    ChatTemplate(const ChatTemplate&) = delete;
    ChatTemplate& operator=(const ChatTemplate&) = delete;

    const std::string& source() const;
    // What llama.cpp found that the template can do, and enable_thinking: whether that makes a difference.
    const std::map<std::string, bool>& capabilities() const { return capabilities_; }
    // The names of the model's templates beside the default one.
    const std::vector<std::string>& variants() const { return variants_; }

    // Throws InvalidRequestError (field pointer) for inputs that are not of the expected shape, TemplateError
    // (fields reason and line) if the template fails.
    RenderedChat render(const ChatInputs& inputs) const;
    PreparedChat prepare(const ChatInputs& inputs) const;

    // The same by llama.cpp's own function, which analyses the template anew: for tests to compare with.
    // Special tokens in messages are parsed, and tokens are left out.
    PreparedChat reference(const ChatInputs& inputs) const;

  private:
    struct Native;
    struct Described;
    const ChatFormat& format_for(bool has_tools) const;
    std::shared_ptr<const Described> describe(ChatAnswers answers) const;
    void analyse(const ChatFormat& format) const;

    std::unique_ptr<Native> native_;
    std::unique_ptr<ChatTokens> tokens_;
    std::map<std::string, bool> capabilities_;
    std::vector<std::string> variants_;
};

} // namespace inllama
