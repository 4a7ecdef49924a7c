#include "check.h"
#include "core/gguf.h"
#include "core/utf8_stream.h"
#include "gguf_bytes.h"
#include "watched_source.h"

#include <cstring>
#include <random>

using namespace inllama;
using namespace gguf_bytes;

namespace {

bool none(const Gguf&, std::string_view) {
    return false;
}

std::string message_of(const std::string& bytes, Gguf::Wanted wanted = nullptr) {
    MemorySource source(bytes, "x.gguf");
    try {
        const Gguf file(source, Gguf::Extent::file, wanted);
        return "";
    } catch (const Error& error) {
        return error.message();
    }
}

std::string with_entry(const std::string& bytes) {
    File file;
    file.entries = {bytes};
    return message_of(file.bytes());
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// Texts of several blocks, some longer than a block, with entries and tensors around them.
File large(std::mt19937& random) {
    std::vector<std::string> all;
    for (int i = 0; i < 30000; i++) {
        all.push_back(std::string(random() % 20, 'a') + (random() % 3 == 0 ? "\u00e9" : ""));
    }
    for (const size_t n : {127, 128, 255, 256, 70000, 131072, 300000}) {
        all.insert(all.begin() + random() % all.size(), std::string(n, 'b'));
    }
    File file;
    file.entries = {words("before", "x"), texts("texts", all),
                    numbers<uint32_t>("numbers", GgufType::u32, std::vector<uint32_t>(random() % 100000, 7)),
                    texts("more", {"y", ""}), words("behind", "z")};
    file.add("a", {32, 3}).add("b", {32});
    return file;
}

} // namespace

TEST("arrays that are not wanted are left out, and all else is the same") {
    std::mt19937 random(3);
    for (int round = 0; round < 20; round++) {
        const std::string bytes = large(random).bytes();
        MemorySource source(bytes);
        const Gguf kept(source);
        const Gguf dropped(source, Gguf::Extent::file, none);
        const Gguf one(source, Gguf::Extent::file, [](const Gguf& file, std::string_view key) {
            CHECK(!file.entries().empty());
            return key == "more";
        });
        CHECK_EQ(kept.entries().size(), 5u);
        for (size_t i = 0; i < 5; i++) {
            const GgufEntry& as_kept = kept.entries()[i];
            for (const Gguf* other : {&dropped, &one}) {
                const GgufEntry& entry = other->entries()[i];
                CHECK_EQ(entry.key, as_kept.key);
                CHECK_EQ(entry.n, as_kept.n);
                CHECK_EQ(entry.n_longest, as_kept.n_longest);
                const bool is_kept = !entry.is_array || (other == &one && entry.key == "more");
                CHECK(entry.bytes == (is_kept ? as_kept.bytes : std::string_view()));
            }
        }
        CHECK_EQ(kept.entries()[1].n_longest, 300000u);
        CHECK_EQ(dropped.data_begin(), kept.data_begin());
        CHECK_EQ(dropped.tensors().size(), 2u);
        CHECK_EQ(dropped.tensors()[1].name, "b");
        CHECK_EQ(dropped.find("behind")->text(), "z");
    }
}

TEST("what is left out is refused for the same reasons") {
    std::mt19937 random(5);
    size_t n_bad = 0;
    for (int round = 0; round < 150; round++) {
        const File file = large(random);
        const size_t n_header = file.header().size();
        std::string changed = file.bytes();
        if (round % 3 == 0) {
            changed.resize(random() % n_header);
        } else {
            changed[random() % n_header] = round % 3 == 1 ? '\xff' : static_cast<char>(random());
        }
        const std::string message = message_of(changed);
        CHECK_EQ(message_of(changed, none), message);
        n_bad += !message.empty();
    }
    CHECK(n_bad > 100);
}

TEST("no change of a header by chance does harm to what is left out") {
    File file;
    file.entries = {words("general.architecture", "llama"), texts("a", {"x", "", "\u00e9"}),
                    numbers<float>("b", GgufType::f32, {0.5f, -1.0f, 2.0f}), texts("c", {"y"})};
    file.add("token_embd.weight", {32, 3}).add("q", {64, 2}, 2);
    const size_t n_header = file.header().size();
    std::mt19937 random(1);
    size_t n_read = 0;
    for (int i = 0; i < 20000; i++) {
        std::string changed = file.bytes();
        for (auto n = random() % 3 + 1; n > 0; n--) {
            changed[random() % n_header] = static_cast<char>(random());
        }
        const std::string message = message_of(changed);
        // The values of an array of bools are not read.
        if (!has(message, "has a bool of")) {
            CHECK_EQ(message_of(changed, none), message);
        }
        n_read += message.empty();
    }
    CHECK(n_read > 100);
}

TEST("numbers that are not wanted are not read") {
    File file;
    file.entries = {numbers<uint32_t>("n", GgufType::u32, std::vector<uint32_t>(1 << 20, 7)),
                    words("behind", "z")};
    const std::string bytes = file.bytes();
    WatchedSource source(bytes, bytes.size());
    const Gguf read(source, Gguf::Extent::file, none);
    CHECK_EQ(read.find("behind")->text(), "z");
    CHECK_EQ(read.find("n")->n, uint64_t{1} << 20);
    CHECK(source.n_read <= (64 << 10) + 4);
}

TEST("what is left out counts for the size of a header") {
    File file;
    file.entries = {array("a", GgufType::u8, kGgufMaxHeaderBytes / 2, ""), words("behind", "z")};
    std::string bytes = file.bytes();
    bytes.insert(bytes.size() - words("behind", "z").size(), kGgufMaxHeaderBytes / 2, '\0');
    CHECK_EQ(message_of(bytes, none), "");
    file.entries = {array("a", GgufType::u8, kGgufMaxHeaderBytes - 16, ""), words("behind", "z")};
    bytes = file.bytes();
    bytes.resize(bytes.size() + kGgufMaxHeaderBytes);
    CHECK(has(message_of(bytes, none), "a header has at most 67108864 bytes"));
    CHECK_EQ(message_of(bytes, none), message_of(bytes));
}

TEST("texts are UTF-8 to the last byte") {
    for (const char* good :
         {"\xc2\x80", "\xdf\xbf", "\xe1\x80\x80", "\xec\xbf\xbf", "\xed\x9f\xbf", "\xef\xbf\xbd",
          "\xe0\xa0\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "abcdefgh\xc3\xa9ijklmnop"}) {
        CHECK_EQ(with_entry(words("k", good)), "");
    }
    for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xe1\x80",
                            "\xe1\x80\x41", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                            "\xf5\x80\x80\x80", "\xff", "abcdefgh\xc3", "abcdefghijkl\xa9"}) {
        CHECK(has(with_entry(words("k", bad)), "not UTF-8"));
    }
}

