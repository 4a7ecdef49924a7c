#include "core/gbnf.h"

#include "core/gbnf_parser.h"
#include "core/gbnf_reader.h"
#include "core/utf8_stream.h"

#include <algorithm>
#include <string>
#include <vector>

namespace inllama {

namespace {

constexpr uint32_t kNone = UINT32_MAX;

bool is_reference(GbnfItem item) {
    return item < kGbnfAlternate;
}

[[noreturn]] void fail_rule(const GbnfGrammar& grammar, uint32_t rule, const std::string& problem) {
    const GbnfRule& owner = grammar.rules[grammar.rules[rule].owner];
    const std::string name = quoted_gbnf(gbnf_name_at(grammar.text, owner.offset));
    fail_gbnf(grammar.text, grammar.rules[rule].offset, "rule " + name + " " + problem);
}

std::string shown(double count) {
    return count < 1e18 ? std::to_string(static_cast<uint64_t>(count)) : "over 10^18";
}

// Calls visit(begin, end) with the item range of each alternate of `rule`.
template<class Visit> void for_each_alternate(const GbnfGrammar& grammar, const GbnfRule& rule, Visit visit) {
    size_t begin = rule.begin;
    for (size_t i = rule.begin; i < rule.end; i++) {
        if (grammar.items[i] != kGbnfAlternate)
            continue;
        visit(begin, i);
        begin = i + 1;
    }
    visit(begin, rule.end);
}

// The rules that have an empty alternate: all that llama.cpp's search for left recursion takes for empty.
std::vector<bool> directly_empty_rules(const GbnfGrammar& grammar) {
    std::vector<bool> is_empty(grammar.rules.size());
    for (size_t rule = 0; rule < grammar.rules.size(); rule++) {
        for_each_alternate(grammar, grammar.rules[rule], [&](size_t begin, size_t end) {
            is_empty[rule] = is_empty[rule] || begin == end;
        });
    }
    return is_empty;
}

// The rules that can match nothing, through other rules too.
std::vector<bool> empty_rules(const GbnfGrammar& grammar) {
    struct Alternate {
        uint32_t rule;
        size_t n_not_empty; // references not known to be empty
    };
    std::vector<Alternate> alternates; // those without a terminal
    // Where each rule is referenced: lists linked through `next`, which begin in `first`.
    std::vector<uint32_t> first(grammar.rules.size(), kNone), next, alternate_of;
    std::vector<bool> is_empty = directly_empty_rules(grammar);
    std::vector<uint32_t> todo;
    for (uint32_t rule = 0; rule < grammar.rules.size(); rule++) {
        if (is_empty[rule])
            todo.push_back(rule);
        for_each_alternate(grammar, grammar.rules[rule], [&](size_t begin, size_t end) {
            const auto* items = grammar.items.data();
            if (std::find(items + begin, items + end, kGbnfTerminal) != items + end)
                return;
            for (size_t i = begin; i < end; i++) {
                next.push_back(first[items[i]]);
                first[items[i]] = static_cast<uint32_t>(next.size() - 1);
                alternate_of.push_back(static_cast<uint32_t>(alternates.size()));
            }
            alternates.push_back({rule, end - begin});
        });
    }
    while (!todo.empty()) {
        const uint32_t found = todo.back();
        todo.pop_back();
        for (uint32_t i = first[found]; i != kNone; i = next[i]) {
            Alternate& alternate = alternates[alternate_of[i]];
            if (--alternate.n_not_empty > 0 || is_empty[alternate.rule])
                continue;
            is_empty[alternate.rule] = true;
            todo.push_back(alternate.rule);
        }
    }
    return is_empty;
}

// From each rule to those that can stand at its left end: edges [first[rule], first[rule + 1]).
struct LeftEdges {
    std::vector<size_t> first;
    std::vector<uint32_t> to;
    std::vector<bool> is_last; // nothing follows the reference in its alternate
};

LeftEdges left_edges(const GbnfGrammar& grammar, const std::vector<bool>& is_empty) {
    LeftEdges edges;
    for (const GbnfRule& rule : grammar.rules) {
        edges.first.push_back(edges.to.size());
        for_each_alternate(grammar, rule, [&](size_t begin, size_t end) {
            for (size_t i = begin; i < end && is_reference(grammar.items[i]); i++) {
                edges.to.push_back(grammar.items[i]);
                edges.is_last.push_back(i + 1 == end);
                if (!is_empty[grammar.items[i]])
                    break;
            }
        });
    }
    edges.first.push_back(edges.to.size());
    return edges;
}

// Rules that can reach each other along left edges; by Tarjan's algorithm, without recursion.
struct Components {
    std::vector<uint32_t> of;           // component of each rule; edges lead to smaller or equal ones
    std::vector<uint32_t> order;        // the rules by component, smallest first
    std::vector<uint32_t> start_points; // rules that no search from an earlier rule had reached
};

Components components(const LeftEdges& edges) {
    const auto n_rules = static_cast<uint32_t>(edges.first.size() - 1);
    Components result;
    result.of.assign(n_rules, kNone);
    std::vector<uint32_t> number(n_rules, kNone), lowest(n_rules), open;
    std::vector<size_t> edge = edges.first;
    std::vector<uint32_t> path;
    uint32_t n_numbered = 0, n_components = 0;
    for (uint32_t start = 0; start < n_rules; start++) {
        if (number[start] != kNone)
            continue;
        result.start_points.push_back(start);
        path.push_back(start);
        while (!path.empty()) {
            const uint32_t rule = path.back();
            if (number[rule] == kNone) {
                number[rule] = lowest[rule] = n_numbered++;
                open.push_back(rule);
            }
            if (edge[rule] < edges.first[rule + 1]) {
                const uint32_t to = edges.to[edge[rule]++];
                if (number[to] == kNone) {
                    path.push_back(to);
                } else if (result.of[to] == kNone) {
                    lowest[rule] = std::min(lowest[rule], number[to]);
                }
                continue;
            }
            path.pop_back();
            if (!path.empty())
                lowest[path.back()] = std::min(lowest[path.back()], lowest[rule]);
            if (lowest[rule] != number[rule])
                continue;
            const auto first = std::find(open.rbegin(), open.rend(), rule).base() - 1;
            for (auto member = first; member != open.end(); ++member)
                result.of[*member] = n_components;
            result.order.insert(result.order.end(), first, open.end());
            open.erase(first, open.end());
            n_components++;
        }
    }
    return result;
}

void check_left_recursion(const GbnfGrammar& grammar, const LeftEdges& edges, const Components& parts,
                          bool allows_last) {
    for (uint32_t rule = 0; rule < grammar.rules.size(); rule++) {
        for (size_t i = edges.first[rule]; i < edges.first[rule + 1]; i++) {
            if (parts.of[rule] != parts.of[edges.to[i]] || (allows_last && edges.is_last[i]))
                continue;
            fail_rule(grammar, rule,
                      "can come back to itself before it consumes anything (left recursion); "
                      "put what it consumes first, or use '*' or '+' over something that is never empty");
        }
    }
}

// llama_grammar_detect_left_recursion recurses along left edges and visits a rule again on every path to it.
//
// REQUIRES: no left recursion.
void check_scan(const GbnfGrammar& grammar, const LeftEdges& edges, const Components& parts) {
    std::vector<double> n_steps(grammar.rules.size());
    std::vector<uint32_t> depth(grammar.rules.size());
    for (const uint32_t rule : parts.order) {
        n_steps[rule] = static_cast<double>(grammar.rules[rule].end - grammar.rules[rule].begin + 1);
        depth[rule] = 1;
        for (size_t i = edges.first[rule]; i < edges.first[rule + 1]; i++) {
            n_steps[rule] += n_steps[edges.to[i]];
            depth[rule] = std::max(depth[rule], depth[edges.to[i]] + 1);
        }
        if (depth[rule] > kMaxGbnfChain) {
            fail_rule(grammar, rule,
                      "begins a chain of more than " + std::to_string(kMaxGbnfChain) +
                          " rules, each at the left end of the one before; shorten the chain");
        }
    }
    double n_all = 0;
    for (const uint32_t rule : parts.start_points) {
        n_all += n_steps[rule];
        if (n_all > kMaxGbnfScanSteps) {
            fail_rule(grammar, rule,
                      "can begin in too many ways: llama.cpp needs more than " + shown(kMaxGbnfScanSteps) +
                          " steps to search it for left recursion; let its alternatives begin differently");
        }
    }
}

// The stacks that llama_grammar_advance_stack makes of one position of a grammar.
struct Stacks {
    double n_stacks = 0, n_entries = 0;            // all of them, and their lengths together
    double n_complete = 0, n_complete_entries = 0; // those that wait for a character

