#include "core/llama/chat_sources.h"

#include "core/error.h"
#include "core/hidden_text.h"
#include "core/llama/native_text.h"
#include "core/llama/template_run.h"
#include "core/utf8_stream.h"

#include <llama.h>

#include <algorithm>

namespace inllama {

namespace {

constexpr const char* kToolUse = "tool_use";
constexpr std::string_view kPrefix = "tokenizer.chat_template.";

Error bad_source(const std::string& reason) {
    return Error(ErrorKind::TemplateError, "the chat template " + reason).with("reason", reason);
}

std::string checked(std::string source) {
    if (source.size() > kMaxTemplateBytes) {
        throw bad_source("has " + std::to_string(source.size()) + " bytes but at most " +
                         std::to_string(kMaxTemplateBytes) + " are possible; shorten it")
            .with("n_bytes", source.size())
            .with("limit", kMaxTemplateBytes);
    }
    if (source.find("{{") == std::string::npos && source.find("{%") == std::string::npos) {
        throw bad_source(
            "has neither '{{' nor '{%', so it renders no messages; give the text of a Jinja template");
    }
    if (valid_utf8_prefix(source) < source.size()) {
        throw bad_source("is not UTF-8");
    }
    if (has_private_characters(source)) {
        throw bad_source(
            "has characters of Unicode's private planes 15 and 16, which stand for special tokens "
            "while a template is rendered; take them out");
    }
    return source;
}

std::optional<std::string> template_of(const llama_model* model, const char* name) {
    const char* text = llama_model_chat_template(model, name);
    return text == nullptr ? std::nullopt : std::optional<std::string>(text);
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) {
        text += (text.empty() ? "" : ", ") + name;
    }
    return text;
}

} // namespace

std::vector<std::string> template_names(const llama_model* model) {
    std::vector<std::string> names;
    for (int32_t i = 0; i < llama_model_meta_count(model); i++) {
        const std::string key = read_text(
            [&](char* text, size_t size) { return llama_model_meta_key_by_index(model, i, text, size); });
        if (key.compare(0, kPrefix.size(), kPrefix) == 0) {
            names.push_back(key.substr(kPrefix.size()));
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

ChatSources find_chat_sources(const llama_model* model, const std::optional<std::string>& source,
                              const std::optional<std::string>& name) {
    if (source) {
        return {checked(*source), std::nullopt};
    }
    if (name) {
        if (const auto named = template_of(model, name->c_str())) {
            return {checked(*named), std::nullopt};
        }
        const std::vector<std::string> names = template_names(model);
        throw Error(ErrorKind::UnsupportedError,
                    "the model has no chat template '" + *name + "'" +
                        (names.empty() ? "; it has none with a name" : "; it has " + joined(names)))
            .with("name", *name);
    }
    const auto by_default = template_of(model, nullptr);
    const auto with_tools = template_of(model, kToolUse);
    if (!by_default && !with_tools) {
        throw Error(
            ErrorKind::UnsupportedError,
            "the model file has no chat template; give the text of one, or use generate() with a prompt in "
            "the model's format");
    }
    ChatSources sources{checked(by_default ? *by_default : *with_tools), std::nullopt};
    if (by_default && with_tools) {
        sources.with_tools = checked(*with_tools);
    }
    return sources;
}

} // namespace inllama
