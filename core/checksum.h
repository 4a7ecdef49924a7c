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
    const auto add = [](uint64_t to, uint64_t word) {
        to = (to ^ word) * 0xFF51AFD7ED558CCDULL;
        return to ^ to >> 32;
    };
    const auto take = [&](size_t offset) {
        uint64_t word;
        std::memcpy(&word, bytes + offset, sizeof(word));
        return word;
    };
    constexpr size_t kWord = sizeof(uint64_t);
    if (size >= 4 * kWord) {
        // Four at once: each waits for its own multiplication alone.
        uint64_t lanes[4] = {hash, hash + 1, hash + 2, hash + 3};
        for (; size >= 4 * kWord; size -= 4 * kWord, bytes += 4 * kWord) {
            for (size_t i = 0; i < 4; i++) {
                lanes[i] = add(lanes[i], take(i * kWord));
            }
        }
        for (const uint64_t lane : lanes) {
            hash = add(hash, lane);
        }
    }
    for (; size >= kWord; size -= kWord, bytes += kWord) {
        hash = add(hash, take(0));
    }
    for (; size > 0; size--, bytes++) {
        hash = add(hash, *bytes);
    }
    return hash;
}

} // namespace inllama
