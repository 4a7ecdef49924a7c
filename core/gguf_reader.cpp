#include "core/gguf_reader.h"

#include "core/gguf.h"
#include "core/platform/memory.h"

#include <algorithm>

namespace inllama {

namespace {

// As few pages as can be are touched for the first time, which costs more than a call of the system.
constexpr uint64_t kBlock = 32 << 10;

// Of each byte of a number.
constexpr uint64_t kHighBits = 0x8080808080808080;
// Of texts that are looked at together: what the nearest cache holds.
constexpr uint64_t kRowBytes = 16 << 10;

// Not 0 if `byte` cannot stand after the three before it, the nearest one first.
uint8_t misplaced(uint8_t byte, uint8_t first, uint8_t second, uint8_t third) noexcept {
    const auto continues = static_cast<uint8_t>((byte & 0xC0) == 0x80);
    const auto is_awaited = static_cast<uint8_t>((first >= 0xC0) | (second >= 0xE0) | (third >= 0xF0));
    const auto never = static_cast<uint8_t>((byte >= 0xF5) | ((byte & 0xFE) == 0xC0));
    // Longer than needed, a surrogate, or past the last character.
    const auto not_here =
        static_cast<uint8_t>(((first == 0xE0) & (byte < 0xA0)) | ((first == 0xED) & (byte >= 0xA0)) |
                             ((first == 0xF0) & (byte < 0x90)) | ((first == 0xF4) & (byte >= 0x90)));
    return static_cast<uint8_t>((continues ^ is_awaited) | never | not_here);
}

// The checks below have no branches, for compilers to look at many bytes at once: a file has millions.

// Whether they are UTF-8 of at most two bytes for each character: all of a vocabulary that writes any byte as
// a letter of its own, as most large ones do. Costs a third of is_utf8().
bool is_short_utf8(const uint8_t* bytes, size_t n) noexcept {
    uint8_t bad = 0;
    uint8_t largest = 0;
    const auto look_at = [&](uint8_t byte, uint8_t before) {
        const auto continues = static_cast<uint8_t>((byte & 0xC0) == 0x80);
        const auto is_awaited = static_cast<uint8_t>(before >= 0xC0);
        const auto never = static_cast<uint8_t>((byte & 0xFE) == 0xC0);
        bad |= static_cast<uint8_t>((continues ^ is_awaited) | never);
        largest = std::max(largest, byte);
    };
    if (n > 0) {
        look_at(bytes[0], 0);
        look_at(0, bytes[n - 1]);
    }
    for (size_t i = 1; i < n; i++) {
        look_at(bytes[i], bytes[i - 1]);
    }
    return bad == 0 && largest < 0xE0;
}

bool is_utf8(const char* text, size_t n) noexcept {
    const auto* bytes = reinterpret_cast<const uint8_t*>(text);
    if (is_short_utf8(bytes, n)) {
        return true;
    }
    const auto before = [&](size_t i, size_t distance) {
        return i < distance ? uint8_t{0} : bytes[i - distance];
    };
    uint8_t bad = 0;
    for (size_t i = 0; i < std::min<size_t>(n, 3); i++) {
        bad |= misplaced(bytes[i], before(i, 1), before(i, 2), before(i, 3));
    }
    for (size_t i = 3; i < n; i++) {
        bad |= misplaced(bytes[i], bytes[i - 1], bytes[i - 2], bytes[i - 3]);
    }
    return (bad | misplaced(0, before(n, 1), before(n, 2), before(n, 3))) == 0;
}

} // namespace

std::string GgufPlace::text() const {
    if (!name.empty()) {
        return kind + (" " + shown_name(name));
    }
    return number ? kind + (" " + std::to_string(*number)) : kind;
}

Error gguf_error(const std::string& name, const std::string& place, const std::string& problem) {
    return load_error(name, (place.empty() ? "" : place + " ") + problem).with("where", place);
}

GgufReader::GgufReader(ByteSource& source)
    : source_(source), bytes_(std::make_unique<HeaderBytes>(
                           static_cast<size_t>(std::min(source.size(), kGgufMaxHeaderBytes)))) {}

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
    const std::string_view text(here(), n);
    if (!is_utf8(text.data(), n)) {
        fail("has " + std::string(what) + " that is not UTF-8");
    }
    at_ += n;
    return text;
}

uint64_t GgufReader::skip_texts(uint64_t n, Bytes bytes) {
    uint64_t n_longest = 0;
    if (bytes == Bytes::dropped) {
        drop_begin_ = at_;
    }
    while (n > 0) {
        n -= skip_row_of_texts(n, n_longest);
        if (n > 0) {
            n_longest = std::max<uint64_t>(n_longest, take_text("a text", kGgufMaxHeaderBytes).size());
            n--;
        }
    }
    drop_begin_.reset();
    return n_longest;
}

uint64_t GgufReader::skip_row_of_texts(uint64_t n, uint64_t& n_longest) {
    // No character goes on past a byte of ASCII, which each of a length's eight bytes is if the text is not
    // long: so a row of texts with their lengths is UTF-8 exactly if all of them are.
    uint64_t at = at_;
    uint64_t i = 0;
    for (; i < n && n_read_ - at >= sizeof(uint64_t) && at - at_ < kRowBytes; i++) {
        uint64_t size;
        std::memcpy(&size, here() + (at - at_), sizeof(size));
        if ((size & kHighBits) != 0 || size > n_read_ - at - sizeof(size)) {
            break;
        }
        at += sizeof(size) + size;
        n_longest = std::max(n_longest, size);
    }
    if (!is_utf8(here(), at - at_)) {
        fail("has a text that is not UTF-8");
    }
    at_ = at;
    return i;
}

void GgufReader::expect(uint64_t n, const char* what) const {
    if (n > remaining()) {
        const uint64_t end = n > UINT64_MAX - at_ ? UINT64_MAX : at_ + n;
        throw gguf_error(source_.name(), place_.text(),
                         "needs " + std::string(what) + " up to byte " + std::to_string(end) +
                             ", but there are " + std::to_string(source_.size()) +
                             " bytes; the file is damaged or incomplete, get it again")
            .with("n_needed", end);
    }
}

void GgufReader::expect_in_header(uint64_t n, const char* what) const {
    expect(n, what);
    if (at_ + n > kGgufMaxHeaderBytes) {
        fail("ends at byte " + std::to_string(at_ + n) + " with " + what + ", but a header has at most " +
             std::to_string(kGgufMaxHeaderBytes) + " bytes");
    }
}

void GgufReader::fetch(uint64_t n, const char* what) {
    expect_in_header(n, what);
    const uint64_t most = std::min(source_.size(), kGgufMaxHeaderBytes);
    const uint64_t end = std::min(most, std::max(at_ + n, n_read_ + kBlock));
    drop_texts();
    char* to = bytes_->data() + (n_read_ - n_dropped_);
    populate(to, end - n_read_);
    source_.read(n_read_, to, end - n_read_);
    n_read_ = end;
}

void GgufReader::drop(uint64_t n, const char* what) {
    expect_in_header(n, what);
    at_ += n;
    n_read_ = std::max(n_read_, at_); // a hole, for which no memory is taken
}

void GgufReader::drop_texts() {
    if (drop_begin_) {
        char* to = bytes_->data() + (*drop_begin_ - n_dropped_);
        std::memmove(to, here(), n_read_ - at_);
        n_dropped_ += at_ - *drop_begin_;
        drop_begin_ = at_;
    }
}

} // namespace inllama
