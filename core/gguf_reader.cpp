#include "core/gguf_reader.h"

#include "core/gguf.h"
#include "core/utf8_stream.h"

#include <algorithm>

namespace inllama {

namespace {

constexpr uint64_t kFirstBlock = 64 << 10;
constexpr uint64_t kLargestBlock = 8 << 20;

bool is_between(char c, unsigned char low, unsigned char high) noexcept {
    return static_cast<unsigned char>(c) >= low && static_cast<unsigned char>(c) <= high;
}

// Whether all of it is UTF-8. Most texts are short, ASCII or in plain characters of two and three bytes:
// those are looked at here, and the others with all the rules. This is half of the time of reading a file.
bool is_utf8(std::string_view text) noexcept {
    constexpr uint64_t kHighBits = 0x8080808080808080;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at < end) {
        uint64_t word;
        if (end - at >= 8 && (std::memcpy(&word, at, sizeof(word)), (word & kHighBits) == 0)) {
            at += sizeof(word);
        } else if (is_between(*at, 0, 0x7F)) {
            at++;
        } else if (is_between(*at, 0xC2, 0xDF) && end - at >= 2 && is_between(at[1], 0x80, 0xBF)) {
            at += 2;
        } else if (is_between(*at, 0xE1, 0xEC) && end - at >= 3 && is_between(at[1], 0x80, 0xBF) &&
                   is_between(at[2], 0x80, 0xBF)) {
            at += 3;
        } else {
            const std::string_view rest(at, static_cast<size_t>(end - at));
            return valid_utf8_prefix(rest) == rest.size();
        }
    }
    return true;
}

} // namespace

Error gguf_error(const std::string& name, const std::string& place, const std::string& problem) {
    return load_error(name, (place.empty() ? "" : place + " ") + problem).with("where", place);
}

void GgufReader::fail_at(const std::string& place, const std::string& problem) const {
    throw gguf_error(source_.name(), place, problem);
}

std::string_view GgufReader::take_text(const char* what, uint64_t limit) {
    const auto n = take<uint64_t>(what);
    if (n > limit) {
        fail("has " + std::string(what) + " of " + std::to_string(n) + " bytes, but at most " +
             std::to_string(limit) + " are possible");
    }
    need(n, what);
    const std::string_view text(bytes_.data() + at_, n);
    if (!is_utf8(text)) {
        fail("has " + std::string(what) + " that is not UTF-8");
    }
    at_ += n;
    return text;
}

void GgufReader::expect(uint64_t n, const char* what) const {
    if (n > remaining()) {
        const uint64_t end = n > UINT64_MAX - at_ ? UINT64_MAX : at_ + n;
        throw gguf_error(source_.name(), place_,
                         "needs " + std::string(what) + " up to byte " + std::to_string(end) +
                             ", but there are " + std::to_string(source_.size()) +
                             " bytes; the file is damaged or incomplete, get it again")
            .with("n_needed", end);
    }
}

void GgufReader::fetch(uint64_t n, const char* what) {
    expect(n, what);
    if (at_ + n > kGgufMaxHeaderBytes) {
        fail("ends at byte " + std::to_string(at_ + n) + " with " + what + ", but a header has at most " +
             std::to_string(kGgufMaxHeaderBytes) + " bytes");
    }
    const uint64_t block = std::clamp<uint64_t>(bytes_.size() / 2, kFirstBlock, kLargestBlock);
    const uint64_t have = bytes_.size();
    const uint64_t end = std::min(source_.size(), std::max(at_ + n, have + block));
    bytes_.resize(end);
    source_.read(have, bytes_.data() + have, end - have);
}

} // namespace inllama
