// A request in the shape that llama.cpp's templates and parsers take.
#pragma once

#include "core/llama/chat_inputs.h"
#include "core/llama/chat_reader.h"

#include <chat-auto-parser.h>

namespace inllama {

// What llama.cpp itself would give to the parts of its chat layer for this request
// (common_chat_templates_apply in its chat.cpp): messages in the shape that the template understands, and the
// variables that it is given.
//
// Throws InvalidRequestError for messages that the template cannot take.
autoparser::generation_params chat_params(const common_chat_template& native, const ChatRequest& request,
                                          const ChatInputs& inputs, bool adds_bos, bool adds_eos);

} // namespace inllama
