// Bounds the shape of a JSON text before a parser builds a tree of it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace inllama {

// What is behind these recurses once per level, and looks through all members of an object for each of them.
inline constexpr size_t kMaxJsonBytes = size_t{64} << 20;
inline constexpr size_t kMaxJsonDepth = 128;
inline constexpr size_t kMaxJsonMembers = 4096;

// Returns if `json` is not larger, deeper or wider than the limits above; else throws InvalidRequestError,
// which names `what`, with the fields option and limit. Whether it is JSON at all is not looked at.
// Any thread; takes time in proportion to the text.
void check_json_shape(std::string_view json, const std::string& what);

} // namespace inllama
