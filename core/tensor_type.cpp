#include "core/tensor_type.h"

namespace inllama {

namespace {

using Use = TensorType::Use;

constexpr TensorType kTypes[] = {
    {0, "f32", 1, 4, Use::weights},
    {1, "f16", 1, 2, Use::weights},
    {2, "q4_0", 32, 18, Use::weights},
    {3, "q4_1", 32, 20, Use::weights},
    {4, "q4_2", 0, 0, Use::removed},
    {5, "q4_3", 0, 0, Use::removed},
    {6, "q5_0", 32, 22, Use::weights},
    {7, "q5_1", 32, 24, Use::weights},
    {8, "q8_0", 32, 34, Use::weights},
    // What inputs are turned into: there is no product of weights that are in it.
    {9, "q8_1", 32, 36, Use::numbers},
    {10, "q2_K", 256, 84, Use::weights},
    {11, "q3_K", 256, 110, Use::weights},
    {12, "q4_K", 256, 144, Use::weights},
    {13, "q5_K", 256, 176, Use::weights},
    {14, "q6_K", 256, 210, Use::weights},
    {15, "q8_K", 256, 292, Use::numbers}, // as q8_1
    {16, "iq2_xxs", 256, 66, Use::weights},
    {17, "iq2_xs", 256, 74, Use::weights},
    {18, "iq3_xxs", 256, 98, Use::weights},
    {19, "iq1_s", 256, 50, Use::weights},
    {20, "iq4_nl", 32, 18, Use::weights},
    {21, "iq3_s", 256, 110, Use::weights},
    {22, "iq2_s", 256, 82, Use::weights},
    {23, "iq4_xs", 256, 136, Use::weights},
    {24, "i8", 1, 1, Use::numbers},
    {25, "i16", 1, 2, Use::numbers},
    {26, "i32", 1, 4, Use::numbers},
    {27, "i64", 1, 8, Use::numbers},
    {28, "f64", 1, 8, Use::numbers},
    {29, "iq1_m", 256, 56, Use::weights},
    {30, "bf16", 1, 2, Use::weights},
    {31, "q4_0_4_4", 0, 0, Use::removed},
    {32, "q4_0_4_8", 0, 0, Use::removed},
    {33, "q4_0_8_8", 0, 0, Use::removed},
    {34, "tq1_0", 256, 54, Use::weights},
    {35, "tq2_0", 256, 66, Use::weights},
    {36, "iq4_nl_4_4", 0, 0, Use::removed},
    {37, "iq4_nl_4_8", 0, 0, Use::removed},
    {38, "iq4_nl_8_8", 0, 0, Use::removed},
    {39, "mxfp4", 32, 17, Use::weights},
    {40, "nvfp4", 64, 36, Use::weights},
    {41, "q1_0", 128, 18, Use::weights},
    {42, "q2_0", 64, 18, Use::weights},
};

constexpr bool is_numbered() {
    uint32_t id = 0;
    for (const TensorType& type : kTypes) {
        if (type.id != id++) {
            return false;
        }
    }
    return true;
}
static_assert(is_numbered(), "a type is found by its number");

} // namespace

const TensorType* tensor_type(uint32_t id) noexcept {
    return id < sizeof(kTypes) / sizeof(kTypes[0]) ? &kTypes[id] : nullptr;
}

TensorTypes tensor_types() noexcept {
    return {kTypes, sizeof(kTypes) / sizeof(kTypes[0])};
}

} // namespace inllama
