#include "core/llama/json_strings.h"

#include "core/error.h"
#include "core/json_shape.h"

namespace inllama {

common_json parse_json(const std::string& text, const std::string& what) {
    check_json_shape(text, what);
    try {
        return common_json::parse(text);
    } catch (const common_json_error& error) {
        throw Error(ErrorKind::InvalidRequestError, what + " is not JSON: " + error.what())
            .with("option", what)
            .with("reason", std::string(error.what()));
    }
}

common_json hide_strings(const common_json& value, HiddenText& hidden) {
    if (value.is_string()) {
        return common_json(hidden.hide(value.get<std::string>()));
    }
    if (value.is_array()) {
        common_json copy = common_json::array();
        for (const common_json& item : value) {
            copy.push_back(hide_strings(item, hidden));
        }
        return copy;
    }
    if (value.is_object()) {
        common_json copy = common_json::object();
        for (const auto& [key, item] : value.items()) {
            copy[hidden.hide(key)] = hide_strings(item, hidden);
        }
        return copy;
    }
    return value;
}

bool must_hide_strings(const common_json& value, const HiddenText& hidden) {
    if (value.is_string()) {
        return hidden.must_hide(value.get<std::string>());
    }
    if (value.is_array()) {
        for (const common_json& item : value) {
            if (must_hide_strings(item, hidden)) {
                return true;
            }
        }
    } else if (value.is_object()) {
        for (const auto& [key, item] : value.items()) {
            if (hidden.must_hide(key) || must_hide_strings(item, hidden)) {
                return true;
            }
        }
    }
    return false;
}

std::string hide_json_text(const std::string& text, HiddenText& hidden) {
    if (text.find('\\') != std::string::npos) {
        const common_json value = common_json::parse_no_throw(text);
        if (!value.is_discarded() && must_hide_strings(value, hidden)) {
            return hide_strings(value, hidden).dump();
        }
    }
    return hidden.hide(text);
}

} // namespace inllama
