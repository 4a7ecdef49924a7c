#include "core/llama/sampler_stage.h"

#include "core/error.h"

#include <llama.h>

#include <random>
#include <string>

namespace inllama {

uint32_t random_seed() {
    std::random_device device;
    uint32_t seed = device();
    return seed == LLAMA_DEFAULT_SEED ? 0 : seed;
}

uint32_t checked_seed(int64_t seed) {
    if (seed < 0 || seed >= int64_t{LLAMA_DEFAULT_SEED}) {
        throw Error(ErrorKind::InvalidRequestError, "seed is " + std::to_string(seed) + " but must be 0 to " +
                                                        std::to_string(LLAMA_DEFAULT_SEED - 1))
            .with("option", "seed")
            .with("value", seed);
    }
    return static_cast<uint32_t>(seed);
}

} // namespace inllama
