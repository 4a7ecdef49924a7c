#include "core/saved_prefix.h"

#include "core/checksum.h"
#include "core/error.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace inllama {

namespace {

constexpr char kMagic[8] = {'I', 'N', 'L', 'L', 'A', 'M', 'A', 'P'};
constexpr uint32_t kFormatVersion = 2;

struct Header {
    char magic[8];
    uint32_t format_version;
    uint32_t n_tokens;
    uint64_t n_identity;
    uint64_t n_name_space;
    uint64_t n_state;
    uint64_t head_checksum;  // of identity, name space and tokens, and of what is above
    uint64_t state_checksum; // of the state
};
static_assert(sizeof(Header) == kPrefixHeaderBytes);

Error state_error(const std::string& text) {
    return Error(ErrorKind::StateError, text);
}

uint64_t checksum_of(const Header& header, std::string_view head) {
    const uint64_t above = checksum(&header, offsetof(Header, head_checksum));
    return checksum(head.data(), head.size(), above ^ header.state_checksum);
}

bool begins_a_prefix(std::string_view bytes) noexcept {
    return bytes.size() >= sizeof(Header) && std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) == 0;
}

Header read_header(std::string_view bytes) {
    if (!begins_a_prefix(bytes)) {
        throw state_error("the bytes are not a state saved by inllama");
    }
    Header header{};
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.format_version != kFormatVersion) {
        throw state_error("the state has format version " + std::to_string(header.format_version) +
                          " but this build reads version " + std::to_string(kFormatVersion))
            .with("version", header.format_version);
    }
    return header;
}

// Bytes between header and state; too many for any file if the sizes make no sense.
uint64_t head_bytes(const Header& header) {
    constexpr uint64_t kMost = uint64_t{1} << 40;
    if (header.n_identity > kMost || header.n_name_space > kMost || header.n_state > kMost) {
        return kMost;
    }
    return header.n_identity + header.n_name_space + uint64_t{header.n_tokens} * sizeof(Token);
}

} // namespace

bool is_outdated_prefix(std::string_view header) noexcept {
    uint32_t version = kFormatVersion;
    if (begins_a_prefix(header)) {
        std::memcpy(&version, header.data() + offsetof(Header, format_version), sizeof(version));
    }
    return version < kFormatVersion;
}

std::vector<uint8_t> encode_prefix(const SavedPrefix& prefix) {
    std::string head = prefix.identity + prefix.name_space;
    const size_t n_text = head.size();
    head.resize(n_text + prefix.tokens.size() * sizeof(Token));
    if (!prefix.tokens.empty()) {
        std::memcpy(head.data() + n_text, prefix.tokens.data(), prefix.tokens.size() * sizeof(Token));
    }
    Header header{};
    std::memcpy(header.magic, kMagic, sizeof(kMagic));
    header.format_version = kFormatVersion;
    header.n_tokens = static_cast<uint32_t>(prefix.tokens.size());
    header.n_identity = prefix.identity.size();
    header.n_name_space = prefix.name_space.size();
    header.n_state = prefix.state.size();
    header.state_checksum = checksum(prefix.state.data(), prefix.state.size());
    header.head_checksum = checksum_of(header, head);
    std::vector<uint8_t> bytes(sizeof(header) + head.size() + prefix.state.size());
    std::memcpy(bytes.data(), &header, sizeof(header));
    std::memcpy(bytes.data() + sizeof(header), head.data(), head.size());
    std::copy(prefix.state.begin(), prefix.state.end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(sizeof(header) + head.size()));
    return bytes;
}

uint64_t prefix_head_bytes(std::string_view header) {
    return sizeof(Header) + head_bytes(read_header(header));
}

SavedPrefix decode_prefix_head(std::string_view beginning, uint64_t size) {
    const Header header = read_header(beginning);
    const uint64_t n_head = head_bytes(header);
    if (beginning.size() < sizeof(header) + n_head || size != sizeof(header) + n_head + header.n_state) {
        throw state_error("the state is damaged: it has another length than it says");
    }
    const std::string_view head = beginning.substr(sizeof(header), n_head);
    if (header.head_checksum != checksum_of(header, head)) {
        throw state_error("the state is damaged: its checksum does not match");
    }
    SavedPrefix prefix;
    prefix.identity = head.substr(0, header.n_identity);
    prefix.name_space = head.substr(header.n_identity, header.n_name_space);
    prefix.tokens.resize(header.n_tokens);
    if (header.n_tokens > 0) {
        std::memcpy(prefix.tokens.data(), head.data() + header.n_identity + header.n_name_space,
                    header.n_tokens * sizeof(Token));
    }
    if (std::any_of(prefix.tokens.begin(), prefix.tokens.end(), [](Token token) { return token < 0; })) {
        throw state_error("the state is damaged: it has a token below 0");
    }
    return prefix;
}

SavedPrefix decode_prefix(std::string_view bytes) {
    SavedPrefix prefix = decode_prefix_head(bytes, bytes.size());
    const Header header = read_header(bytes);
    const std::string_view state = bytes.substr(bytes.size() - header.n_state);
    if (header.state_checksum != checksum(state.data(), state.size())) {
        throw state_error("the state is damaged: its checksum does not match");
    }
    prefix.state.assign(state.begin(), state.end());
    return prefix;
}

} // namespace inllama
