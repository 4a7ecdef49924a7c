// Reads OpenAI-shaped JSON into what llama.cpp's chat layer takes, with a sentence for whatever is wrong.
#pragma once

#include "core/hidden_text.h"
#include "core/llama/chat_inputs.h"

#include <chat.h>
#include <json.h>

#include <string>
#include <vector>

namespace inllama {

// What a request says, ready for llama.cpp.
struct ChatRequest {
    std::vector<common_chat_msg> messages;
    std::vector<common_chat_tool> tools;
    common_json json_schema;                       // null: none
    common_json variables = common_json::object(); // kwargs and documents
    bool hides_beside_messages = false;            // something in tools, schema or variables was replaced
};

// Reads `inputs`. With `hidden`, every string of it that reaches the template goes through it.
//
// Throws InvalidRequestError (field pointer, such as messages[2].role) for anything that is not of the
// expected shape; UnsupportedError for parts of messages that are no text.
ChatRequest read_chat_request(const ChatInputs& inputs, HiddenText* hidden);

} // namespace inllama
