#include "core/hidden_text.h"

#include "core/error.h"
#include "core/utf8_stream.h"

#include <optional>

namespace inllama {

namespace {

// Planes 15 and 16: U+F0000 to U+10FFFF.
constexpr uint32_t kFirst = 0xF0000;
constexpr size_t kMost = 0x20000;
constexpr size_t kCharacterBytes = 4;
// How JSON in ASCII writes them: two surrogates, the first of which is \udb80 to \udbff.
constexpr std::string_view kEscape = "\\udb";
constexpr size_t kEscapeBytes = 12;

std::string character(size_t index) {
    const uint32_t code = kFirst + static_cast<uint32_t>(index);
    return {static_cast<char>(0xF0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 0x3F)),
            static_cast<char>(0x80 | (code >> 6 & 0x3F)), static_cast<char>(0x80 | (code & 0x3F))};
}

// The index of the character that `text` starts with, if it is one of ours.
std::optional<size_t> index_at(std::string_view text) {
    if (text.size() < kCharacterBytes || (static_cast<unsigned char>(text[0]) & 0xF8) != 0xF0) {
        return std::nullopt;
    }
    uint32_t code = static_cast<unsigned char>(text[0]) & 7;
    for (size_t i = 1; i < kCharacterBytes; i++) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if ((byte & 0xC0) != 0x80) {
            return std::nullopt;
        }
        code = code << 6 | (byte & 0x3F);
    }
    return code >= kFirst && code - kFirst < kMost ? std::optional<size_t>(code - kFirst) : std::nullopt;
}

std::optional<uint32_t> hex(std::string_view digits) {
    uint32_t value = 0;
    for (const char c : digits) {
        const bool is_digit = c >= '0' && c <= '9';
        const bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'f';
        if (!is_digit && !is_letter) {
            return std::nullopt;
        }
        value = value << 4 | static_cast<uint32_t>(is_digit ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

// The same of an escaped one.
std::optional<size_t> escaped_index_at(std::string_view text) {
    if (text.size() < kEscapeBytes || text.substr(0, kEscape.size()) != kEscape ||
        text.substr(6, 2) != "\\u") {
        return std::nullopt;
    }
    const std::optional<uint32_t> high = hex(text.substr(2, 4));
    const std::optional<uint32_t> low = hex(text.substr(8, 4));
    if (!high || !low || *high < 0xDB80 || (*low & 0xFC00) != 0xDC00) {
        return std::nullopt;
    }
    return 0x10000 + ((*high - 0xD800) << 10 | (*low - 0xDC00)) - kFirst;
}

void append_json_escaped(std::string_view text, std::string& to) {
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            to += '\\';
        }
        to += c;
    }
}

// Where a character of ours, or the way to write one, starts in `text`.
size_t find_private(std::string_view text, size_t from) {
    for (size_t at = from; at < text.size(); at++) {
        const auto byte = static_cast<unsigned char>(text[at]);
        if ((byte >= 0xF3 && index_at(text.substr(at))) ||
            (byte == '\\' && text.substr(at, kEscape.size()) == kEscape)) {
            return at;
        }
    }
    return std::string_view::npos;
}

[[noreturn]] void throw_cut(const std::string& spelling) {
    throw Error(
        ErrorKind::TemplateError,
        "the chat template takes the text of a message apart inside '" + spelling +
            "', which spells out a special token; leave that out of the message, or allow messages to "
            "have special tokens with parse_special_content=True")
        .with("spelling", spelling);
}

} // namespace

bool has_private_characters(std::string_view text) {
    for (size_t at = 0; at < text.size(); at++) {
        if (static_cast<unsigned char>(text[at]) >= 0xF3 && index_at(text.substr(at))) {
            return true;
        }
    }
    return false;
}

bool HiddenText::must_hide(std::string_view text) const {
    return special_.n_could_end(text) > 0 || special_.n_could_begin(text) > 0 ||
           special_.find(text, 0).has_value() || find_private(text, 0) != std::string_view::npos;
}

std::string HiddenText::hide(std::string_view text) {
    std::string hidden;
    hidden.reserve(text.size());
    auto match = special_.find(text, 0);
    size_t at = special_.n_could_end(text.substr(0, match ? match->begin : text.size()));
    append_hidden(text.substr(0, at), Kind::end, hidden);
    for (; match; match = special_.find(text, at)) {
        append_inner(text.substr(at, match->begin - at), hidden);
        append_hidden(text.substr(match->begin, match->end - match->begin), Kind::spelling, hidden);
        at = match->end;
    }
    const size_t end = text.size() - special_.n_could_begin(text.substr(at));
    append_inner(text.substr(at, end - at), hidden);
    append_hidden(text.substr(end), Kind::end, hidden);
    return hidden;
}

void HiddenText::append_inner(std::string_view text, std::string& to) {
    size_t at = 0;
    for (size_t found = find_private(text, 0); found != std::string_view::npos;
         found = find_private(text, at)) {
        to += text.substr(at, found - at);
        append_hidden(text.substr(found, kCharacterBytes), Kind::verbatim, to);
        at = found + kCharacterBytes;
    }
    to += text.substr(at);
}

void HiddenText::append_hidden(std::string_view text, Kind kind, std::string& to) {
    if (text.empty()) {
        return;
    }
    std::string key(1, static_cast<char>(kind));
    key += text;
    const auto [known, is_new] = index_.emplace(std::move(key), hidden_.size());
    if (is_new) {
        if (hidden_.size() == kMost) {
            throw Error(ErrorKind::InvalidRequestError, "the messages spell out more than " +
                                                            std::to_string(kMost) +
                                                            " different special tokens")
                .with("limit", kMost);
        }
        hidden_.push_back({std::string(text), kind});
    }
    to += character(known->second);
    n_replaced_++;
}

void HiddenText::append_original(size_t index, bool as_json, Restored& to) const {
    const Hidden& hidden = hidden_[index];
    const size_t begin = to.text.size();
    if (as_json) {
        append_json_escaped(hidden.text, to.text);
    } else {
        to.text += hidden.text;
    }
    if (hidden.kind != Kind::verbatim) {
        to.spans.push_back({begin, to.text.size(), hidden.kind == Kind::spelling});
    }
}

HiddenText::Restored HiddenText::restore(std::string_view rendered) const {
    Restored restored;
    if (hidden_.empty()) {
        restored.text = rendered;
        return restored;
    }
    if (valid_utf8_prefix(rendered) < rendered.size()) {
        throw_cut(hidden_.front().text);
    }
    restored.text.reserve(rendered.size());
    size_t at = 0;
    for (size_t found = find_private(rendered, 0); found != std::string_view::npos;
         found = find_private(rendered, at)) {
        restored.text += rendered.substr(at, found - at);
        const bool is_escaped = rendered[found] == '\\';
        const auto index =
            is_escaped ? escaped_index_at(rendered.substr(found)) : index_at(rendered.substr(found));
        const size_t n_bytes = is_escaped ? kEscapeBytes : kCharacterBytes;
        if (index && *index < hidden_.size()) {
            append_original(*index, is_escaped, restored);
            at = found + n_bytes;
        } else {
            restored.text += rendered[found];
            at = found + 1;
        }
    }
    restored.text += rendered.substr(at);
    return restored;
}

} // namespace inllama
