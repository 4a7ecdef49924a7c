#include "core/gbnf_ebnf.h"

#include "core/error.h"
#include "core/gbnf_characters.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace inllama {

namespace {

using Kind = GbnfNode::Kind;

// Names of GBNF may begin with a digit, and those of xgrammar may be words of its own.
constexpr const char* kPrefix = "g-";
constexpr const char* kNothing = "\"\"";
constexpr const char* kFilling = "root"; // of what the caller appends
// A place for one of few characters is 1: compiling it takes a millisecond or two with 150,000 tokens.
constexpr uint32_t kFewCharacters = 16;
constexpr double kPlaceOfAscii = 2;
constexpr double kPlaceOfMany = 8;
// Repetitions of a class of more characters are written out up to here; longer ones count characters instead.
constexpr uint64_t kMaxWrittenOut = 8;
// Places of what becomes one automaton; and of what another rule writes into it.
constexpr double kMaxPlaces = 512;
constexpr double kMaxInlinedPlaces = 16;
constexpr size_t kMaxPatternBytes = size_t{1} << 14;
// Rules written into each other; deeper ones stay rules.
constexpr int kMaxDepth = 32;

double places_of(const GbnfNode& node) {
    const uint32_t width = width_of(node);
    return width <= kFewCharacters ? 1 : width < 128 ? kPlaceOfAscii : kPlaceOfMany;
}

// What becomes part of an automaton.
struct Pattern {
    std::string text;      // of xgrammar's regular expressions; none: nothing
    double n_places = 0;   // with its repetitions written out
    bool is_atom = true;   // a sign of repetition behind it repeats all of it
    bool has_loop = false; // something in it repeats

    std::string grouped() const { return is_atom ? text : "(?:" + text + ")"; }
};

class Writer {
  public:
    Writer(const std::vector<GbnfTreeRule>& rules, const EbnfOptions& options)
        : rules_(rules), hole_(options.hole) {
        for (const SpelledToken& spelled : options.spelled) {
            spelled_.push_back({code_points(spelled.text), spelled.token});
        }
        for (size_t i = 0; i < rules.size(); i++) {
            if (!places_.emplace(rules[i].name, i).second) {
                throw Error(ErrorKind::GrammarError, "xgrammar does not take two definitions of a rule");
            }
        }
    }

    std::string write() {
        std::string text;
        for (const GbnfTreeRule& rule : rules_) {
            text += kPrefix + std::string(rule.name) +
                    " ::= " + (is_hole(rule.name) ? kFilling : written(rule.body)) + "\n";
        }
        return text + counted_;
    }

  private:
    struct Spelled {
        std::vector<uint32_t> characters;
        Token token;
    };

    bool is_hole(std::string_view name) const { return !hole_.empty() && name == hole_; }

    // The longest spelling that stands at a place of a literal; null if there is none.
    const Spelled* spelled_at(const std::vector<uint32_t>& characters, size_t at) const {
        const Spelled* found = nullptr;
        for (const Spelled& spelled : spelled_) {
            const size_t n = spelled.characters.size();
            if (n <= characters.size() - at && (found == nullptr || n > found->characters.size()) &&
                std::equal(spelled.characters.begin(), spelled.characters.end(),
                           characters.begin() + static_cast<std::ptrdiff_t>(at))) {
                found = &spelled;
            }
        }
        return found;
    }

    bool has_spelled(const GbnfNode& literal) const {
        for (size_t at = 0; at < literal.characters.size(); at++) {
            if (spelled_at(literal.characters, at) != nullptr) {
                return true;
            }
        }
        return false;
    }

    // ---- patterns

    std::optional<Pattern> pattern_of(const GbnfNode& node, int depth) {
        std::optional<Pattern> found = pattern_of_kind(node, depth);
        const bool is_small =
            found && found->n_places <= kMaxPlaces && found->text.size() <= kMaxPatternBytes;
        return is_small ? found : std::nullopt;
    }

    std::optional<Pattern> pattern_of_kind(const GbnfNode& node, int depth) {
        Pattern pattern;
        switch (node.kind) {
        case Kind::literal:
            if (static_cast<double>(node.characters.size()) > kMaxPlaces || has_spelled(node)) {
                return std::nullopt;
            }
            for (const uint32_t code_point : node.characters) {
                append_character(code_point, true, pattern.text);
            }
            pattern.n_places = static_cast<double>(node.characters.size());
            pattern.is_atom = node.characters.size() <= 1;
            return pattern;
        case Kind::one_of:
            pattern.text = class_of(node, true);
            pattern.n_places = places_of(node);
            return pattern;
        case Kind::token:
            return std::nullopt;
        case Kind::rule:
            return pattern_of_rule(node.name, depth);
        case Kind::sequence:
            return pattern_of_sequence(node, depth);
        case Kind::alternatives:
            return pattern_of_alternatives(node, depth);
        case Kind::repetition:
            return pattern_of_repetition(node, depth);
        }
        return std::nullopt;
    }

