// Hides spellings of special tokens from a chat template, and finds them again in what it rendered.
#pragma once

#include "core/special_text.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace inllama {

// Stands between the strings of one request and the template that renders them.
//
// 1. Each spelling in a string is replaced by one character of Unicode's private planes 15 and 16. Changing
// its
//    case does nothing to it, and cutting it in two leaves bytes that are no UTF-8, which is noticed.
// 2. Such characters that a string has of its own are replaced likewise, so that none can be forged.
// 3. The ends of a string that could be part of a spelling together with what stands beside it are replaced
// too. Threads: one at a time.
class HiddenText {
  public:
    // A place in restored text that came from a string.
    struct Span {
        size_t begin;
        size_t end;
        bool is_spelling; // else an end of a string, of which only the neighbours make one
    };
    struct Restored {
        std::string text;
        std::vector<Span> spans; // ascending, without overlaps
    };

    // `special` must outlive this.
    explicit HiddenText(const SpecialText& special) : special_(special) {}

    // `text` with what must be hidden replaced.
    std::string hide(std::string_view text);
    // Whether hide() would change `text`.
    bool must_hide(std::string_view text) const;
    // How much hide() replaced so far.
    size_t n_replaced() const { return n_replaced_; }

    // The text that was rendered of hidden strings, with everything in its place again.
    // Throws TemplateError if the template cut a replacement in two.
    Restored restore(std::string_view rendered) const;

  private:
    enum class Kind : uint8_t { spelling, end, verbatim };
    struct Hidden {
        std::string text;
        Kind kind;
    };

    void append_hidden(std::string_view text, Kind kind, std::string& to);
    void append_inner(std::string_view text, std::string& to);
    void append_original(size_t index, bool as_json, Restored& to) const;

    const SpecialText& special_;
    std::vector<Hidden> hidden_;
    std::unordered_map<std::string, size_t> index_; // kind and text -> index in hidden_
    size_t n_replaced_ = 0;
};

// Whether `text` has characters that HiddenText uses; a template that has some cannot be rendered with it.
bool has_private_characters(std::string_view text);

} // namespace inllama
