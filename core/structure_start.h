// Where in an output its structure begins: at once, or at a text, token or pattern that the model writes.
#pragma once

#include "core/types.h"
#include "core/vocab.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <regex>
#include <string>
#include <vector>

namespace inllama {

// The structure begins at what comes first of these; at once if there are none.
struct StructureStart {
    std::vector<std::string> after;    // behind one of these texts, and white space in the same token
    std::vector<std::string> at;       // with one of these texts, which the structure describes too
    std::vector<Token> tokens;         // with one of these tokens, the same
    std::vector<std::string> patterns; // with the first group that matched, else the match, of an expression;
                                       // one of the form ^...$ is about the whole output
    std::vector<Token> spelled;        // control tokens whose spelling counts as text of the output
    std::vector<std::string>
        beyond;         // nothing counts until one of these texts was there: the end of reasoning
    std::string prefix; // what the structure begins with and the prompt has already

    bool is_immediate() const { return after.empty() && at.empty() && tokens.empty() && patterns.empty(); }
};

// Text before the start is searched again with each token, where there are patterns.
inline constexpr size_t kMaxBytesBeforeStart = size_t{1} << 16;
inline constexpr size_t kMaxPatternBytes = 4096;

// Looks for the start. One thread at a time.
class StructureTrigger {
  public:
    // What the structure has seen once it began.
    struct Begun {
        std::optional<Token> token; // it begins with this very token
        std::string bytes;          // else with these; what the token spells in the first case
    };

    // Throws GrammarError for an empty text or an expression that is none, InvalidRequestError (fields token,
    // n_vocab) for a token that is not in the vocabulary.
    StructureTrigger(StructureStart start, std::shared_ptr<const Vocab> vocab);

    // Takes the next token of the output; says with what the structure begins, once it does.
    //
    // Throws GrammarError if there are patterns and kMaxBytesBeforeStart bytes have not matched.
    std::optional<Begun> push(Token token);

  private:
    bool pass(size_t n_old);
    std::optional<Begun> find_text(size_t n_old) const;
    std::optional<Begun> find_pattern() const;

    StructureStart start_;
    std::shared_ptr<const Vocab> vocab_;
    std::vector<std::regex> patterns_;
    bool is_beyond_;
    size_t n_kept_ = 0; // bytes of the output that a text may have begun in
    std::string text_;  // the output; without patterns, its last bytes
};

} // namespace inllama
