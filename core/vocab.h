// The seam between the engine and a vocabulary: what the engine needs to turn tokens into text.
#pragma once

#include "core/types.h"

#include <string>

namespace inllama {

// Immutable; any thread.
class Vocab {
  public:
    virtual ~Vocab() = default;

    virtual int size() const = 0;
    // Whether `token` ends an output.
    virtual bool ends(Token token) const = 0;
    // Appends the bytes that `token` stands for; control tokens stand for none.
    virtual void append_bytes(Token token, std::string& to) const = 0;
    // The same, but a control token stands for its spelling, such as "</think>".
    virtual void append_spelling(Token token, std::string& to) const = 0;
};

// Throws InvalidRequestError (fields token, n_vocab) for a token that is not in a vocabulary of `n_vocab`.
void check_token(Token token, int n_vocab);

} // namespace inllama