    std::optional<Pattern> pattern_of_rule(std::string_view name, int depth) {
        const auto place = places_.find(name);
        if (place == places_.end() || depth >= kMaxDepth || is_hole(name)) {
            return std::nullopt;
        }
        const auto known = inlined_.find(place->second);
        if (known != inlined_.end()) {
            return known->second;
        }
        inlined_[place->second] = std::nullopt; // while it is looked at: a rule that comes back is no pattern
        std::optional<Pattern> found = pattern_of(rules_[place->second].body, depth + 1);
        if (found && found->n_places > kMaxInlinedPlaces) {
            found.reset();
        }
        inlined_[place->second] = found;
        return found;
    }

    std::optional<Pattern> pattern_of_sequence(const GbnfNode& node, int depth) {
        Pattern all;
        for (const GbnfNode& child : node.children) {
            const std::optional<Pattern> part = pattern_of(child, depth);
            if (!part || !is_small(all)) {
                return std::nullopt;
            }
            all = joined(all, *part);
        }
        return all;
    }

    static bool is_small(const Pattern& pattern) {
        return pattern.n_places <= kMaxPlaces && pattern.text.size() <= kMaxPatternBytes;
    }

    static Pattern joined(const Pattern& first, const Pattern& second) {
        if (first.text.empty() || second.text.empty()) {
            return first.text.empty() ? second : first;
        }
        return {first.text + second.text, first.n_places + second.n_places, false,
                first.has_loop || second.has_loop};
    }

    std::optional<Pattern> pattern_of_alternatives(const GbnfNode& node, int depth) {
        Pattern all;
        bool can_be_nothing = false;
        for (const GbnfNode& child : node.children) {
            const std::optional<Pattern> part = pattern_of(child, depth);
            if (!part || !is_small(all)) {
                return std::nullopt;
            }
            can_be_nothing = can_be_nothing || part->text.empty();
            if (!part->text.empty()) {
                all.text += "|" + part->text;
                all.n_places += part->n_places;
                all.has_loop = all.has_loop || part->has_loop;
            }
        }
        if (!all.text.empty()) {
            all.text = "(?:" + all.text.substr(can_be_nothing ? 0 : 1) + ")";
        }
        return all;
    }

    std::optional<Pattern> pattern_of_repetition(const GbnfNode& node, int depth) {
        const GbnfNode& child = node.children.front();
        if (node.max == 0) {
            return Pattern{};
        }
        if (counts(node)) {
            return std::nullopt;
        }
        std::optional<Pattern> part = pattern_of(child, depth);
        if (!part || part->text.empty()) {
            return part;
        }
        const uint64_t n_copies =
            node.max == GbnfNode::kNoMaximum ? std::max<uint64_t>(node.min, 1) : node.max;
        part->n_places *= static_cast<double>(n_copies);
        if (!is_small(*part)) {
            return std::nullopt;
        }
        part->text = repeated(part->grouped(), node);
        part->is_atom = node.min == 0 && node.max == 1;
        part->has_loop = true;
        return part;
    }

    // xgrammar's ? and {n,} of patterns match too much where what they repeat can end in several ways.
    static std::string repeated(const std::string& atom, const GbnfNode& node) {
        if (node.min == 0 && node.max == 1) {
            return "(?:|" + atom + ")";
        }
        std::string text;
        for (uint64_t i = 0; i < node.min && node.max == GbnfNode::kNoMaximum && node.min > 1; i++) {
            text += atom;
        }
        return text + atom + (text.empty() ? sign_of(node) : "*");
    }

    static std::string sign_of(const GbnfNode& node) {
        const bool is_open = node.max == GbnfNode::kNoMaximum;
        if (is_open && node.min <= 1) {
            return node.min == 0 ? "*" : "+";
        }
        if (node.min == 0 && node.max == 1) {
            return "?";
        }
        return "{" + std::to_string(node.min) + "," + (is_open ? "" : std::to_string(node.max)) + "}";
    }

