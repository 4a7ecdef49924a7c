#include "core/gguf_reader.h"

#include "core/gguf.h"
#include "core/utf8_stream.h"

#include <algorithm>

namespace inllama {

namespace {

// Below what malloc takes from the system anew each time, whose pages cost more than the reading.
constexpr uint64_t kFirstBlock = 96 << 10;
constexpr uint64_t kLargestBlock = 8 << 20;

constexpr uint64_t kHighBits = 0x8080808080808080;

// Whether `n` bytes are UTF-8; `readable` of them and what follows can be read.
//
// Most texts are short and ASCII: those are looked at in words, and others with all the rules.
bool is_utf8(const char* text, size_t n, uint64_t readable) noexcept {
    size_t i = 0;
    while (i < n && readable - i >= sizeof(uint64_t)) {
        uint64_t word;
        std::memcpy(&word, text + i, sizeof(word));
        if (n - i < sizeof(word)) {
            word &= (uint64_t{1} << 8 * (n - i)) - 1; // the first byte is the lowest
        }
        if ((word & kHighBits) == 0) {
            i += sizeof(word);
            continue;
        }
        while (static_cast<unsigned char>(text[i]) < 0x80) {
            i++;
        }
        const auto lead = static_cast<unsigned char>(text[i]);
        const auto second = static_cast<unsigned char>(i + 1 < n ? text[i + 1] : 0);
        const auto third = static_cast<unsigned char>(i + 2 < n ? text[i + 2] : 0);
        // Plain characters of two and three bytes; 10xxxxxx is what follows a lead.
        if (lead >= 0xC2 && lead <= 0xDF && (second & 0xC0) == 0x80) {
            i += 2;
        } else if (lead >= 0xE1 && lead <= 0xEC && (second & 0xC0) == 0x80 && (third & 0xC0) == 0x80) {
            i += 3;
        } else {
            break;
        }
    }
    return i >= n || valid_utf8_prefix(std::string_view(text + i, n - i)) == n - i;
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
    if (!is_utf8(text.data(), n, bytes_.size() - at_)) {
        fail("has " + std::string(what) + " that is not UTF-8");
    }
    at_ += n;
    return text;
}

void GgufReader::skip_texts(uint64_t n) {
    for (; n > 0; n--) {
        // Nearly all are in memory already, and there are hundreds of thousands.
        uint64_t size = UINT64_MAX;
        const uint64_t there = bytes_.size() - at_;
        if (there >= sizeof(size)) {
            std::memcpy(&size, bytes_.data() + at_, sizeof(size));
        }
        if (there < sizeof(size) || size > there - sizeof(size) ||
            !is_utf8(bytes_.data() + at_ + sizeof(size), size, there - sizeof(size))) {
            take_text("a text", kGgufMaxHeaderBytes);
            continue;
        }
        at_ += sizeof(size) + size;
    }
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
