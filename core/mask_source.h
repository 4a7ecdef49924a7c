// The seam between the engine and what constrains an output: which tokens may come next.
#pragma once

#include "core/types.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace inllama {

// Follows one output through a structure. One thread at a time, but not always the same one.
class MaskSource {
  public:
    virtual ~MaskSource() = default;

    // Sets bit t % 32 of mask[t / 32] for each token t that may come next, and clears the others; the end
    // tokens are among them where the structure is complete. False: every token may, and `mask` means
    // nothing.
    virtual bool fill(uint32_t* mask) = 0;
    // Goes on with a token. False if it may not come next; nothing changed then.
    virtual bool accept(Token token) = 0;
    // Goes on with bytes, whatever tokens they belong to. False if they may not come next; nothing changed
    // then.
    virtual bool accept_bytes(std::string_view bytes) = 0;
    // Takes back the last `n` calls of accept() and accept_bytes() that returned true.
    virtual void rollback(int n) = 0;
    // The structure is complete as it is: an end token may come next.
    virtual bool can_end() const = 0;
    // An end token was accepted: nothing can follow.
    virtual bool is_done() const = 0;
};

// What an output must look like. Immutable; any thread.
class Structure {
  public:
    virtual ~Structure() = default;

    // At the beginning of an output.
    virtual std::unique_ptr<MaskSource> start() const = 0;
    // Tokens of the vocabulary that it was made for.
    virtual int n_tokens() const = 0;
    // What it holds in memory.
    virtual size_t n_bytes() const = 0;
};

// Words of a mask over `n_tokens` tokens.
constexpr size_t mask_words(int n_tokens) {
    return (static_cast<size_t>(n_tokens) + 31) / 32;
}

} // namespace inllama
