// What memory holds of a prefix, as bytes that another process can read.
#pragma once

#include "core/types.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace inllama {

struct SavedPrefix {
    std::string identity;   // of the decoder that computed it
    std::string name_space; // of PrefixCache
    std::vector<Token> tokens;
    std::vector<uint8_t> state; // of Decoder::save
};

// The format, little-endian: a header of 56 bytes with the sizes and a checksum, then the four parts in
// order.
std::vector<uint8_t> encode_prefix(const SavedPrefix& prefix);

// Throws StateError for anything but what encode_prefix gave: a wrong size, a token below 0, a damaged byte.
// Neither is enough against somebody who means harm: the state must come from where one trusts.
SavedPrefix decode_prefix(std::string_view bytes);

// The same without the state, of the beginning of a file; `size` is that of the whole file.
SavedPrefix decode_prefix_head(std::string_view beginning, uint64_t size);
// So many bytes of it are needed for that, known from the first 56.
uint64_t prefix_head_bytes(std::string_view header);
inline constexpr size_t kPrefixHeaderBytes = 56;

// Whether the bytes begin a prefix of an older format, which no build reads any more.
bool is_outdated_prefix(std::string_view header) noexcept;

} // namespace inllama
