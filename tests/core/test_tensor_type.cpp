#include "check.h"
#include "core/tensor_type.h"

#include <string>

using namespace inllama;

TEST("types of tensors are found by their number") {
    CHECK_EQ(std::string(tensor_type(0)->name), "f32");
    CHECK_EQ(std::string(tensor_type(2)->name), "q4_0");
    CHECK_EQ(tensor_type(2)->block_bytes, 18u);
    CHECK(tensor_type(43) == nullptr);
    CHECK(tensor_type(UINT32_MAX) == nullptr);
    for (const TensorType& type : tensor_types()) {
        CHECK((type.use == TensorType::Use::removed) == (type.block == 0));
        CHECK(tensor_type(type.id) == &type);
    }
}
