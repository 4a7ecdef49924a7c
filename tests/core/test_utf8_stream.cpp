#include "core/utf8_stream.h"
#include "tests/core/check.h"

#include <random>

using inllama::Utf8Stream;
using inllama::valid_utf8_prefix;

namespace {

const std::string kBad = "\xEF\xBF\xBD";

std::string decoded_whole(const std::string& bytes) {
    Utf8Stream stream;
    std::string text = stream.push(bytes);
    return text + stream.flush();
}

// Length of the well-formed sequence at `at`, or 0: by decoding and re-checking the code point, not by table.
size_t sequence_length(const std::string& s, size_t at) {
    const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(s[i])); };
    const uint32_t first = byte(at);
    if (first < 0x80)
        return 1;
    const size_t length = (first & 0xE0) == 0xC0   ? 2
                          : (first & 0xF0) == 0xE0 ? 3
                          : (first & 0xF8) == 0xF0 ? 4
                                                   : 0;
    if (length == 0 || at + length > s.size())
        return 0;
    uint32_t code = first & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((byte(at + i) & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (byte(at + i) & 0x3F);
    }
    const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code < smallest[length] || code > 0x10FFFF || is_surrogate ? 0 : length;
}

// The naive model: a maximal subpart is the longest part at `at` that some bytes could complete.
std::string decoded_by_model(const std::string& s) {
    std::string text;
    for (size_t at = 0; at < s.size();) {
        if (const size_t length = sequence_length(s, at)) {
            text += s.substr(at, length);
            at += length;
            continue;
        }
        text += kBad;
        size_t subpart = 1;
        for (size_t length = 2; length <= 3 && at + length <= s.size(); length++) {
            bool can_complete = false;
            for (int second = 0x80; second <= 0xBF && !can_complete; second++) {
                for (size_t n_more = 1; n_more <= 2; n_more++) {
                    std::string whole = s.substr(at, length);
                    whole.append(n_more, static_cast<char>(second));
                    can_complete |= sequence_length(whole, 0) == whole.size();
                }
            }
            if (!can_complete)
                break;
            subpart = length;
        }
        at += subpart;
    }
    return text;
}

std::string random_bytes(std::mt19937& random) {
    // Bytes at the edges of every range of the standard's table, so that most sequences nearly work.
    static const unsigned char kEdges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                           0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
                                           0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    std::string bytes;
    for (size_t n = random() % 24; n > 0; n--)
        bytes += static_cast<char>(kEdges[random() % sizeof(kEdges)]);
    return bytes;
}

} // namespace

TEST("a character split over pushes comes out whole") {
    Utf8Stream stream;
    CHECK_EQ(stream.push("a\xF0"), "a");
    CHECK_EQ(stream.push("\x9F\x98"), "");
    CHECK_EQ(stream.n_held(), 3u);
    CHECK_EQ(stream.push("\x80z"), "\xF0\x9F\x98\x80z");
    CHECK_EQ(stream.n_held(), 0u);
    CHECK_EQ(stream.flush(), "");
}

TEST("flush replaces an unfinished character once and starts afresh") {
    Utf8Stream stream;
    CHECK_EQ(stream.push("\xE2\x82"), "");
    CHECK_EQ(stream.flush(), kBad);
    CHECK_EQ(stream.flush(), "");
    CHECK_EQ(stream.push("\xAC"), kBad);
}

TEST("ill-formed bytes are replaced as Python replaces them") {
    // Each right side is what CPython 3.11's bytes.decode("utf-8", "replace") gives.
    CHECK_EQ(decoded_whole("\x80"), kBad);
    CHECK_EQ(decoded_whole("\xC0\xAF"), kBad + kBad);
    CHECK_EQ(decoded_whole("\xE0\x9F\xBF"), kBad + kBad + kBad);
    CHECK_EQ(decoded_whole("\xED\xA0\x80"), kBad + kBad + kBad);
    CHECK_EQ(decoded_whole("\xF4\x90\x80\x80"), kBad + kBad + kBad + kBad);
    CHECK_EQ(decoded_whole("\xF0\x9F\x98z"), kBad + "z");
    CHECK_EQ(decoded_whole("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), kBad + kBad + kBad + kBad + "A");
    CHECK_EQ(decoded_whole("\xC3\xC3\xA9"), kBad + "\xC3\xA9");
}

TEST("any bytes in any split decode as the naive model decodes the whole") {
    std::mt19937 random(20261001);
    for (int round = 0; round < 4000; round++) {
        const std::string bytes = random_bytes(random);
        Utf8Stream stream;
        std::string text;
        for (size_t at = 0; at < bytes.size();) {
            const size_t length = 1 + random() % 4;
            const std::string piece = stream.push(bytes.substr(at, length));
            CHECK_EQ(valid_utf8_prefix(piece), piece.size());
            CHECK(stream.n_held() <= 3);
            text += piece;
            at += length;
        }
        text += stream.flush();
        CHECK_EQ(text, decoded_by_model(bytes));
    }
}

TEST("every code point is valid alone and every proper prefix of it is not") {
    for (uint32_t code = 0x80; code <= 0x10FFFF; code += code < 0x11000 ? 1 : 97) {
        if (code >= 0xD800 && code <= 0xDFFF)
            continue;
        std::string s;
        const int n_more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        s += static_cast<char>(((0xFF00 >> (n_more + 1)) & 0xFF) | (code >> (6 * n_more)));
        for (int i = n_more - 1; i >= 0; i--)
            s += static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F));
        if (valid_utf8_prefix(s) != s.size() || decoded_whole(s) != s)
            CHECK_EQ(code, 0u);
        for (size_t n = 1; n < s.size(); n++) {
            if (valid_utf8_prefix(s.substr(0, n)) != 0)
                CHECK_EQ(code, 0u);
        }
    }
}

TEST("the valid prefix ends where the model finds the first ill-formed sequence") {
    std::mt19937 random(7);
    for (int round = 0; round < 4000; round++) {
        const std::string bytes = random_bytes(random);
        size_t at = 0;
        while (at < bytes.size()) {
            const size_t length = sequence_length(bytes, at);
            if (length == 0)
                break;
            at += length;
        }
        CHECK_EQ(valid_utf8_prefix(bytes), at);
    }
}
