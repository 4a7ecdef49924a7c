#include "core/embed_request.h"

#include <algorithm>
#include <cmath>

namespace inllama {

void normalize(float* values, size_t n, Normalization normalization) {
    double size = 0;
    for (size_t i = 0; i < n; i++) {
        const double value = values[i];
        size = normalization == Normalization::l2 ? size + value * value : std::max(size, std::fabs(value));
    }
    if (normalization == Normalization::none || size == 0) {
        return;
    }
    const double scale = 1 / (normalization == Normalization::l2 ? std::sqrt(size) : size);
    for (size_t i = 0; i < n; i++) {
        values[i] = static_cast<float>(values[i] * scale);
    }
}

} // namespace inllama
