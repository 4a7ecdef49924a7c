#include "core/llama/chat_template.h"

#include "core/error.h"
#include "core/llama/chat_format.h"
#include "core/llama/chat_params.h"
#include "core/llama/chat_sources.h"
#include "core/llama/chat_tokens.h"
#include "core/llama/template_run.h"
#include "core/lru_cache.h"
#include "core/utf8_stream.h"

#include <chat-auto-parser-helpers.h>
#include <chat.h>
#include <llama.h>

#include <algorithm>
#include <utility>

namespace inllama {

namespace {

// Parsers and grammars of 20 tools take about 200 KB each.
constexpr size_t kMaxDescribedBytes = size_t{32} << 20;

// What decides how answers look, beside the generation prompt.
std::string key_of(const ChatInputs& inputs) {
    std::string key;
    const auto add = [&](const std::string& part) {
        key += std::to_string(part.size());
        key += ':';
        key += part;
    };
    const auto add_optional = [&](const std::optional<std::string>& part) { add(part ? "+" + *part : "-"); };
    add_optional(inputs.tools);
    add(inputs.tool_choice);
    add_optional(inputs.json_schema);
    add_optional(inputs.documents);
    for (const auto& [name, value] : inputs.kwargs) {
        add(name);
        add(value);
    }
    for (const bool flag : {inputs.parallel_tool_calls, inputs.add_generation_prompt, inputs.reasoning,
                            inputs.enable_thinking.has_value(), inputs.enable_thinking.value_or(true)}) {
        key += flag ? '1' : '0';
    }
    return key;
}

HiddenText::Restored restored(const HiddenText& hidden, const std::string& rendered) {
    HiddenText::Restored text = hidden.restore(rendered);
    if (valid_utf8_prefix(text.text) < text.text.size()) {
        throw Error(ErrorKind::TemplateError,
                    "what the chat template renders is not UTF-8: it cuts text inside a character")
            .with("reason", "not UTF-8");
    }
    return text;
}

const char* kind_of(common_grammar_trigger_type type) {
    switch (type) {
    case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
        return "pattern";
    case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
        return "pattern_full";
    default:
        return "word";
    }
}

// A word that is a single special token is waited for as such.
ChatTrigger describe_trigger(const common_grammar_trigger& trigger, const std::vector<Token>& preserved,
                             const ChatTokens& tokens) {
    if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN) {
        return {"token", trigger.token};
    }
    if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
        const auto token = tokens.single(trigger.value);
        if (token && std::find(preserved.begin(), preserved.end(), *token) != preserved.end()) {
            return {"token", *token};
        }
    }
    return {kind_of(trigger.type), trigger.value};
}

// Whether the prompt is a whole conversation, after which a vocabulary may ask for its end token.
bool is_complete(const ChatInputs& inputs) {
    return !inputs.add_generation_prompt && !inputs.continue_final_message;
}

} // namespace

// How answers are written, for all requests of one shape.
struct ChatTemplate::Described {
    std::shared_ptr<const common_peg_arena> arena;
    int format;
    PreparedChat chat; // without a prompt
    size_t cost;       // bytes, about
};

struct ChatTemplate::Native {
    std::unique_ptr<ChatFormat> by_default;
    std::unique_ptr<ChatFormat> with_tools; // null: the same
    common_chat_templates_ptr templates;    // for reference()
    bool adds_bos;
    bool adds_eos;
    LruCache<std::shared_ptr<const Described>> described{kMaxDescribedBytes};
};

ChatTemplate::ChatTemplate(std::shared_ptr<const Tokenizer> tokenizer,
                           const std::optional<std::string>& source, const std::optional<std::string>& name)
    : native_(std::make_unique<Native>()), tokens_(std::make_unique<ChatTokens>(tokenizer)),
      variants_(template_names(tokenizer->model()->model)) {
    const llama_model* model = tokenizer->model()->model;
    const ChatSources sources = find_chat_sources(model, source, name);
    const auto spelling = [&](std::optional<Token> token) {
        return token ? tokenizer->piece(*token, true) : std::string();
    };
    const std::string bos = spelling(tokenizer->bos());
    const std::string eos = spelling(tokenizer->eos());
    native_->adds_bos = tokenizer->adds_bos();
    native_->adds_eos = tokenizer->adds_eos();
    run_template(sources.by_default, {}, [&] {
        // Parsed here first: llama.cpp's own function loses what is wrong.
        native_->by_default = std::make_unique<ChatFormat>(sources.by_default, bos, eos);
        native_->templates = common_chat_templates_init(model, sources.by_default);
        // It mends some templates that are known to be broken.
        const std::string mended = common_chat_templates_source(native_->templates.get());
        if (mended != native_->by_default->source()) {
            native_->by_default = std::make_unique<ChatFormat>(mended, bos, eos);
        }
    });
    if (sources.with_tools) {
        run_template(*sources.with_tools, {}, [&] {
            native_->with_tools = std::make_unique<ChatFormat>(*sources.with_tools, bos, eos);
            native_->templates = common_chat_templates_init(model, "");
        });
    }
    const ChatFormat& richest = format_for(true);
    capabilities_ = richest.native().original_caps().to_map();
    capabilities_["enable_thinking"] = richest.has_thinking_switch();
}

ChatTemplate::~ChatTemplate() = default;

const std::string& ChatTemplate::source() const {
    return native_->by_default->source();
}

const ChatFormat& ChatTemplate::format_for(bool has_tools) const {
    return has_tools && native_->with_tools ? *native_->with_tools : *native_->by_default;
}

void ChatTemplate::analyse(const ChatFormat& format) const {
    if (format.needs_analysis()) {
        run_template(format.source(), kAnalysisLimits, [&] { format.analyse(); });
    }
}

