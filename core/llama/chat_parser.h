// Splits what a model answers into content, reasoning and tool calls.
#pragma once

#include "core/llama/open_text.h"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

class common_peg_arena;

namespace inllama {

struct ToolCall {
    std::string name;
    std::string arguments; // JSON text; while the call is written, the part that is there
    std::string id;        // empty: the format has none
};

struct ParsedChat {
    std::string content;
    std::string reasoning;
    std::vector<ToolCall> tool_calls;
    OpenText open =
        OpenText::none; // text behind that has none of the parser's marks makes this longer, if it is any
};

// How the answers to one request are written, as llama.cpp found out from the template and its tools. Parsers
// are made of templates only, never of text that somebody sends: llama.cpp trusts them (CVE-2026-107183).
//
// Immutable; any thread. The parser itself is shared by all requests of the same shape.
class ChatParser {
  public:
    // `generation_prompt`: the end of the prompt, with which an answer begins for the parser. With
    // `continues` it holds the beginning of the answer, which results then leave out.
    ChatParser(std::shared_ptr<const common_peg_arena> arena, int format, std::string generation_prompt,
               bool continues);

    // What `text`, the whole answer so far, says. None if it is not in the format of the template; a partial
    // one may still get there. Takes time in proportion to the text. Throws InvalidRequestError above 64 MiB.
    std::optional<ParsedChat> parse(std::string_view text, bool is_partial) const;

    // llama.cpp's own description of the parser, in JSON; long.
    std::string definition() const;
    const std::string& generation_prompt() const { return generation_prompt_; }
    const std::set<std::string>& marks() const { return marks_.characters(); }

  private:
    std::optional<ParsedChat> parse_all(std::string_view answer, bool is_partial) const;

    std::shared_ptr<const common_peg_arena> arena_;
    ChatMarks marks_;
    int format_;
    std::string generation_prompt_;
    ParsedChat before_; // what the answer begins with
};

} // namespace inllama
