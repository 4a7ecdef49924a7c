#include "core/gbnf_characters.h"

#include <algorithm>
#include <cstdio>

namespace inllama {

namespace {

constexpr uint32_t kLastCharacter = 0x10FFFF;

bool is_plain(uint32_t code_point) {
    const auto letter = code_point | 0x20;
    return (letter >= 'a' && letter <= 'z') || (code_point >= '0' && code_point <= '9');
}

} // namespace

std::vector<uint32_t> code_points(std::string_view text) {
    std::vector<uint32_t> found;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte & 0xC0) == 0x80 && !found.empty()) {
            found.back() = found.back() << 6 | (byte & 0x3F);
        } else {
            found.push_back(byte < 0x80    ? byte
                            : byte >= 0xF0 ? byte & 0x07
                            : byte >= 0xE0 ? byte & 0x0F
                                           : byte & 0x1F);
        }
    }
    return found;
}

void append_character(uint32_t code_point, bool is_pattern, std::string& to) {
    if (is_plain(code_point)) {
        to.push_back(static_cast<char>(code_point));
        return;
    }
    char escape[16];
    const char* format = is_pattern ? "\\u{%x}" : code_point <= 0xFFFF ? "\\u%04x" : "\\U%08x";
    std::snprintf(escape, sizeof escape, format, static_cast<unsigned>(code_point));
    to += escape;
}

std::string class_of(const GbnfNode& node, bool is_pattern) {
    if (node.ranges.empty()) {
        return is_pattern ? "[\\u{0}-\\u{d7ff}\\u{e000}-\\u{10ffff}]"
                          : "[\\u0000-\\ud7ff\\ue000-\\U0010ffff]";
    }
    std::string written = node.is_negated ? "[^" : "[";
    for (const auto& [first, last] : node.ranges) {
        append_character(first, is_pattern, written);
        if (last != first) {
            written += "-";
            append_character(last, is_pattern, written);
        }
    }
    return written + "]";
}

uint32_t width_of(const GbnfNode& node) {
    uint32_t width = 0;
    for (const auto& [first, last] : node.ranges) {
        width += std::min(last, kLastCharacter) - std::min(first, last) + 1;
        width = std::min(width, kLastCharacter);
    }
    return node.is_negated ? kLastCharacter : width;
}

} // namespace inllama
