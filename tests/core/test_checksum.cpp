#include "check.h"
#include "core/checksum.h"

#include <set>
#include <string>

using namespace inllama;

namespace {

// `n` bytes, no two of which beside each other are the same.
std::string bytes(size_t n) {
    std::string made;
    for (size_t i = 0; i < n; i++) {
        made += static_cast<char>(i * 37 % 251);
    }
    return made;
}

uint64_t of(const std::string& text) {
    return checksum(text.data(), text.size());
}

} // namespace

TEST("a checksum sees each changed, lost and added byte, wherever it is") {
    for (const size_t n : {0, 1, 7, 8, 9, 31, 32, 33, 40, 63, 64, 65, 100}) {
        const std::string sound = bytes(n);
        std::set<uint64_t> seen = {of(sound)};
        size_t n_others = 1;
        for (size_t i = 0; i < n; i++) {
            std::string changed = sound;
            changed[i] = static_cast<char>(changed[i] ^ 1);
            seen.insert(of(changed));
            seen.insert(of(std::string(sound).erase(i, 1)));
            n_others += 2;
        }
        for (size_t i = 0; i <= n; i++) {
            seen.insert(of(std::string(sound).insert(i, 1, '\xFF')));
            n_others++;
        }
        CHECK_EQ(seen.size(), n_others);
    }
}

TEST("a checksum sees words that changed their places") {
    const std::string sound = bytes(96);
    std::set<uint64_t> seen = {of(sound)};
    size_t n_others = 1;
    for (size_t i = 0; i < sound.size(); i += 8) {
        for (size_t j = i + 8; j < sound.size(); j += 8) {
            std::string changed = sound;
            changed.replace(i, 8, sound, j, 8);
            changed.replace(j, 8, sound, i, 8);
            seen.insert(of(changed));
            n_others++;
        }
    }
    CHECK_EQ(seen.size(), n_others);
}

TEST("a checksum goes on from another one") {
    const std::string sound = bytes(70);
    CHECK(checksum(sound.data(), 70, 1) != checksum(sound.data(), 70, 2));
    CHECK(checksum(sound.data(), 3, 1) != checksum(sound.data(), 3, 2));
    CHECK_EQ(checksum(sound.data(), 0, 5), uint64_t{5});
}
