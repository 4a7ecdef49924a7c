#include "core/argmax.h"

#include <algorithm>
#include <limits>

namespace inllama {

namespace {

constexpr size_t kLanes = 16;
constexpr size_t kBlock = 1024;

// Independent lanes without a place, which compilers turn into vector instructions. Only a block that holds a
// new largest number is searched for its place.
void look(Argmax& best, const float* logits, size_t begin, size_t end) {
    for (; begin < end; begin = std::min(end, begin + kBlock)) {
        const size_t stop = std::min(end, begin + kBlock);
        float lanes[kLanes];
        int wrong[kLanes] = {};
        std::fill(lanes, lanes + kLanes, -std::numeric_limits<float>::infinity());
        size_t i = begin;
        for (; i + kLanes <= stop; i += kLanes) {
            for (size_t lane = 0; lane < kLanes; lane++) {
                const float logit = logits[i + lane];
                lanes[lane] = logit > lanes[lane] ? logit : lanes[lane];
                wrong[lane] |= logit != logit;
            }
        }
        for (; i < stop; i++) {
            lanes[0] = logits[i] > lanes[0] ? logits[i] : lanes[0];
            wrong[0] |= logits[i] != logits[i];
        }
        best.has_nan = best.has_nan || std::any_of(wrong, wrong + kLanes, [](int one) { return one != 0; });
        const float top = *std::max_element(lanes, lanes + kLanes);
        if (top > best.value) {
            best.value = top;
            best.index = static_cast<size_t>(std::find(logits + begin, logits + stop, top) - logits);
        }
    }
}

} // namespace

Argmax argmax(const float* logits, size_t n, const std::vector<std::pair<Token, float>>& biases) {
    Argmax best{-std::numeric_limits<float>::infinity(), 0, false};
    size_t begin = 0;
    for (const auto& [token, bias] : biases) {
        const auto index = static_cast<size_t>(token);
        look(best, logits, begin, index);
        const float biased = logits[index] + bias;
        best.has_nan = best.has_nan || biased != biased;
        if (biased > best.value) {
            best.value = biased;
            best.index = index;
        }
        begin = index + 1;
    }
    look(best, logits, begin, n);
    return best;
}

} // namespace inllama
