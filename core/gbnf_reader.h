// The words and characters of GBNF text, as llama.cpp reads them. Part of check_gbnf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace inllama {

// Throws GrammarError: the line and column of byte `offset` of `text`, then `problem`.
[[noreturn]] void fail_gbnf(std::string_view text, size_t offset, const std::string& problem);

// `name` in quotes, cut if it is long or not UTF-8.
std::string quoted_gbnf(std::string_view name);

// The rule name that begins at byte `offset` of `text`; empty if none does.
std::string_view gbnf_name_at(std::string_view text, size_t offset);

// Whether Unicode has it: no half of a surrogate pair, and not beyond the last one.
bool is_character(uint32_t code_point) noexcept;

// A place in GBNF text that moves forward. Functions that take something throw GrammarError if it is not
// there.
//
// REQUIRES: the text is valid UTF-8 without NUL and outlives the reader. Threads: one at a time.
class GbnfReader {
  public:
    explicit GbnfReader(std::string_view text) : text_(text) {}

    std::string_view text() const noexcept { return text_; }
    size_t offset() const noexcept { return at_; }

    // The byte `ahead` of the place; NUL beyond the end.
    char peek(size_t ahead = 0) const noexcept {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
    }
    bool is_at_digit() const noexcept { return peek() >= '0' && peek() <= '9'; }
    bool is_at_line_end() const noexcept { return peek() == '\0' || peek() == '\r' || peek() == '\n'; }

    void skip(size_t n_bytes) noexcept { at_ += n_bytes; }
    // Comments are space.
    void skip_space(bool is_newline_space) noexcept;

    // Skips a character of a literal or class, escaped or not. `unclosed` is the error, at `opened_at`, at
    // the end.
    void skip_character(size_t opened_at, const char* unclosed);

    // Takes a character of a literal or class, escaped or not. REQUIRES: skip_character() would take it.
    uint32_t take_character() noexcept;

    // Takes a rule name; empty if there is none.
    std::string_view take_name() noexcept;
    uint64_t take_number(const char* expected);
    // Takes <name> or <[id]>, after a '!' if there is one, and returns it without that.
    std::string_view take_token();

    [[noreturn]] void fail_at(size_t offset, const std::string& problem) const {
        fail_gbnf(text_, offset, problem);
    }
    [[noreturn]] void fail_here(const std::string& problem) const { fail_at(at_, problem); }
    [[noreturn]] void fail_expected(const std::string& expected, const char* remedy = "") const;

  private:
    size_t character_size() const noexcept;

    std::string_view text_;
    size_t at_ = 0;
};

} // namespace inllama
