#include "core/gbnf_parser.h"

#include "core/gbnf_reader.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace inllama {

namespace {

constexpr uint64_t kNoMaximum = UINT64_MAX;

// What llama.cpp allocates: a llama_grammar_element; and per rule a map node, a vector and its block, and the
// name.
constexpr uint64_t kElementBytes = 8;
constexpr uint64_t kRuleBytes = 128;

std::string shown_repetition(char kind, uint64_t min, uint64_t max) {
    if (kind != '{')
        return {'\'', kind, '\''};
    std::string shown = "{" + std::to_string(min);
    if (max == kNoMaximum) {
        shown += ",";
    } else if (max != min) {
        shown += "," + std::to_string(max);
    }
    return shown + "}";
}

// Follows llama_grammar_parser step by step; a comment marks each place that looks odd but is llama.cpp's
// way.
class Parser {
  public:
    Parser(std::string_view text, const IsToken& is_token) : in_(text), is_token_(is_token) {
        grammar_.text = text;
    }

    GbnfGrammar parse(std::string_view root) {
        in_.skip_space(/*is_newline_space=*/true);
        while (in_.peek() != '\0')
            rule();
        check_defined(root);
        return std::move(grammar_);
    }

  private:
    struct Sequence {
        std::vector<GbnfItem> items;
        size_t last = 0;         // where the symbol begins that a repetition would repeat
        uint64_t n_repeated = 1; // rules that a repetition of it would multiply
    };

    // Counts what llama.cpp would allocate, before anything is.
    void charge(uint64_t n_bytes) {
        n_bytes_ += n_bytes;
        if (n_bytes_ > kMaxGbnfExpandedBytes) {
            in_.fail_here("the grammar takes more than " + std::to_string(kMaxGbnfExpandedBytes) +
                          " bytes with its repetitions written out; use fewer or smaller repetitions");
        }
    }

    void append(Sequence& sequence, GbnfItem item) {
        charge(kElementBytes);
        sequence.items.push_back(item);
    }

    uint32_t symbol(std::string_view name, size_t offset) {
        const auto id = static_cast<uint32_t>(grammar_.rules.size());
        const auto [found, is_new] = names_.emplace(name, id);
        if (is_new)
            add_symbol(offset, id, name.size());
        return found->second;
    }

    uint32_t synthesized(size_t offset) {
        const auto id = static_cast<uint32_t>(grammar_.rules.size());
        add_symbol(offset, owner_, name_size_);
        return id;
    }

    void add_symbol(size_t offset, uint32_t owner, size_t name_size) {
        charge(kRuleBytes + name_size);
        GbnfRule rule;
        rule.offset = offset;
        rule.owner = owner;
        grammar_.rules.push_back(rule);
    }

    // A second definition of a rule replaces the first, as in llama.cpp.
    void define(uint32_t id, const std::vector<GbnfItem>& items) {
        GbnfRule& rule = grammar_.rules[id];
        rule.is_defined = true;
        rule.begin = grammar_.items.size();
        grammar_.items.insert(grammar_.items.end(), items.begin(), items.end());
        rule.end = grammar_.items.size();
    }

    void rule() {
        const size_t offset = in_.offset();
        const std::string_view name = in_.take_name();
        if (name.empty()) {
            in_.fail_expected("a rule name", in_.peek() == '|'
                                                 ? "; to go on with a rule on the next line, put '|' at the "
                                                   "end of the line or the alternatives in parentheses"
                                                 : "; names are made of letters, digits and '-'");
        }
        in_.skip_space(/*is_newline_space=*/false);
        if (grammar_.text.substr(in_.offset(), 3) != "::=")
            in_.fail_expected("'::=' after the rule name " + quoted_gbnf(name));
        in_.skip(3);
        in_.skip_space(/*is_newline_space=*/true);
        owner_ = symbol(name, offset);
        name_size_ = name.size();
        alternates(owner_, 0);
        grammar_.rules[owner_].offset = offset;
        if (!in_.is_at_line_end()) {
            in_.fail_expected("the end of rule " + quoted_gbnf(name),
                              in_.peek() == '_' ? "; names have '-', not '_'" : "");
        }
        in_.skip_space(/*is_newline_space=*/true);
    }

