// A 64-bit checksum against accidents, not against attackers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace inllama {

// Continues `hash` over `size` bytes. Different for any single changed, lost or added byte with high
// probability.
inline uint64_t checksum(const void* data, size_t size, uint64_t hash = 0x9E3779B97F4A7C15ULL) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    constexpr uint64_t kMultiplier = 0xFF51AFD7ED558CCDULL;
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), bytes += sizeof(uint64_t)) {
        uint64_t word;
        std::memcpy(&word, bytes, sizeof(word));
        hash = (hash ^ word) * kMultiplier;
        hash ^= hash >> 32;
    }
    for (; size > 0; size--, bytes++) {
        hash = (hash ^ *bytes) * kMultiplier;
        hash ^= hash >> 32;
    }
    return hash;
}

} // namespace inllama
