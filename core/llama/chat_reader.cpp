#include "core/llama/chat_reader.h"

#include "core/error.h"
#include "core/json_shape.h"
#include "core/llama/json_strings.h"

#include <set>
#include <string_view>

namespace inllama {

namespace {

[[noreturn]] void throw_shape(const std::string& pointer, const std::string& problem) {
    throw Error(ErrorKind::InvalidRequestError, pointer + " " + problem).with("pointer", pointer);
}

std::string item(const std::string& list, size_t index) {
    return list + "[" + std::to_string(index) + "]";
}

// Reads one request; `hidden_` may be null.
class Reader {
  public:
    explicit Reader(HiddenText* hidden) : hidden_(hidden) {}

    std::vector<common_chat_msg> messages(const std::string& text) const;
    std::vector<common_chat_tool> tools(const std::string& text) const;
    common_json tree(const common_json& value) const {
        return hidden_ ? hide_strings(value, *hidden_) : value;
    }

  private:
    common_chat_msg message(const common_json& value, const std::string& at) const;
    void content(const common_json& value, const std::string& at, common_chat_msg& to) const;
    common_chat_msg_content_part part(const common_json& value, const std::string& at) const;
    common_chat_tool_call tool_call(const common_json& value, const std::string& at) const;
    common_chat_tool tool(const common_json& value, const std::string& at) const;
    std::string arguments(const common_json& function, const std::string& at) const;

    std::string hide(const std::string& text) const { return hidden_ ? hidden_->hide(text) : text; }
    std::string hide_json(const std::string& text) const {
        return hidden_ ? hide_json_text(text, *hidden_) : text;
    }
    // The string `key` of an object; "" if it is absent or null.
    std::string optional_text(const common_json& object, const char* key, const std::string& at) const;
    std::string name_of_function(const common_json& function, const std::string& at) const;

