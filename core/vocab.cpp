#include "core/vocab.h"

#include "core/error.h"

namespace inllama {

void check_token(Token token, int n_vocab) {
    if (token < 0 || token >= n_vocab) {
        throw Error(ErrorKind::InvalidRequestError, "token " + std::to_string(token) +
                                                        " is not in the vocabulary of " +
                                                        std::to_string(n_vocab) + " tokens")
            .with("token", token)
            .with("n_vocab", n_vocab);
    }
}

} // namespace inllama
