// Walks the strings of a JSON value.
#pragma once

#include "core/hidden_text.h"

#include <json.h>

#include <string>

namespace inllama {

// Parses `text`. Throws InvalidRequestError (fields option and reason), which names `what`, if it is not JSON
// or beyond the limits of check_json_shape.
common_json parse_json(const std::string& text, const std::string& what);

// `value` with every string and key replaced by hidden.hide().
common_json hide_strings(const common_json& value, HiddenText& hidden);

// Whether hide_strings() would change anything.
bool must_hide_strings(const common_json& value, const HiddenText& hidden);

// `text`, which may be JSON in a string, such as the arguments of a tool call: what its escapes hide is
// hidden too, since templates and llama.cpp may parse it.
std::string hide_json_text(const std::string& text, HiddenText& hidden);

} // namespace inllama
