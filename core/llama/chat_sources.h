// The chat templates that a model file has.
#pragma once

#include <optional>
#include <string>
#include <vector>

struct llama_model;

namespace inllama {

struct ChatSources {
    std::string by_default;
    std::optional<std::string> with_tools; // for requests with tools, if it is another one
};

// The names of the model's templates beside the default one, in alphabetical order.
std::vector<std::string> template_names(const llama_model* model);

// `source`; else the model's template `name`; else its default, with "tool_use" if it has that.
//
// Throws UnsupportedError if there is no such template, TemplateError (fields reason, n_bytes, limit) for a
// text that cannot be a template.
ChatSources find_chat_sources(const llama_model* model, const std::optional<std::string>& source,
                              const std::optional<std::string>& name);

} // namespace inllama
