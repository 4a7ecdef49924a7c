#include "core/llama/open_text.h"

#include <chat-peg-parser.h>

#include <algorithm>

namespace inllama {

namespace {

// Parsers of content are a few inside of each other; a rule may name itself.
constexpr int kMaxDepth = 16;

// Bytes of the character at the beginning of a text in UTF-8; 0 if there is none.
size_t first_character(const std::string& text) {
    if (text.empty()) {
        return 0;
    }
    const auto byte = static_cast<unsigned char>(text[0]);
    const size_t n = byte < 0x80   ? 1
                     : byte < 0xc2 ? 0
                     : byte < 0xe0 ? 2
                     : byte < 0xf0 ? 3
                     : byte < 0xf5 ? 4
                                   : 0;
    return n <= text.size() ? n : 0;
}

// Whether all before the last part of a sequence is one character, and a look at what it must not be.
bool begins_at_once(const common_peg_arena& arena, const common_peg_sequence_parser& sequence) {
    for (size_t i = 0; i + 1 < sequence.children.size(); i++) {
        const common_peg_parser_variant& child = arena.get(sequence.children[i]);
        const bool is_look = i == 0 && std::holds_alternative<common_peg_not_parser>(child);
        if (!is_look && !std::holds_alternative<common_peg_any_parser>(child)) {
            return false;
        }
    }
    return !sequence.children.empty();
}

} // namespace

ChatMarks::ChatMarks(const common_peg_arena& arena) {
    for (common_peg_parser_id id = 0; id < arena.size(); id++) {
        const common_peg_parser_variant& parser = arena.get(id);
        if (const auto* until = std::get_if<common_peg_until_parser>(&parser)) {
            for (const std::string& delimiter : until->delimiters) {
                add_delimiter(delimiter);
            }
        } else if (const auto* tag = std::get_if<common_peg_tag_parser>(&parser)) {
            const bool is_sure = ends_at_delimiters(arena, tag->child, 0);
            is_content_sure_ &= is_sure || tag->tag != common_chat_peg_builder::CONTENT;
            is_reasoning_sure_ &= is_sure || tag->tag != common_chat_peg_builder::REASONING;
        }
    }
}

void ChatMarks::add_delimiter(const std::string& delimiter) {
    const size_t n = first_character(delimiter);
    if (n == 0) {
        is_content_sure_ = is_reasoning_sure_ = false; // it could begin anywhere
    }
    delimiters_.insert(delimiter);
    characters_.insert(delimiter.substr(0, n));
}

// Whether the end of a text is the beginning of a delimiter. A parser then takes another way, as if it were
// one.
bool ChatMarks::may_end_with_delimiter(const std::string& text) const {
    for (const std::string& delimiter : delimiters_) {
        for (size_t n = std::min(text.size(), delimiter.size()); n > 0; n--) {
            if (text.compare(text.size() - n, n, delimiter, 0, n) == 0) {
                return true;
            }
        }
    }
    return false;
}

// Whether what a parser reads goes on until one of some delimiters, or to the end of the answer.
bool ChatMarks::ends_at_delimiters(const common_peg_arena& arena, size_t parser, int depth) const {
    if (depth > kMaxDepth) {
        return false;
    }
    const common_peg_parser_variant& found = arena.get(parser);
    if (const auto* sequence = std::get_if<common_peg_sequence_parser>(&found)) {
        return begins_at_once(arena, *sequence) &&
               ends_at_delimiters(arena, sequence->children.back(), depth + 1);
    }
    if (const auto* rule = std::get_if<common_peg_rule_parser>(&found)) {
        return ends_at_delimiters(arena, rule->child, depth + 1);
    }
    if (const auto* grammar = std::get_if<common_peg_gbnf_parser>(&found)) {
        return ends_at_delimiters(arena, grammar->child, depth + 1);
    }
    if (const auto* automaton = std::get_if<common_peg_ac_parser>(&found)) {
        return ends_at_delimiters(arena, automaton->child, depth + 1);
    }
    if (const auto* reference = std::get_if<common_peg_ref_parser>(&found)) {
        return ends_at_delimiters(arena, arena.get_rule(reference->name), depth + 1);
    }
    return std::holds_alternative<common_peg_until_parser>(found);
}

OpenText ChatMarks::open_text(const common_peg_parse_context& context,
                              const common_peg_parse_result& result) const {
    OpenText open = OpenText::none;
    if (!result.need_more_input() || may_end_with_delimiter(context.input)) {
        return open;
    }
    context.ast.visit(result, [&](const common_peg_ast_node& node) {
        if (!node.is_partial || node.start == node.end || node.end != context.input.size()) {
            return;
        }
        if (node.tag == common_chat_peg_builder::CONTENT && is_content_sure_) {
            open = OpenText::content;
        } else if (node.tag == common_chat_peg_builder::REASONING && is_reasoning_sure_) {
            open = OpenText::reasoning;
        }
    });
    return open;
}

} // namespace inllama
