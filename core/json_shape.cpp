#include "core/json_shape.h"

#include "core/error.h"

#include <vector>

namespace inllama {

namespace {

[[noreturn]] void throw_shape(const std::string& what, const std::string& problem, size_t limit) {
    throw Error(ErrorKind::InvalidRequestError,
                what + " " + problem + " than " + std::to_string(limit) + "; make it smaller")
        .with("option", what)
        .with("limit", limit);
}

// Where the string that starts at `at` ends: behind its closing quote.
size_t end_of_string(std::string_view json, size_t at) {
    for (at++; at < json.size() && json[at] != '"'; at++) {
        if (json[at] == '\\') {
            at++;
        }
    }
    return at + 1;
}

} // namespace

void check_json_shape(std::string_view json, const std::string& what) {
    if (json.size() > kMaxJsonBytes) {
        throw_shape(what, "has more bytes", kMaxJsonBytes);
    }
    std::vector<size_t> n_members; // of each object that is open; of arrays it is not counted
    for (size_t at = 0; at < json.size();) {
        const char c = json[at];
        if (c == '"') {
            at = end_of_string(json, at);
            continue;
        }
        if (c == '[' || c == '{') {
            n_members.push_back(0);
            if (n_members.size() > kMaxJsonDepth) {
                throw_shape(what, "is nested deeper", kMaxJsonDepth);
            }
        } else if ((c == ']' || c == '}') && !n_members.empty()) {
            n_members.pop_back();
        } else if (c == ':' && !n_members.empty() && ++n_members.back() > kMaxJsonMembers) {
            throw_shape(what, "has an object with more members", kMaxJsonMembers);
        }
        at++;
    }
}

} // namespace inllama