    // Adds `other`, with one more entry beneath each stack if `is_raised`.
    void add(const Stacks& other, bool is_raised) {
        n_stacks += other.n_stacks;
        n_entries += other.n_entries + (is_raised ? other.n_stacks : 0);
        n_complete += other.n_complete;
        n_complete_entries += other.n_complete_entries + (is_raised ? other.n_complete : 0);
    }

    // llama.cpp keeps them all in a set, and looks for each complete one among the others entry by entry.
    double n_steps() const { return std::max(64 * n_entries, n_complete * n_complete_entries); }
};

// Bounds the stacks of every position; a position is counted as if no two stacks were equal, but for
// recursion at the end of rules, where they always are.
//
// REQUIRES: no left recursion but at the end of alternates.
void check_stacks(const GbnfGrammar& grammar, const std::vector<bool>& is_empty, const Components& parts) {
    std::vector<Stacks> of_component(grammar.rules.size());
    const auto require_few = [&](uint32_t rule, const Stacks& stacks) {
        if (stacks.n_steps() <= kMaxGbnfBeginSteps)
            return;
        fail_rule(grammar, rule,
                  "goes on in " + shown(stacks.n_complete) +
                      " ways at one place, for which llama.cpp needs " + shown(stacks.n_steps()) +
                      " steps, the limit is " + shown(kMaxGbnfBeginSteps) +
                      "; use fewer alternatives or let them begin differently");
    };
    const auto stacks_of = [&](uint32_t rule, bool is_final) {
        Stacks all;
        for_each_alternate(grammar, grammar.rules[rule], [&](size_t begin, size_t end) {
            Stacks rest;
            for (size_t i = end; i-- > begin;) {
                const GbnfItem item = grammar.items[i];
                const bool is_terminal = !is_reference(item);
                Stacks here = {1, 1, is_terminal ? 1.0 : 0.0, is_terminal ? 1.0 : 0.0};
                if (!is_terminal && (is_final || parts.of[item] != parts.of[rule])) {
                    here.add(of_component[parts.of[item]], i + 1 < end);
                }
                if (!is_terminal && is_empty[item])
                    here.add(rest, /*is_raised=*/false);
                rest = here;
                if (is_final)
                    require_few(rule, rest);
            }
            all.add(rest, /*is_raised=*/false);
        });
        if (is_final)
            require_few(rule, all);
        return all;
    };
    for (const uint32_t rule : parts.order)
        of_component[parts.of[rule]].add(stacks_of(rule, /*is_final=*/false), /*is_raised=*/false);
    for (uint32_t rule = 0; rule < grammar.rules.size(); rule++)
        stacks_of(rule, /*is_final=*/true);
}

// Of a run of things that may be missing, any can follow any earlier one.
void check_optional(const GbnfGrammar& grammar, const std::vector<bool>& is_empty) {
    double n_pairs = 0;
    for (uint32_t rule = 0; rule < grammar.rules.size(); rule++) {
        for_each_alternate(grammar, grammar.rules[rule], [&](size_t begin, size_t end) {
            double n_run = 0;
            for (size_t i = begin; i < end; i++) {
                const GbnfItem item = grammar.items[i];
                n_run = is_reference(item) && is_empty[item] ? n_run + 1 : 0;
                n_pairs += n_run;
            }
        });
        if (n_pairs > kMaxGbnfOptionalPairs) {
            fail_rule(grammar, rule,
                      "has too many parts in a row that may be missing: that is more than " +
                          shown(kMaxGbnfOptionalPairs) +
                          " pairs of what can follow each other; put some of them into alternatives");
        }
    }
}

} // namespace

void check_gbnf(std::string_view text, std::string_view root, const IsToken& is_token) {
    if (text.size() > kMaxGbnfBytes) {
        fail_gbnf(text, 0,
                  "the grammar has " + std::to_string(text.size()) + " bytes, the limit is " +
                      std::to_string(kMaxGbnfBytes) + "; shorten it");
    }
    const size_t nul = text.find('\0');
    if (nul != std::string_view::npos)
        fail_gbnf(text, nul, "the grammar contains a NUL byte; write it as \\x00");
    const size_t n_valid = valid_utf8_prefix(text);
    if (n_valid < text.size())
        fail_gbnf(text, n_valid, "the grammar is not valid UTF-8; encode it as UTF-8");

    const GbnfGrammar grammar = parse_gbnf(text, root, is_token);
    const LeftEdges scanned = left_edges(grammar, directly_empty_rules(grammar));
    const Components scanned_parts = components(scanned);
    check_left_recursion(grammar, scanned, scanned_parts, /*allows_last=*/false);
    check_scan(grammar, scanned, scanned_parts);
    // llama.cpp follows rules that are empty through others only here, and then adds to its stacks for ever.
    const std::vector<bool> is_empty = empty_rules(grammar);
    const LeftEdges followed = left_edges(grammar, is_empty);
    const Components followed_parts = components(followed);
    check_left_recursion(grammar, followed, followed_parts, /*allows_last=*/true);
    check_stacks(grammar, is_empty, followed_parts);
    check_optional(grammar, is_empty);
}

} // namespace inllama