TEST("texts of all lengths are refused exactly if they are not UTF-8") {
    const std::vector<std::string> pieces = {"a",
                                             "z",
                                             "\x7f",
                                             "\xc2\x80",
                                             "\xc4\xa0",
                                             "\xdf\xbf",
                                             "\xe0\xa0\x80",
                                             "\xe1\x80\x80",
                                             "\xe2\x96\x81",
                                             "\xed\x9f\xbf",
                                             "\xef\xbf\xbf",
                                             "\xf0\x9f\x99\x82",
                                             "\xf4\x8f\xbf\xbf"};
    const std::vector<std::string> damages = {"\x80", "\xbf", "\xc0", "\xc1", "\xc3", "\xe0",
                                              "\xe2", "\xed", "\xf0", "\xf5", "\xff"};
    std::mt19937 random(11);
    size_t n_good = 0, n_bad = 0;
    for (int round = 0; round < 30000; round++) {
        std::string made;
        const size_t n_pieces = random() % 12;
        for (size_t i = 0; i < n_pieces; i++) {
            made += pieces[random() % pieces.size()];
        }
        if (random() % 2 == 0) {
            const std::string& damage = damages[random() % damages.size()];
            const size_t at = random() % (made.size() + 1);
            made.replace(at, random() % 2, damage);
        }
        const bool is_good = valid_utf8_prefix(made) == made.size();
        (is_good ? n_good : n_bad)++;
        // In the middle of a file, and as the last bytes that were read.
        CHECK_EQ(has(with_entry(texts("k", {made, "more of it"})), "not UTF-8"), !is_good);
        CHECK_EQ(has(with_entry(words("k", made)), "not UTF-8"), !is_good);
    }
    CHECK(n_good > 10000 && n_bad > 10000);
}