    void alternates(uint32_t rule, size_t depth) {
        Sequence sequence;
        symbols(sequence, depth);
        while (in_.peek() == '|') {
            in_.skip(1);
            append(sequence, kGbnfAlternate);
            in_.skip_space(/*is_newline_space=*/true);
            symbols(sequence, depth);
        }
        charge(kElementBytes); // its end
        define(rule, sequence.items);
    }

    void symbols(Sequence& sequence, size_t depth) {
        const bool is_nested = depth > 0;
        sequence.last = sequence.items.size();
        sequence.n_repeated = 1;
        for (;; in_.skip_space(is_nested)) {
            const size_t offset = in_.offset();
            const char c = in_.peek();
            const bool is_repetition = c == '*' || c == '+' || c == '?' || c == '{';
            if (is_repetition) {
                repetition(sequence, is_nested);
                continue;
            }
            const size_t last = sequence.items.size();
            uint64_t n_repeated = 1;
            if (c == '"') {
                literal(sequence);
            } else if (c == '[') {
                character_class(sequence);
            } else if (c == '<' || c == '!') {
                token(sequence);
            } else if (c == '.') {
                in_.skip(1);
                append(sequence, kGbnfTerminal);
            } else if (c == '(') {
                n_repeated = group(sequence, depth);
            } else {
                const std::string_view name = in_.take_name();
                if (name.empty())
                    return;
                append(sequence, symbol(name, offset));
            }
            sequence.last = last;
            sequence.n_repeated = n_repeated;
        }
    }

    void token(Sequence& sequence) {
        const std::string_view name = in_.take_token();
        append(sequence, kGbnfTerminal);
        if (!is_token_ || is_token_(name))
            return;
        in_.fail_at(in_.offset() - name.size(), "token " + quoted_gbnf(name) +
                                                    " is not one token of the model; "
                                                    "write it as a literal or by its id, <[id]>");
    }

    void literal(Sequence& sequence) {
        const size_t offset = in_.offset();
        in_.skip(1);
        while (in_.peek() != '"') {
            in_.skip_character(offset, "literal has no closing '\"'");
            append(sequence, kGbnfTerminal);
        }
        in_.skip(1);
    }

    // An empty class is an empty match, as in llama.cpp.
    void character_class(Sequence& sequence) {
        constexpr const char* kUnclosed = "character class has no closing ']'";
        const size_t offset = in_.offset();
        in_.skip(1);
        if (in_.peek() == '^')
            in_.skip(1);
        while (in_.peek() != ']') {
            const size_t begin = in_.offset();
            const uint32_t first = checked_character(offset, kUnclosed);
            append(sequence, kGbnfTerminal);
            if (in_.peek() == '-' && in_.peek(1) != ']') {
                in_.skip(1);
                if (checked_character(offset, kUnclosed) < first) {
                    in_.fail_at(begin, "range ends before it begins; swap its ends");
                }
                append(sequence, kGbnfTerminal);
            }
        }
        in_.skip(1);
    }

    uint32_t checked_character(size_t opened_at, const char* unclosed) {
        GbnfReader ahead = in_;
        in_.skip_character(opened_at, unclosed);
        return ahead.take_character();
    }

    // Returns the number of rules that a repetition of the group would multiply.
    uint64_t group(Sequence& sequence, size_t depth) {
        if (depth == kMaxGbnfNesting) {
            in_.fail_here("parentheses are nested more than " + std::to_string(kMaxGbnfNesting) +
                          " deep; give the inner groups rules of their own");
        }
        const size_t offset = in_.offset();
        in_.skip(1);
        in_.skip_space(/*is_newline_space=*/true);
        const size_t n_before = grammar_.rules.size();
        const uint32_t id = synthesized(offset);
        alternates(id, depth + 1);
        append(sequence, id);
        if (in_.peek() != ')') {
            if (in_.peek() == '\0')
                in_.fail_at(offset, "group has no closing ')'");
            in_.fail_expected("')'");
        }
        in_.skip(1);
        return grammar_.rules.size() - n_before;
    }

