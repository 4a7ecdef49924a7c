#include "core/utf8_stream.h"

namespace inllama {

namespace {

constexpr char kReplacement[] = "\xEF\xBF\xBD";

struct Lead {
    uint8_t n_more;             // continuation bytes that follow; 0 if the byte starts no character
    unsigned char lower, upper; // bounds of the first of them
};

// REQUIRES: `byte` is not ASCII.
Lead lead_of(unsigned char byte) noexcept {
    if (byte < 0xC2 || byte > 0xF4)
        return {0, 0, 0};
    // The second byte alone tells overlong forms (E0, F0), surrogates (ED) and values over U+10FFFF (F4).
    const uint8_t n_more = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    const unsigned char lower = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    const unsigned char upper = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    return {n_more, lower, upper};
}

} // namespace

std::string Utf8Stream::push(std::string_view bytes) {
    std::string text;
    text.reserve(bytes.size() + n_held_);
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (n_held_ > 0) {
            if (byte >= lower_ && byte <= upper_) {
                lower_ = 0x80;
                upper_ = 0xBF;
                if (--n_missing_ == 0) {
                    text.append(held_, n_held_).push_back(c);
                    n_held_ = 0;
                } else {
                    held_[n_held_++] = c;
                }
                continue;
            }
            text += kReplacement;
            n_held_ = 0;
        }
        if (byte < 0x80) {
            text.push_back(c);
            continue;
        }
        const Lead lead = lead_of(byte);
        if (lead.n_more == 0) {
            text += kReplacement;
            continue;
        }
        held_[0] = c;
        n_held_ = 1;
        n_missing_ = lead.n_more;
        lower_ = lead.lower;
        upper_ = lead.upper;
    }
    return text;
}

std::string Utf8Stream::flush() {
    if (n_held_ == 0)
        return {};
    n_held_ = 0;
    return kReplacement;
}

size_t valid_utf8_prefix(std::string_view bytes) noexcept {
    size_t at = 0;
    while (at < bytes.size()) {
        const auto first = static_cast<unsigned char>(bytes[at]);
        if (first < 0x80) {
            at++;
            continue;
        }
        const Lead lead = lead_of(first);
        if (lead.n_more == 0 || lead.n_more >= bytes.size() - at)
            return at;
        for (size_t i = 1; i <= lead.n_more; i++) {
            const auto byte = static_cast<unsigned char>(bytes[at + i]);
            if (byte < (i == 1 ? lead.lower : 0x80) || byte > (i == 1 ? lead.upper : 0xBF))
                return at;
        }
        at += size_t{1} + lead.n_more;
    }
    return at;
}

} // namespace inllama
