// Makes the bytes of GGUF files, sound or not.
#pragma once

#include "core/gguf.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gguf_bytes {

using inllama::GgufType;

template<class T> std::string raw(T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

inline std::string text(std::string_view value) {
    return raw<uint64_t>(value.size()) + std::string(value);
}

inline std::string entry(std::string_view key, GgufType type, const std::string& value) {
    return text(key) + raw(static_cast<uint32_t>(type)) + value;
}
inline std::string u32(std::string_view key, uint32_t value) {
    return entry(key, GgufType::u32, raw(value));
}
inline std::string u16(std::string_view key, uint16_t value) {
    return entry(key, GgufType::u16, raw(value));
}
inline std::string f32(std::string_view key, float value) {
    return entry(key, GgufType::f32, raw(value));
}
inline std::string words(std::string_view key, std::string_view value) {
    return entry(key, GgufType::text, text(value));
}
inline std::string array(std::string_view key, GgufType type, uint64_t n, const std::string& values) {
    return entry(key, GgufType::array, raw(static_cast<uint32_t>(type)) + raw(n) + values);
}
inline std::string texts(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes;
    for (const std::string& value : values) {
        bytes += text(value);
    }
    return array(key, GgufType::text, values.size(), bytes);
}
template<class T> std::string numbers(std::string_view key, GgufType type, const std::vector<T>& values) {
    std::string bytes;
    for (const T value : values) {
        bytes += raw(value);
    }
    return array(key, type, values.size(), bytes);
}

struct Tensor {
    std::string name;
    std::vector<int64_t> dimensions;
    uint32_t type = 0;
    uint64_t offset = 0;

    std::string bytes() const {
        std::string all = text(name) + raw(static_cast<uint32_t>(dimensions.size()));
        for (const int64_t n : dimensions) {
            all += raw(n);
        }
        return all + raw(type) + raw(offset);
    }
};

// A file of these entries (each as made above) and tensors, with the data of the tensors.
struct File {
    std::vector<std::string> entries;
    std::vector<Tensor> tensors;
    uint32_t version = 3;
    uint64_t alignment = 32;
    uint64_t data_bytes = 0;

    // Adds a tensor behind those that are there, of f32 or another type of one byte block size.
    File& add(const std::string& name, std::vector<int64_t> dimensions, uint32_t type = 0) {
        const inllama::TensorType* known = inllama::tensor_type(type);
        uint64_t n = 1;
        for (const int64_t one : dimensions) {
            n *= static_cast<uint64_t>(one);
        }
        tensors.push_back({name, std::move(dimensions), type, data_bytes});
        data_bytes += (n / known->block * known->block_bytes + alignment - 1) / alignment * alignment;
        return *this;
    }

    std::string header() const {
        std::string bytes =
            "GGUF" + raw(version) + raw<uint64_t>(tensors.size()) + raw<uint64_t>(entries.size());
        for (const std::string& one : entries) {
            bytes += one;
        }
        for (const Tensor& one : tensors) {
            bytes += one.bytes();
        }
        return bytes;
    }

    std::string bytes() const {
        std::string all = header();
        if (!tensors.empty()) {
            all.resize((all.size() + alignment - 1) / alignment * alignment + data_bytes);
        }
        return all;
    }
};

} // namespace gguf_bytes
