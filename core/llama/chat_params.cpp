#include "core/llama/chat_params.h"

#include "core/error.h"
#include "core/llama/json_strings.h"
#include "core/platform/calendar.h"

#include <chat-auto-parser-helpers.h>

#include <chrono>
#include <ctime>
#include <iomanip>
#include <sstream>

namespace inllama {

namespace {

using Params = autoparser::generation_params;

bool mentions(const common_chat_template& native, const char* text) {
    return native.source().find(text) != std::string::npos;
}

common_chat_tool_choice tool_choice(const std::string& name) {
    if (name == "auto") {
        return COMMON_CHAT_TOOL_CHOICE_AUTO;
    }
    if (name == "none") {
        return COMMON_CHAT_TOOL_CHOICE_NONE;
    }
    if (name == "required") {
        return COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    }
    throw Error(ErrorKind::InvalidRequestError, "tool_choice is '" + name + "'; use auto, none or required")
        .with("option", "tool_choice");
}

std::string date(std::time_t now, const char* format) {
    const std::tm local = local_time(now);
    std::ostringstream text;
    text << std::put_time(&local, format);
    return text.str();
}

// StepFun's models reason in circles when there is white space around a message.
void trim(std::vector<common_chat_msg>& messages) {
    for (common_chat_msg& message : messages) {
        message.content = trim_whitespace(message.content);
        message.reasoning_content = trim_whitespace(message.reasoning_content);
        for (common_chat_msg_content_part& part : message.content_parts) {
            part.text = trim_whitespace(part.text);
        }
    }
}

// Some templates take content as a string only, some as a list of parts only.
common_json messages_for(const chat_template_caps& caps, const std::vector<common_chat_msg>& messages) {
    const bool only_strings = caps.supports_string_content && !caps.supports_typed_content;
    const bool only_parts = !caps.supports_string_content && caps.supports_typed_content;
    common_json values = common_chat_msgs_to_json_oaicompat(messages, only_strings);
    for (size_t i = 0; only_parts && i < values.size(); i++) {
        common_json& content = values.at(i).at("content");
        if (content.is_string()) {
            common_json part = common_json::object();
            part["type"] = "text";
            part["text"] = content.get<std::string>();
            common_json parts = common_json::array();
            parts.push_back(part);
            content = parts;
        }
    }
    return values;
}

// Takes the last message out: it is the beginning of the answer.
void continue_last(const std::vector<common_chat_msg>& messages, Params& params) {
    if (messages.back().role != "assistant") {
        throw Error(
            ErrorKind::InvalidRequestError,
            "continue_final_message needs a message of the assistant at the end, and the last one is of "
            "the role '" +
                messages.back().role + "'")
            .with("option", "continue_final_message");
    }
    params.add_generation_prompt = false;
    params.continue_msg = messages.back();
    params.messages.erase(params.messages.size() - 1);
    const bool has_content =
        !params.continue_msg.content.empty() || !params.continue_msg.content_parts.empty();
    params.continue_final_message = !params.continue_msg.reasoning_content.empty() && !has_content
                                        ? COMMON_CHAT_CONTINUATION_REASONING
                                        : COMMON_CHAT_CONTINUATION_CONTENT;
}

void rename_developer(common_json& messages) {
    for (common_json& message : messages) {
        if (message.at("role") == "developer") {
            message["role"] = "system";
        }
    }
}

// Gives the text of the system message to the one after it.
void merge_system(common_json& messages) {
    if (messages.empty() || messages.at(size_t{0}).at("role") != "system") {
        return;
    }
    if (messages.size() > 1) {
        const common_json& first = messages.at(size_t{0}).at("content");
        common_json& second = messages.at(size_t{1})["content"];
        if (!first.is_string() || !second.is_string()) {
            throw Error(
                ErrorKind::InvalidRequestError,
                "the chat template knows no system message, and its text cannot be put before a message "
                "that is a list of parts; give both as strings")
                .with("pointer", "messages[0].content");
        }
        second = first.get<std::string>() + "\n" + second.get<std::string>();
    }
    messages.erase(size_t{0});
}

// The arguments of calls as objects instead of JSON in strings.
void parse_arguments(common_json& messages) {
    for (common_json& message : messages) {
        if (!message.contains("tool_calls")) {
            continue;
        }
        for (common_json& call : message["tool_calls"]) {
            common_json& arguments = call["function"]["arguments"];
            if (arguments.is_string()) {
                arguments = parse_json(arguments.get<std::string>(), "the arguments of a tool call");
            }
        }
    }
}

void set_enable_thinking(const ChatInputs& inputs, Params& params) {
    params.enable_thinking = inputs.enable_thinking.value_or(true);
    if (!params.extra_context.contains("enable_thinking")) {
        return;
    }
    const common_json& value = params.extra_context.at("enable_thinking");
    if (!value.is_boolean() || (inputs.enable_thinking && *inputs.enable_thinking != value.get<bool>())) {
        throw Error(ErrorKind::InvalidRequestError,
                    "chat_template_kwargs['enable_thinking'] must be true or false, and not the opposite of "
                    "what is asked for otherwise")
            .with("pointer", "chat_template_kwargs['enable_thinking']");
    }
    params.enable_thinking = value.get<bool>();
}

} // namespace

Params chat_params(const common_chat_template& native, const ChatRequest& request, const ChatInputs& inputs,
                   bool adds_bos, bool adds_eos) {
    const chat_template_caps caps = native.original_caps();
    Params params;
    params.tools = common_chat_tools_to_json_oaicompat(request.tools);
    if (mentions(native, "You have access to the following functions in JSONSchema format")) {
        std::vector<common_chat_msg> trimmed = request.messages;
        trim(trimmed);
        params.messages = messages_for(caps, trimmed);
    } else {
        params.messages = messages_for(caps, request.messages);
    }
    params.tool_choice = tool_choice(inputs.tool_choice);
    params.parallel_tool_calls = inputs.parallel_tool_calls;
    params.reasoning_format =
        inputs.reasoning ? COMMON_REASONING_FORMAT_DEEPSEEK : COMMON_REASONING_FORMAT_NONE;
    params.json_schema = request.json_schema;
    params.now = std::chrono::system_clock::now();
    params.add_bos = adds_bos;
    params.add_eos = adds_eos;
    params.add_generation_prompt = inputs.add_generation_prompt;
    if (inputs.continue_final_message) {
        continue_last(request.messages, params);
    }
    if (!mentions(native, "<|channel|>")) {
        rename_developer(params.messages);
    }
    if (!caps.supports_system_role) {
        merge_system(params.messages);
    }
    if (caps.supports_object_arguments) {
        parse_arguments(params.messages);
    }
    const std::time_t now = std::chrono::system_clock::to_time_t(params.now);
    params.extra_context = common_json::object();
    params.extra_context["datetime"] = date(now, "%b %d %Y");
    params.extra_context["date_string"] = date(now, "%d %b %Y");
    for (const auto& [name, value] : request.variables.items()) {
        params.extra_context[name] = value;
    }
    set_enable_thinking(inputs, params);
    return params;
}

} // namespace inllama
