// What is rendered by a chat template: OpenAI-shaped JSON texts and switches.
#pragma once

#include <map>
#include <optional>
#include <string>

namespace inllama {

struct ChatInputs {
    std::string messages = "[]";      // JSON list
    std::optional<std::string> tools; // JSON list
    std::string tool_choice = "auto"; // auto, none, required
    bool parallel_tool_calls = false;
    bool add_generation_prompt = true;
    bool continue_final_message = false;       // the last message is the beginning of the answer
    std::optional<bool> enable_thinking;       // none: what the template does by default
    bool reasoning = true;                     // reasoning is separated from content
    std::map<std::string, std::string> kwargs; // variables for the template, JSON texts
    std::optional<std::string> documents;      // JSON list
    std::optional<std::string> json_schema;    // of the answer's content, JSON
    bool parse_special_content = false;        // spellings in messages become special tokens
};

} // namespace inllama