    void repetition(Sequence& sequence, bool is_nested) {
        const size_t offset = in_.offset();
        const char kind = in_.peek();
        in_.skip(1);
        uint64_t min = kind == '+' ? 1 : 0;
        uint64_t max = kind == '?' ? 1 : kNoMaximum;
        if (kind == '{') {
            in_.skip_space(is_nested);
            min = max = in_.take_number("a number");
            in_.skip_space(is_nested);
            if (in_.peek() == ',') {
                in_.skip(1);
                in_.skip_space(is_nested);
                max = in_.is_at_digit() ? in_.take_number("a number") : kNoMaximum;
                in_.skip_space(is_nested);
            }
            if (in_.peek() != '}')
                in_.fail_expected("'}'");
            in_.skip(1);
        }
        const std::string shown = shown_repetition(kind, min, max);
        const std::string limit = std::to_string(kMaxGbnfRepetitions);
        if (min > kMaxGbnfRepetitions || (max != kNoMaximum && max > kMaxGbnfRepetitions)) {
            in_.fail_at(offset, "repetition " + shown + " is over the limit of " + limit +
                                    "; lower it, or leave the upper bound open");
        }
        if (max < min) {
            in_.fail_at(offset, "repetition " + shown + " ends below its start; swap the numbers");
        }
        if (sequence.last == sequence.items.size()) {
            in_.fail_at(offset, "nothing to repeat before " + shown);
        }
        const uint64_t factor = max != kNoMaximum && max > 0 ? max : std::max<uint64_t>(min, 1);
        sequence.n_repeated *= factor;
        if (sequence.n_repeated > kMaxGbnfRepetitions) {
            in_.fail_at(offset, "repetition " + shown + " writes out " + std::to_string(sequence.n_repeated) +
                                    " rules, the limit is " + limit +
                                    "; repeat less, or give the repeated part a rule of its own");
        }
        expand(sequence, offset, min, max);
    }

    // S{m,n} becomes S S S (m times) and a chain of n - m rules S' ::= S S'' | (see llama.cpp).
    void expand(Sequence& sequence, size_t offset, uint64_t min, uint64_t max) {
        std::vector<GbnfItem>& items = sequence.items;
        const std::vector<GbnfItem> repeated(items.begin() + static_cast<std::ptrdiff_t>(sequence.last),
                                             items.end());
        const uint64_t n_optional = max == kNoMaximum ? 1 : max - min;
        charge((std::max<uint64_t>(min, 1) - 1) * repeated.size() * kElementBytes);
        charge(n_optional * (repeated.size() + 3) * kElementBytes);
        if (min == 0)
            items.resize(sequence.last);
        for (uint64_t i = 1; i < min; i++)
            items.insert(items.end(), repeated.begin(), repeated.end());
        uint32_t previous = 0;
        for (uint64_t i = 0; i < n_optional; i++) {
            const uint32_t id = synthesized(offset);
            std::vector<GbnfItem> rule = repeated;
            if (max == kNoMaximum || i > 0)
                rule.push_back(max == kNoMaximum ? id : previous);
            rule.push_back(kGbnfAlternate);
            define(id, rule);
            previous = id;
        }
        if (n_optional > 0)
            append(sequence, previous);
    }

    void check_defined(std::string_view root) {
        auto& rules = grammar_.rules;
        const auto found = names_.find(root);
        if (found == names_.end() || !rules[found->second].is_defined) {
            in_.fail_at(0, "there is no rule " + quoted_gbnf(root) +
                               " to start from; define it or name another root");
        }
        const auto require_defined = [&](const GbnfRule& rule) {
            if (rule.is_defined)
                return;
            in_.fail_at(rule.offset,
                        "rule " + quoted_gbnf(gbnf_name_at(grammar_.text, rule.offset)) + " is not defined");
        };
        for (const GbnfRule& rule : rules) {
            for (size_t i = rule.begin; i < rule.end; i++) {
                if (grammar_.items[i] < kGbnfAlternate)
                    require_defined(rules[grammar_.items[i]]);
            }
        }
        // llama.cpp does not miss a rule that only a replaced rule or a {0} mentions, if no later one is
        // defined.
        while (!rules.back().is_defined)
            rules.pop_back();
        std::for_each(rules.begin(), rules.end(), require_defined);
    }

    GbnfReader in_;
    const IsToken& is_token_;
    GbnfGrammar grammar_;
    std::unordered_map<std::string_view, uint32_t> names_;
    uint32_t owner_ = 0;
    size_t name_size_ = 0;
    uint64_t n_bytes_ = 0;
};

} // namespace

GbnfGrammar parse_gbnf(std::string_view text, std::string_view root, const IsToken& is_token) {
    return Parser(text, is_token).parse(root);
}

} // namespace inllama