    HiddenText* hidden_;
};

// A member that may be absent or null.
const common_json* member(const common_json& object, const char* key) {
    if (!object.contains(key) || object.at(key).is_null()) {
        return nullptr;
    }
    return &object.at(key);
}

common_json list(const std::string& text, const std::string& what) {
    common_json value = parse_json(text, what);
    if (!value.is_array()) {
        throw_shape(what, "must be a list");
    }
    return value;
}

void need_object(const common_json& value, const std::string& at) {
    if (!value.is_object()) {
        throw_shape(at, "must be an object");
    }
}

const common_json& function_of(const common_json& value, const std::string& at) {
    need_object(value, at);
    const common_json* type = member(value, "type");
    if (type == nullptr || !type->is_string() || type->get<std::string>() != "function") {
        throw_shape(at + ".type", "must be \"function\"");
    }
    const common_json* function = member(value, "function");
    if (function == nullptr || !function->is_object()) {
        throw_shape(at + ".function", "must be an object");
    }
    return *function;
}

// Templates put roles into markers (phi: '<|' + role + '|>'), so a role is one word.
std::string role_of(const common_json& message, const std::string& at) {
    const common_json* role = member(message, "role");
    if (role == nullptr) {
        throw_shape(at + ".role",
                    "is missing; it is system, developer, user, assistant, tool, or what the template knows");
    }
    if (!role->is_string()) {
        throw_shape(at + ".role", "must be a string");
    }
    const std::string text = role->get<std::string>();
    constexpr std::string_view kCharacters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    if (text.empty() || text.size() > 64 || text.find_first_not_of(kCharacters) != std::string::npos) {
        throw_shape(at + ".role", "must be a word of at most 64 letters, digits, '_', '-' and '.'");
    }
    return text;
}

std::vector<common_chat_msg> Reader::messages(const std::string& text) const {
    std::vector<common_chat_msg> read;
    const common_json values = list(text, "messages");
    for (size_t i = 0; i < values.size(); i++) {
        read.push_back(message(values.at(i), item("messages", i)));
    }
    return read;
}

common_chat_msg Reader::message(const common_json& value, const std::string& at) const {
    need_object(value, at);
    common_chat_msg read;
    read.role = role_of(value, at);
    const common_json* tool_calls = member(value, "tool_calls");
    if (!value.contains("content") && tool_calls == nullptr) {
        throw_shape(at + ".content", "is missing");
    }
    if (const common_json* found = member(value, "content")) {
        content(*found, at + ".content", read);
    }
    if (tool_calls != nullptr) {
        if (!tool_calls->is_array()) {
            throw_shape(at + ".tool_calls", "must be a list");
        }
        for (size_t i = 0; i < tool_calls->size(); i++) {
            read.tool_calls.push_back(tool_call(tool_calls->at(i), item(at + ".tool_calls", i)));
        }
    }
    read.reasoning_content = optional_text(value, "reasoning_content", at);
    read.tool_name = optional_text(value, "name", at);
    read.tool_call_id = optional_text(value, "tool_call_id", at);
    return read;
}

void Reader::content(const common_json& value, const std::string& at, common_chat_msg& to) const {
    if (value.is_string()) {
        const std::string text = value.get<std::string>();
        // llama.cpp parses the results of tools for one family of models.
        const size_t first = text.find_first_not_of(" \t\r\n");
        if (to.role == "tool" && first != std::string::npos && (text[first] == '{' || text[first] == '[')) {
            check_json_shape(text, at);
        }
        to.content = to.role == "tool" ? hide_json(text) : hide(text);
        return;
    }
    if (!value.is_array()) {
        throw_shape(at, "must be a string, a list of parts or null");
    }
    for (size_t i = 0; i < value.size(); i++) {
        to.content_parts.push_back(part(value.at(i), item(at, i)));
    }
}

common_chat_msg_content_part Reader::part(const common_json& value, const std::string& at) const {
    need_object(value, at);
    const common_json* type = member(value, "type");
    if (type == nullptr || !type->is_string()) {
        throw_shape(at + ".type", "must be a string");
    }
    const std::string kind = type->get<std::string>();
    if (kind != "text") {
        throw Error(ErrorKind::UnsupportedError,
                    at + ".type is '" + kind + "', and this version reads text only; leave the part out")
            .with("pointer", at + ".type")
            .with("type", kind);
    }
    const common_json* text = member(value, "text");
    if (text == nullptr || !text->is_string()) {
        throw_shape(at + ".text", "must be a string");
    }
    return {kind, hide(text->get<std::string>())};
}

common_chat_tool_call Reader::tool_call(const common_json& value, const std::string& at) const {
    const common_json& function = function_of(value, at);
    common_chat_tool_call read;
    read.name = hide(name_of_function(function, at));
    read.arguments = arguments(function, at + ".function.arguments");
    read.id = optional_text(value, "id", at);
    return read;
}

std::string Reader::arguments(const common_json& function, const std::string& at) const {
    const common_json* found = member(function, "arguments");
    if (found == nullptr) {
        throw_shape(at, "is missing; a call without arguments has {}");
    }
    if (!found->is_string()) {
        return tree(*found).dump();
    }
    const std::string text = found->get<std::string>();
    const common_json value = parse_json(text, at);
    if (!value.is_object()) {
        throw_shape(at, "must be an object, or JSON of one in a string");
    }
    // Only strings in it: what is between them must stay JSON.
    const bool must_hide = hidden_ != nullptr && must_hide_strings(value, *hidden_);
    return must_hide ? tree(value).dump() : text;
}

std::vector<common_chat_tool> Reader::tools(const std::string& text) const {
    std::vector<common_chat_tool> read;
    std::set<std::string> names;
    const common_json values = list(text, "tools");
    for (size_t i = 0; i < values.size(); i++) {
        const std::string at = item("tools", i);
        read.push_back(tool(values.at(i), at));
        if (!names.insert(read.back().name).second) {
            throw_shape(at + ".function.name", "is the name of another tool too");
        }
    }
    return read;
}

common_chat_tool Reader::tool(const common_json& value, const std::string& at) const {
    const common_json& function = function_of(value, at);
    common_chat_tool read;
    read.name = hide(name_of_function(function, at));
    read.description = optional_text(function, "description", at + ".function");
    common_json parameters = common_json::object();
    if (const common_json* found = member(function, "parameters")) {
        need_object(*found, at + ".function.parameters");
        parameters = tree(*found);
    }
    read.parameters = parameters.dump();
    return read;
}

std::string Reader::name_of_function(const common_json& function, const std::string& at) const {
    const common_json* name = member(function, "name");
    if (name == nullptr || !name->is_string() || name->get<std::string>().empty()) {
        throw_shape(at + ".function.name", "must be a string that is not empty");
    }
    return name->get<std::string>();
}

std::string Reader::optional_text(const common_json& object, const char* key, const std::string& at) const {
    const common_json* found = member(object, key);
    if (found == nullptr) {
        return "";
    }
    if (!found->is_string()) {
        throw_shape(at + "." + key, "must be a string");
    }
    return hide(found->get<std::string>());
}

// Names that templates and llama.cpp's Jinja engine have a meaning for.
const std::set<std::string> kReserved = {
    "messages",
    "tools",
    "documents",
    "bos_token",
    "eos_token",
    "add_generation_prompt",
    "continue_final_message",
    "raise_exception",
    "strftime_now",
    "range",
    "namespace",
    "dict",
    "tojson",
    "loop",
    "caller",
    "true",
    "True",
    "false",
    "False",
    "none",
    "None",
};

bool is_name(const std::string& text) {
    constexpr std::string_view kCharacters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    return !text.empty() && text.size() <= 64 && text.find_first_not_of(kCharacters) == std::string::npos &&
           (text[0] < '0' || text[0] > '9');
}

common_json variables(const ChatInputs& inputs, const Reader& reader) {
    common_json read = common_json::object();
    if (inputs.documents) {
        read["documents"] = reader.tree(list(*inputs.documents, "documents"));
    }
    for (const auto& [name, text] : inputs.kwargs) {
        const std::string at = "chat_template_kwargs['" + name + "']";
        if (kReserved.count(name) > 0) {
            throw_shape(at, "would replace what the template is given otherwise; choose another name");
        }
        if (!is_name(name)) {
            throw_shape(at, "is not the name of a variable");
        }
        read[name] = reader.tree(parse_json(text, at));
    }
    return read;
}

} // namespace

ChatRequest read_chat_request(const ChatInputs& inputs, HiddenText* hidden) {
    const Reader reader(hidden);
    ChatRequest request;
    request.messages = reader.messages(inputs.messages);
    if (request.messages.empty()) {
        throw_shape("messages", "must not be empty");
    }
    const size_t n_in_messages = hidden != nullptr ? hidden->n_replaced() : 0;
    if (inputs.tools) {
        request.tools = reader.tools(*inputs.tools);
    }
    if (inputs.json_schema) {
        common_json schema = parse_json(*inputs.json_schema, "json_schema");
        need_object(schema, "json_schema");
        request.json_schema = reader.tree(schema);
    }
    request.variables = variables(inputs, reader);
    request.hides_beside_messages = hidden != nullptr && hidden->n_replaced() > n_in_messages;
    return request;
}

} // namespace inllama