    // Whether the characters of a repetition are counted instead of written out.
    static bool counts(const GbnfNode& node) {
        const GbnfNode& child = node.children.front();
        return child.kind == Kind::one_of && width_of(child) > kFewCharacters &&
               node.max != GbnfNode::kNoMaximum && node.max > kMaxWrittenOut && node.min <= kMaxWrittenOut;
    }

    // ---- rules

    std::string written(const GbnfNode& node) {
        if (node.kind != Kind::rule) {
            const std::optional<Pattern> pattern = pattern_of(node, 0);
            if (pattern && pattern->has_loop) {
                return automaton(*pattern);
            }
        }
        switch (node.kind) {
        case Kind::literal:
            return literal(node);
        case Kind::one_of:
            return class_of(node, false);
        case Kind::rule:
            return kPrefix + std::string(node.name);
        case Kind::token:
            return "Token(" + std::to_string(node.token) + ")";
        case Kind::sequence:
            return sequence(node);
        case Kind::alternatives:
            return alternatives(node);
        case Kind::repetition:
            return repetition(node);
        }
        return kNothing;
    }

    static std::string automaton(const Pattern& pattern) {
        std::string escaped;
        for (const char c : pattern.text) {
            escaped += c == '\\' ? "\\\\" : std::string(1, c);
        }
        return "Regex(\"" + escaped + "\")";
    }

    // A control token can come in place of its spelling.
    std::string literal(const GbnfNode& node) const {
        std::string text;
        std::string plain;
        const auto flush = [&] {
            if (!plain.empty()) {
                text += (text.empty() ? "\"" : " \"") + std::exchange(plain, "") + "\"";
            }
        };
        for (size_t at = 0; at < node.characters.size();) {
            const Spelled* spelled = spelled_at(node.characters, at);
            if (spelled == nullptr) {
                append_character(node.characters[at++], false, plain);
                continue;
            }
            flush();
            text += std::string(text.empty() ? "" : " ") + "(\"";
            for (const uint32_t code_point : spelled->characters) {
                append_character(code_point, false, text);
            }
            text += "\" | Token(" + std::to_string(spelled->token) + "))";
            at += spelled->characters.size();
        }
        flush();
        return text.empty() ? kNothing : text;
    }

    // Neighbours that become one automaton are joined.
    std::string sequence(const GbnfNode& node) {
        std::string text;
        size_t i = 0;
        while (i < node.children.size()) {
            Pattern all;
            size_t end = i;
            for (; end < node.children.size(); end++) {
                const std::optional<Pattern> part = pattern_of(node.children[end], 0);
                if (!part || !is_small(joined(all, *part))) {
                    break;
                }
                all = joined(all, *part);
            }
            if (all.has_loop) {
                text += automaton(all) + " ";
                i = end;
            }
            for (end = std::max(end, i + (all.has_loop ? 0 : 1)); i < end; i++) {
                text += part_of_sequence(node.children[i]) + " ";
            }
        }
        text.pop_back();
        return text;
    }

    std::string part_of_sequence(const GbnfNode& node) {
        const std::string part = written(node);
        return node.kind == Kind::alternatives ? "(" + part + ")" : part;
    }

    std::string alternatives(const GbnfNode& node) {
        std::string text;
        for (const GbnfNode& child : node.children) {
            text += (text.empty() ? "" : " | ") + written(child);
        }
        return text;
    }

    std::string repetition(const GbnfNode& node) {
        if (node.max == 0) {
            return kNothing;
        }
        const std::string child = "(" + written(node.children.front()) + ")";
        if (!counts(node)) {
            return child + sign_of(node);
        }
        const std::string name = "n" + std::to_string(n_counted_++);
        counted_ += name + "[max_chars=" + std::to_string(node.max) + "] ::= " + child + "{" +
                    std::to_string(node.min) + ",}\n";
        return name;
    }

    const std::vector<GbnfTreeRule>& rules_;
    std::string hole_;
    std::vector<Spelled> spelled_;
    std::unordered_map<std::string_view, size_t> places_;        // of rules by name
    std::unordered_map<size_t, std::optional<Pattern>> inlined_; // rules as patterns, as far as they are
    std::string counted_; // rules for repetitions that count characters
    size_t n_counted_ = 0;
};

} // namespace

EbnfGrammar gbnf_to_ebnf(std::string_view text, std::string_view root, const TokenOf& token_of,
                         const EbnfOptions& options) {
    const std::vector<GbnfTreeRule> rules = gbnf_tree(text, token_of);
    return {Writer(rules, options).write(), kPrefix + std::string(root)};
}

} // namespace inllama
