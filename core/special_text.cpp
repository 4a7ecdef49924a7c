#include "core/special_text.h"

#include <algorithm>
#include <functional>

namespace inllama {

namespace {

bool continues_character(char c) {
    return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

bool is_ascii_space(unsigned char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

bool is_marker(char c) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
    const bool is_digit = byte >= '0' && byte <= '9';
    return !is_letter && !is_digit && byte != '_' && !is_ascii_space(byte);
}

size_t pair_of(std::string_view text, size_t at) {
    return static_cast<size_t>(static_cast<unsigned char>(text[at])) << 8 |
           static_cast<unsigned char>(text[at + 1]);
}

bool starts_with(std::string_view text, std::string_view prefix) {
    return text.size() >= prefix.size() && text.compare(0, prefix.size(), prefix) == 0;
}

// Whether one of `sorted` begins with `prefix` and goes on.
bool has_longer(const std::vector<std::string>& sorted, std::string_view prefix) {
    const auto next = std::upper_bound(sorted.begin(), sorted.end(), prefix);
    return next != sorted.end() && starts_with(*next, prefix);
}

} // namespace

SpecialText::SpecialText(std::vector<std::string> spellings) : sorted_(std::move(spellings)) {
    sorted_.erase(std::remove(sorted_.begin(), sorted_.end(), std::string()), sorted_.end());
    std::sort(sorted_.begin(), sorted_.end());
    sorted_.erase(std::unique(sorted_.begin(), sorted_.end()), sorted_.end());
    for (const std::string& spelling : sorted_) {
        set_.insert(spelling);
        reversed_.emplace_back(spelling.rbegin(), spelling.rend());
        lengths_[static_cast<unsigned char>(spelling.front())].push_back(
            static_cast<uint32_t>(spelling.size()));
        last_.set(static_cast<unsigned char>(spelling.back()));
        longest_ = std::max(longest_, spelling.size());
        if (spelling.size() > 1) {
            pairs_.set(pair_of(spelling, 0));
        }
    }
    std::sort(reversed_.begin(), reversed_.end());
    for (std::vector<uint32_t>& lengths : lengths_) {
        std::sort(lengths.begin(), lengths.end(), std::greater<>());
        lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
    }
}

std::optional<SpecialText::Match> SpecialText::find(std::string_view text, size_t from) const {
    for (size_t at = from; at < text.size(); at++) {
        const std::vector<uint32_t>& lengths = lengths_[static_cast<unsigned char>(text[at])];
        if (lengths.empty()) {
            continue;
        }
        const bool is_pair = at + 1 < text.size() && pairs_[pair_of(text, at)];
        for (const uint32_t length : lengths) {
            if (length <= text.size() - at && (is_pair || length == 1) && has(text.substr(at, length))) {
                return Match{at, at + length};
            }
        }
    }
    return std::nullopt;
}

bool SpecialText::overlaps(std::string_view text, size_t begin, size_t end) const {
    const size_t first = begin >= longest_ ? begin - longest_ + 1 : 0;
    for (size_t at = first; at < end; at++) {
        for (const uint32_t length : lengths_[static_cast<unsigned char>(text[at])]) {
            if (length <= text.size() - at && at + length > begin && has(text.substr(at, length))) {
                return true;
            }
        }
    }
    return false;
}

bool SpecialText::crosses(std::string_view text, size_t at) const {
    for (size_t begin = at > longest_ ? at - longest_ : 0; begin < at; begin++) {
        for (const uint32_t length : lengths_[static_cast<unsigned char>(text[begin])]) {
            if (length <= text.size() - begin && begin + length > at && has(text.substr(begin, length))) {
                return true;
            }
        }
    }
    return false;
}

size_t SpecialText::n_could_begin(std::string_view text) const {
    const size_t most = std::min(longest_, text.size() + 1);
    for (size_t n = most > 0 ? most - 1 : 0; n > 0; n--) {
        const std::string_view end = text.substr(text.size() - n);
        if (!lengths_[static_cast<unsigned char>(end[0])].empty() &&
            std::any_of(end.begin(), end.end(), is_marker) && has_longer(sorted_, end)) {
            return n;
        }
    }
    return 0;
}

size_t SpecialText::n_could_end(std::string_view text) const {
    const size_t most = std::min(longest_, text.size() + 1);
    for (size_t n = most > 0 ? most - 1 : 0; n > 0; n--) {
        if (!last_[static_cast<unsigned char>(text[n - 1])]) {
            continue;
        }
        const std::string_view beginning = text.substr(0, n);
        if (!std::any_of(beginning.begin(), beginning.end(), is_marker) || continues_character(text[0])) {
            continue;
        }
        const std::string backwards(beginning.rbegin(), beginning.rend());
        if (has_longer(reversed_, backwards)) {
            return n;
        }
    }
    return 0;
}

bool is_white_space(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
        if (is_ascii_space(static_cast<unsigned char>(text[at]))) {
            at++;
        } else if (text.substr(at, 3) == "\xE2\x96\x81" || text.substr(at, 3) == "\xE3\x80\x80") {
            at += 3; // U+2581, U+3000
        } else if (text.substr(at, 2) == "\xC2\xA0") {
            at += 2; // U+00A0
        } else {
            return false;
        }
    }
    return true;
}

} // namespace inllama
