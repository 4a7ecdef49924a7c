// The types that a tensor in a GGUF file can have.
#pragma once

#include <cstddef>
#include <cstdint>

namespace inllama {

struct TensorType {
    enum class Use : uint8_t {
        weights, // matrices can have it
        numbers, // integers and doubles: no matrix product of llama.cpp takes it
        removed, // was once in files
    };

    uint32_t id; // its number in a file
    const char* name;
    uint32_t block;       // elements that are stored together; rows have a whole number of blocks
    uint32_t block_bytes; // bytes of a block
    Use use;
};

// The type with this number, also a removed one; nullptr if there is none. Any thread; never throws.
//
// A test compares the table with the gguf package and with llama.cpp's own.
const TensorType* tensor_type(uint32_t id) noexcept;

struct TensorTypes {
    const TensorType* begin_;
    size_t n;
    const TensorType* begin() const noexcept { return begin_; }
    const TensorType* end() const noexcept { return begin_ + n; }
};
// All of them, by their numbers.
TensorTypes tensor_types() noexcept;

constexpr uint32_t kTensorF32 = 0;
constexpr uint32_t kTensorI32 = 26;
constexpr uint32_t kTensorI64 = 27;
constexpr uint32_t kTensorNvfp4 = 40;

} // namespace inllama