RenderedChat ChatTemplate::render(const ChatInputs& inputs) const {
    HiddenText hidden(tokens_->special());
    const ChatRequest request = read_chat_request(inputs, inputs.parse_special_content ? nullptr : &hidden);
    const ChatFormat& format = format_for(!request.tools.empty());
    if (inputs.continue_final_message) {
        analyse(format);
    }
    std::string text;
    run_template(format.source(), {}, [&] {
        const auto params =
            chat_params(format.native(), request, inputs, native_->adds_bos, native_->adds_eos);
        text = format.prompt(params, false).text;
    });
    HiddenText::Restored prompt = restored(hidden, text);
    std::vector<Token> tokens = tokens_->encode(prompt, is_complete(inputs));
    return {std::move(prompt.text), std::move(tokens)};
}

PreparedChat ChatTemplate::prepare(const ChatInputs& inputs) const {
    HiddenText hidden(tokens_->special());
    const ChatRequest request = read_chat_request(inputs, inputs.parse_special_content ? nullptr : &hidden);
    // Answers are described with the tools as they are.
    ChatRequest plain = request.hides_beside_messages ? read_chat_request(inputs, nullptr) : request;
    plain.messages = request.messages;
    const ChatFormat& format = format_for(!request.tools.empty());
    analyse(format);

    ChatFormat::Prompt prompt;
    std::shared_ptr<const Described> described;
    run_template(format.source(), {}, [&] {
        const auto params_of = [&](const ChatRequest& of) {
            return chat_params(format.native(), of, inputs, native_->adds_bos, native_->adds_eos);
        };
        prompt = format.prompt(params_of(request), true);
        const bool is_default = &format == native_->by_default.get();
        const std::string key = (is_default ? "d" : "t") + key_of(inputs) + prompt.generation_prompt;
        described = native_->described.find(key).value_or(nullptr);
        if (!described || inputs.continue_final_message) {
            described = describe(format.answers(params_of(plain)));
            if (!inputs.continue_final_message) { // the next one continues something else
                native_->described.insert(key, described, described->cost + key.size());
            }
        }
    });
    HiddenText::Restored text = restored(hidden, prompt.text);
    PreparedChat prepared = described->chat;
    prepared.tokens = tokens_->encode(text, is_complete(inputs));
    prepared.text = std::move(text.text);
    prepared.generation_prompt = restored(hidden, prompt.generation_prompt).text;
    prepared.parser = std::make_shared<ChatParser>(described->arena, described->format,
                                                   prepared.generation_prompt, inputs.continue_final_message);
    return prepared;
}

std::shared_ptr<const ChatTemplate::Described> ChatTemplate::describe(ChatAnswers answers) const {
    auto described = std::make_shared<Described>();
    PreparedChat& chat = described->chat;
    common_chat_params& params = answers.params;
    for (const std::string& spelling : params.preserved_tokens) {
        if (const auto token = tokens_->single(spelling)) {
            chat.preserved_tokens.push_back(*token);
        }
    }
    for (const common_grammar_trigger& trigger : params.grammar_triggers) {
        chat.triggers.push_back(describe_trigger(trigger, chat.preserved_tokens, *tokens_));
    }
    // A parser takes some multiple of the grammar that is made of it.
    described->cost = 10 * params.grammar.size() + 200 * answers.arena->size();
    described->arena = std::move(answers.arena);
    described->format = params.format;
    if (!params.grammar.empty()) {
        chat.grammar = std::move(params.grammar);
    }
    chat.is_grammar_lazy = params.grammar_lazy;
    chat.stops = std::move(params.additional_stops);
    chat.supports_thinking = params.supports_thinking;
    chat.thinking_start_tag = std::move(params.thinking_start_tag);
    chat.thinking_end_tags = std::move(params.thinking_end_tags);
    chat.thinking_closing = std::move(answers.thinking_closing);
    if (trim_whitespace(chat.thinking_closing).empty() && !chat.thinking_end_tags.empty()) {
        chat.thinking_closing = chat.thinking_end_tags.front();
    }
    return described;
}

PreparedChat ChatTemplate::reference(const ChatInputs& inputs) const {
    const ChatRequest request = read_chat_request(inputs, nullptr);
    common_chat_templates_inputs native;
    native.messages = request.messages;
    native.tools = request.tools;
    native.tool_choice = common_chat_tool_choice_parse_oaicompat(inputs.tool_choice);
    native.parallel_tool_calls = inputs.parallel_tool_calls;
    native.add_generation_prompt = inputs.add_generation_prompt;
    native.continue_final_message =
        inputs.continue_final_message ? COMMON_CHAT_CONTINUATION_AUTO : COMMON_CHAT_CONTINUATION_NONE;
    native.reasoning_format =
        inputs.reasoning ? COMMON_REASONING_FORMAT_DEEPSEEK : COMMON_REASONING_FORMAT_NONE;
    native.enable_thinking = inputs.enable_thinking.value_or(true);
    native.json_schema = inputs.json_schema.value_or("");
    native.chat_template_kwargs = inputs.kwargs;
    if (inputs.documents) {
        native.chat_template_kwargs["documents"] = *inputs.documents;
    }
    PreparedChat prepared;
    run_template(format_for(!request.tools.empty()).source(), {}, [&] {
        const common_chat_params params = common_chat_templates_apply(native_->templates.get(), native);
        std::string generation_prompt = params.generation_prompt;
        const std::shared_ptr<const Described> described = describe(ChatFormat::describe(params));
        prepared = described->chat;
        prepared.text = params.prompt;
        prepared.parser = std::make_shared<ChatParser>(described->arena, described->format, generation_prompt,
                                                       inputs.continue_final_message);
        prepared.generation_prompt = std::move(generation_prompt);
    });
    return prepared;
}

} // namespace inllama
