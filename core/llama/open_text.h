// Where an answer can be read on without parsing all of it again.
#pragma once

#include <cstdint>
#include <set>
#include <string>

class common_peg_arena;
struct common_peg_parse_context;
struct common_peg_parse_result;

namespace inllama {

// What the end of an answer is a part of, for sure.
enum class OpenText : uint8_t { none, content, reasoning };

// What a parser stops at. Where it is in the middle of content or reasoning, text in which none of its marks
// is makes that longer and changes nothing else: a parser goes the same way over what it has seen, and
// everything that had to wait for more text has said so.
class ChatMarks {
  public:
    explicit ChatMarks(const common_peg_arena& arena);

    // What the end of a text that was parsed is a part of; `none` also if what follows could end it.
    OpenText open_text(const common_peg_parse_context& context, const common_peg_parse_result& result) const;

    // With one of these characters, in UTF-8, begins all that may end content or reasoning.
    const std::set<std::string>& characters() const { return characters_; }

  private:
    void add_delimiter(const std::string& delimiter);
    bool may_end_with_delimiter(const std::string& text) const;
    bool ends_at_delimiters(const common_peg_arena& arena, size_t parser, int depth) const;

    std::set<std::string> delimiters_;
    std::set<std::string> characters_;
    bool is_content_sure_ = true;
    bool is_reasoning_sure_ = true;
};

} // namespace inllama
