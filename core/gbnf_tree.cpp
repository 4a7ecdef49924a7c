#include "core/gbnf_tree.h"

#include "core/gbnf_reader.h"

#include <optional>

namespace inllama {

namespace {

using Kind = GbnfNode::Kind;

GbnfNode combined(Kind kind, std::vector<GbnfNode> children) {
    if (children.size() == 1) {
        return std::move(children.front());
    }
    GbnfNode node;
    node.kind = children.empty() ? Kind::literal : kind;
    node.children = std::move(children);
    return node;
}

class TreeParser {
  public:
    TreeParser(std::string_view text, const TokenOf& token_of) : in_(text), token_of_(token_of) {}

    std::vector<GbnfTreeRule> parse() {
        std::vector<GbnfTreeRule> rules;
        in_.skip_space(/*is_newline_space=*/true);
        while (in_.peek() != '\0') {
            const std::string_view name = in_.take_name();
            in_.skip_space(/*is_newline_space=*/false);
            in_.skip(3); // ::=
            in_.skip_space(/*is_newline_space=*/true);
            rules.push_back({name, alternatives(/*is_nested=*/false)});
            in_.skip_space(/*is_newline_space=*/true);
        }
        return rules;
    }

  private:
    GbnfNode alternatives(bool is_nested) {
        std::vector<GbnfNode> found;
        found.push_back(sequence(is_nested));
        while (in_.peek() == '|') {
            in_.skip(1);
            in_.skip_space(/*is_newline_space=*/true);
            found.push_back(sequence(is_nested));
        }
        return combined(Kind::alternatives, std::move(found));
    }

    GbnfNode sequence(bool is_nested) {
        std::vector<GbnfNode> symbols;
        for (;; in_.skip_space(is_nested)) {
            const char c = in_.peek();
            if (c == '*' || c == '+' || c == '?' || c == '{') {
                GbnfNode repeated = repetition(is_nested);
                repeated.children.push_back(std::move(symbols.back()));
                symbols.back() = std::move(repeated);
                continue;
            }
            std::optional<GbnfNode> symbol = take_symbol(c);
            if (!symbol) {
                return combined(Kind::sequence, std::move(symbols));
            }
            symbols.push_back(std::move(*symbol));
        }
    }

    std::optional<GbnfNode> take_symbol(char c) {
        GbnfNode node;
        switch (c) {
        case '"':
            in_.skip(1);
            while (in_.peek() != '"') {
                node.characters.push_back(in_.take_character());
            }
            in_.skip(1);
            return node;
        case '[':
            return character_class();
        case '.':
            in_.skip(1);
            node.kind = Kind::one_of;
            node.is_negated = true;
            return node;
        case '<':
            node.kind = Kind::token;
            node.token = token_of_(in_.take_token());
            return node;
        case '!':
            in_.fail_here("excluded tokens cannot be written in another notation");
        case '(':
            return group();
        default:
            break;
        }
        node.kind = Kind::rule;
        node.name = in_.take_name();
        return node.name.empty() ? std::nullopt : std::optional<GbnfNode>(std::move(node));
    }

    GbnfNode group() {
        in_.skip(1);
        in_.skip_space(/*is_newline_space=*/true);
        GbnfNode node = alternatives(/*is_nested=*/true);
        in_.skip(1); // )
        return node;
    }

    GbnfNode character_class() {
        GbnfNode node;
        in_.skip(1);
        if (in_.peek() == '^') {
            in_.skip(1);
            node.is_negated = true;
        }
        while (in_.peek() != ']') {
            const uint32_t first = in_.take_character();
            uint32_t last = first;
            if (in_.peek() == '-' && in_.peek(1) != ']') {
                in_.skip(1);
                last = in_.take_character();
            }
            node.ranges.emplace_back(first, last);
        }
        in_.skip(1);
        // An empty class matches nothing, negated or not.
        node.kind = node.ranges.empty() ? Kind::literal : Kind::one_of;
        return node;
    }

    GbnfNode repetition(bool is_nested) {
        GbnfNode node;
        node.kind = Kind::repetition;
        const char sign = in_.peek();
        in_.skip(1);
        node.min = sign == '+' ? 1 : 0;
        node.max = sign == '?' ? 1 : GbnfNode::kNoMaximum;
        if (sign != '{') {
            return node;
        }
        in_.skip_space(is_nested);
        node.min = node.max = in_.take_number("a number");
        in_.skip_space(is_nested);
        if (in_.peek() == ',') {
            in_.skip(1);
            in_.skip_space(is_nested);
            node.max = in_.is_at_digit() ? in_.take_number("a number") : GbnfNode::kNoMaximum;
            in_.skip_space(is_nested);
        }
        in_.skip(1);
        return node;
    }

    GbnfReader in_;
    const TokenOf& token_of_;
};

} // namespace

std::vector<GbnfTreeRule> gbnf_tree(std::string_view text, const TokenOf& token_of) {
    return TreeParser(text, token_of).parse();
}

} // namespace inllama
