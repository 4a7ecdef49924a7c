#include "core/gbnf_reader.h"

#include "core/error.h"
#include "core/utf8_stream.h"

namespace inllama {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || is_digit(c);
}
bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

} // namespace

void fail_gbnf(std::string_view text, size_t offset, const std::string& problem) {
    size_t line = 1, column = 1;
    for (size_t i = 0; i < offset && i < text.size(); i++) {
        const bool ends_line = text[i] == '\n' || (text[i] == '\r' && text.substr(i + 1, 1) != "\n");
        const bool is_inside_character = (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;
        line += ends_line;
        column = ends_line ? 1 : column + !is_inside_character;
    }
    const std::string place = "grammar line " + std::to_string(line) + ", column " + std::to_string(column);
    throw Error(ErrorKind::GrammarError, place + ": " + problem).with("line", line).with("column", column);
}

std::string quoted_gbnf(std::string_view name) {
    constexpr size_t kShownBytes = 64;
    const size_t n_shown = valid_utf8_prefix(name.substr(0, kShownBytes));
    return '"' + std::string(name.substr(0, n_shown)) + (n_shown < name.size() ? "...\"" : "\"");
}

std::string_view gbnf_name_at(std::string_view text, size_t offset) {
    size_t end = offset;
    while (end < text.size() && is_word(text[end]))
        end++;
    return text.substr(offset, end - offset);
}

void GbnfReader::fail_expected(const std::string& expected, const char* remedy) const {
    std::string found = "the end of the text";
    if (peek() == '\n' || peek() == '\r') {
        found = "the end of the line";
    } else if (peek() != '\0') {
        found = "'" + std::string(text_.substr(at_, character_size())) + "'";
    }
    fail_here("expected " + expected + " but found " + found + remedy);
}

size_t GbnfReader::character_size() const noexcept {
    size_t n_bytes = 1;
    while ((static_cast<unsigned char>(peek(n_bytes)) & 0xC0) == 0x80)
        n_bytes++;
    return n_bytes;
}

void GbnfReader::skip_space(bool is_newline_space) noexcept {
    for (;; at_++) {
        if (peek() == '#') {
            while (peek(1) != '\0' && peek(1) != '\r' && peek(1) != '\n')
                at_++;
        } else if (peek() != ' ' && peek() != '\t' &&
                   !(is_newline_space && (peek() == '\r' || peek() == '\n'))) {
            return;
        }
    }
}

bool is_character(uint32_t code_point) noexcept {
    return code_point <= 0x10FFFF && (code_point < 0xD800 || code_point > 0xDFFF);
}

void GbnfReader::skip_character(size_t opened_at, const char* unclosed) {
    if (peek() == '\0')
        fail_at(opened_at, unclosed);
    if (peek() != '\\') {
        at_ += character_size();
        return;
    }
    const char kind = peek(1);
    const size_t n_digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    if (n_digits == 0 &&
        (kind == '\0' || std::string_view("trn\\\"[]-").find(kind) == std::string_view::npos)) {
        fail_here("unknown escape; write one of \\t \\r \\n \\\\ \\\" \\[ \\] \\- \\xHH \\uHHHH \\UHHHHHHHH");
    }
    for (size_t i = 0; i < n_digits; i++) {
        if (is_hex(peek(2 + i)))
            continue;
        fail_here(std::string("escape \\") + kind + " needs " + std::to_string(n_digits) +
                  " hexadecimal digits but has " + std::to_string(i));
    }
    const size_t begin = at_;
    if (const uint32_t code_point = take_character(); !is_character(code_point)) {
        at_ = begin;
        fail_here("escape \\" + std::string(text_.substr(begin + 1, 1 + n_digits)) +
                  " is no Unicode character; the last one is \\U0010FFFF, and \\uD800 to \\uDFFF are none");
    }
}

uint32_t GbnfReader::take_character() noexcept {
    const auto byte_at = [this](size_t ahead) {
        return static_cast<uint32_t>(static_cast<unsigned char>(peek(ahead)));
    };
    if (peek() != '\\') {
        const size_t n_bytes = character_size();
        uint32_t code_point = n_bytes == 1 ? byte_at(0) : byte_at(0) & (0xFFu >> (n_bytes + 1));
        for (size_t i = 1; i < n_bytes; i++) {
            code_point = code_point << 6 | (byte_at(i) & 0x3F);
        }
        at_ += n_bytes;
        return code_point;
    }
    const char kind = peek(1);
    at_ += 2;
    const size_t n_digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    uint32_t code_point = 0;
    for (size_t i = 0; i < n_digits; i++, at_++) {
        const uint32_t digit = byte_at(0);
        code_point = code_point << 4 | (is_digit(peek()) ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    if (n_digits > 0) {
        return code_point;
    }
    return kind == 't'   ? '\t'
           : kind == 'r' ? '\r'
           : kind == 'n' ? '\n'
                         : static_cast<uint32_t>(static_cast<unsigned char>(kind));
}

std::string_view GbnfReader::take_token() {
    if (peek() == '!')
        at_++;
    const size_t offset = at_;
    if (peek() != '<')
        fail_expected("'<' after '!'");
    at_++;
    if (peek() == '[') {
        at_++;
        if (take_number("a token id") > UINT32_MAX)
            fail_at(offset, "token id is larger than 4294967295");
        if (peek() != ']' || peek(1) != '>')
            fail_expected("']>' after the token id");
        at_ += 2;
        return text_.substr(offset, at_ - offset);
    }
    const size_t end = text_.find('>', at_);
    if (end == std::string_view::npos)
        fail_at(offset, "token has no closing '>'");
    at_ = end + 1;
    return text_.substr(offset, at_ - offset);
}

uint64_t GbnfReader::take_number(const char* expected) {
    if (!is_at_digit())
        fail_expected(expected);
    const size_t offset = at_;
    uint64_t value = 0;
    for (; is_at_digit(); at_++) {
        const auto digit = static_cast<uint64_t>(peek() - '0');
        if (value > (UINT64_MAX - digit) / 10)
            fail_at(offset, "number is too large");
        value = value * 10 + digit;
    }
    return value;
}

std::string_view GbnfReader::take_name() noexcept {
    const std::string_view name = gbnf_name_at(text_, at_);
    at_ += name.size();
    return name;
}

} // namespace inllama
