// GBNF as a tree, for who writes it in another notation.
#pragma once

#include "core/types.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace inllama {

// The token that `text`, "<think>" or "<[17]>", names.
using TokenOf = std::function<Token(std::string_view text)>;

struct GbnfNode {
    enum class Kind : uint8_t {
        literal,      // `characters`, one after the other; none: nothing
        one_of,       // one of `ranges`, or none of them if `is_negated`
        rule,         // what `name` stands for
        token,        // `token`
        sequence,     // `children`
        alternatives, // one of `children`
        repetition    // the only one of `children`, `min` to `max` times
    };
    static constexpr uint64_t kNoMaximum = std::numeric_limits<uint64_t>::max();

    Kind kind = Kind::literal;
    bool is_negated = false;
    Token token = 0;
    uint64_t min = 0;
    uint64_t max = 0;
    std::vector<uint32_t> characters;
    std::vector<std::pair<uint32_t, uint32_t>> ranges;
    std::string_view name;
    std::vector<GbnfNode> children;
};

struct GbnfTreeRule {
    std::string_view name;
    GbnfNode body;
};

// The rules of a grammar, in its order. Throws GrammarError for excluded tokens, which the tree does not
// have, and what `token_of` throws.
//
// REQUIRES: check_gbnf accepts `text`, which outlives the result. Any thread.
std::vector<GbnfTreeRule> gbnf_tree(std::string_view text, const TokenOf& token_of);

} // namespace inllama
