#include "check.h"
#include "core/gguf.h"
#include "gguf_bytes.h"
#include "watched_source.h"

#include <random>
#include <variant>

using namespace inllama;
using namespace gguf_bytes;

namespace {

constexpr ErrorKind kLoad = ErrorKind::ModelLoadError;

File small() {
    File file;
    file.entries = {words("general.architecture", "llama"), u32("llama.block_count", 3),
                    texts("tokenizer.ggml.tokens", {"a", "", "\u00e9"}),
                    numbers<float>("tokenizer.ggml.scores", GgufType::f32, {0.5f, -1.0f, 2.0f}),
                    entry("flag", GgufType::flag, raw<uint8_t>(1))};
    file.add("token_embd.weight", {32, 3}).add("output_norm.weight", {32}).add("q", {64, 2}, 2);
    return file;
}

std::string message_of(const std::string& bytes, Gguf::Extent extent = Gguf::Extent::file) {
    MemorySource source(bytes, "x.gguf");
    try {
        const Gguf file(source, extent);
        return "";
    } catch (const Error& error) {
        CHECK(error.kind() == kLoad);
        CHECK(error.field("path") != nullptr && error.field("reason") != nullptr &&
              error.field("where") != nullptr);
        return error.message();
    }
}

std::string with_entry(const std::string& bytes) {
    File file;
    file.entries = {bytes};
    return message_of(file.bytes());
}

std::string with_tensor(Tensor tensor, uint64_t n_data = 1024) {
    File file;
    file.tensors = {std::move(tensor)};
    file.data_bytes = n_data;
    return message_of(file.bytes());
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

} // namespace

TEST("a GGUF header is read as it was written") {
    const std::string bytes = small().bytes();
    MemorySource source(bytes);
    const Gguf file(source);
    CHECK_EQ(file.version(), 3u);
    CHECK_EQ(file.alignment(), 32u);
    CHECK_EQ(file.data_begin() % 32, 0u);
    CHECK_EQ(file.data_begin() + file.data_bytes(), bytes.size() - 24);
    CHECK_EQ(file.architecture(), "llama");
    CHECK_EQ(file.entries().size(), 5u);
    CHECK_EQ(file.find("llama.block_count")->number(), 3.0);
    CHECK(file.find("llama.block_coun") == nullptr);
    CHECK(file.find("") == nullptr);
    const GgufEntry* tokens = file.find("tokenizer.ggml.tokens");
    CHECK(tokens->is_array && tokens->n == 3);
    GgufTexts all = tokens->texts();
    CHECK_EQ(all.next(), "a");
    CHECK_EQ(all.next(), "");
    CHECK_EQ(all.next(), "\u00e9");
    CHECK_EQ(file.find("tokenizer.ggml.scores")->number(1), -1.0);
    CHECK_EQ(file.find("flag")->number(), 1.0);
    const GgufTensor* q = file.find_tensor("q");
    CHECK_EQ(q->n_bytes, 4u * 18);
    CHECK_EQ(q->n_elements, 128u);
    CHECK_EQ(q->dimensions[0], 64);
    CHECK_EQ(q->dimensions[2], 1);
    CHECK_EQ(std::string(q->type->name), "q4_0");
}

TEST("every type of value is read") {
    File file;
    file.entries = {entry("u8", GgufType::u8, raw<uint8_t>(200)),
                    entry("i8", GgufType::i8, raw<int8_t>(-2)),
                    entry("u16", GgufType::u16, raw<uint16_t>(60000)),
                    entry("i16", GgufType::i16, raw<int16_t>(-3)),
                    entry("u32", GgufType::u32, raw<uint32_t>(4000000000)),
                    entry("i32", GgufType::i32, raw<int32_t>(-4)),
                    entry("u64", GgufType::u64, raw<uint64_t>(1)),
                    entry("i64", GgufType::i64, raw<int64_t>(-5)),
                    entry("f32", GgufType::f32, raw<float>(0.5f)),
                    entry("f64", GgufType::f64, raw<double>(0.25))};
    const std::string bytes = file.bytes();
    MemorySource source(bytes);
    const Gguf read(source);
    const double expected[] = {200, -2, 60000, -3, 4e9, -4, 1, -5, 0.5, 0.25};
    for (size_t i = 0; i < 10; i++) {
        CHECK_EQ(read.entries()[i].number(), expected[i]);
        CHECK_EQ(std::string(gguf_type_name(read.entries()[i].type)), std::string(read.entries()[i].key));
    }
}

TEST("versions 2 and 3 are read, and others are not") {
    File file = small();
    file.version = 2;
    CHECK_EQ(message_of(file.bytes()), "");
    const std::pair<uint32_t, const char*> bad[] = {{1, "no longer read"},
                                                    {0x03000000, "byte order"},
                                                    {0, "byte order"},
                                                    {4, "2 and 3 are known"},
                                                    {999, "2 and 3"}};
    for (const auto& [version, text] : bad) {
        file.version = version;
        CHECK(has(message_of(file.bytes()), text));
    }
}

TEST("a file that is no GGUF is refused") {
    CHECK_EQ(message_of(""), "could not load x.gguf: it is empty");
    CHECK(has(message_of("GGUX____________________"), "does not start with 'GGUF'"));
    CHECK(has(message_of("G"), "the beginning needs"));
    CHECK(has(message_of("X"), "does not start with 'GGUF'"));
}

TEST("a header that ends anywhere before its end is refused and says what is needed") {
    const std::string bytes = small().header();
    for (size_t n = 0; n < bytes.size(); n++) {
        MemorySource source(std::string_view(bytes).substr(0, n), "x.gguf");
        CHECK_THROWS(Gguf(source, Gguf::Extent::header), Error,
                     thrown.kind() == kLoad &&
                         (n == 0 || std::get<int64_t>(*thrown.field("n_needed")) > int64_t(n)),
                     "ModelLoadError");
    }
    CHECK_EQ(message_of(bytes, Gguf::Extent::header), "");
}

TEST("data that is cut is refused, unless only the header is meant") {
    const std::string bytes = small().bytes();
    const size_t end = bytes.size() - 24; // without what is behind the last tensor
    CHECK_EQ(message_of(bytes.substr(0, end)), "");
    const std::string cut = bytes.substr(0, end - 1);
    CHECK(has(message_of(cut), "tensor q ends at byte"));
    CHECK_EQ(message_of(cut, Gguf::Extent::header), "");
}

TEST("counts above what can be there are refused before anything is made for them") {
    for (const uint64_t n :
         {uint64_t{1} << 63, UINT64_MAX, uint64_t{1} << 31, uint64_t{1} << 20, uint64_t{200}}) {
        CHECK(
            has(message_of("GGUF" + raw(3u) + raw(n) + raw<uint64_t>(0) + std::string(64, '\0')), "tensors"));
        CHECK(
            has(message_of("GGUF" + raw(3u) + raw<uint64_t>(0) + raw(n) + std::string(64, '\0')), "entries"));
    }
}

TEST("lengths of names, texts and arrays are bounded") {
    for (const uint64_t n :
         {uint64_t{1} << 63, UINT64_MAX, uint64_t{1} << 32, uint64_t{1} << 28, uint64_t{1} << 25}) {
        const std::string name = raw(n) + std::string(64, 'a');
        CHECK(message_of("GGUF" + raw(3u) + raw<uint64_t>(0) + raw<uint64_t>(1) + name) != "");
        CHECK(message_of("GGUF" + raw(3u) + raw<uint64_t>(1) + raw<uint64_t>(0) + name) != "");
        CHECK(with_entry(entry("k", GgufType::text, name)) != "");
        for (uint32_t type = 0; type < kGgufTypes; type++) {
            const auto kind = static_cast<GgufType>(type);
            CHECK(has(with_entry(array("k", kind, n, std::string(64, '\0'))), "entry k"));
        }
    }
    CHECK_EQ(with_entry(array("k", GgufType::u8, 0, "")), "");
    CHECK_EQ(with_entry(array("k", GgufType::text, 0, "")), "");
}

TEST("a long array that is not there takes no memory") {
    // The source says that it has a terabyte, and has nothing: only a block may be read.
    File file;
    file.entries = {array("k", GgufType::u8, uint64_t{1} << 25, "")};
    WatchedSource source(file.bytes(), uint64_t{1} << 40);
    CHECK_THROWS(Gguf{source}, Error, thrown.kind() == kLoad, "ModelLoadError");
    CHECK(source.n_read <= (uint64_t{1} << 25) + (1 << 20));
}

TEST("a header that is too long is refused before it is read") {
    File file;
    file.entries = {array("k", GgufType::u8, kGgufMaxHeaderBytes, "")};
    std::string bytes = file.bytes();
    bytes.resize(1 << 20);
    WatchedSource source(bytes, uint64_t{1} << 40);
    CHECK_THROWS(Gguf{source}, Error,
                 has(std::get<std::string>(*thrown.field("reason")), "a header has at most 67108864 bytes"),
                 "ModelLoadError");
    CHECK(source.n_read <= (32 << 10) + 4);
}

TEST("a small header of a large file is read with little of the file") {
    std::string bytes = small().bytes();
    bytes.resize(32 << 20);
    WatchedSource source(bytes, bytes.size());
    CHECK_EQ(Gguf(source).tensors().size(), 3u);
    CHECK(source.n_read <= (32 << 10) + 4);
}

TEST("entries are refused with their place") {
    CHECK_EQ(with_entry(u32("", 1)), "could not load x.gguf: entry 0 has an empty name");
    CHECK(has(with_entry(u32(std::string(65536, 'k'), 1)), "at most 65535"));
    CHECK(has(with_entry(u32(std::string("a\0b", 3), 1)), "entry a\\x00b has a NUL byte"));
    CHECK(has(with_entry(u32("\xff", 1)), "not UTF-8"));
    CHECK(has(with_entry(words("k", "\xc3")), "entry k has a text that is not UTF-8"));
    CHECK(has(with_entry(texts("k", {"fine", "\xed\xa0\x80"})), "not UTF-8"));
    CHECK(has(with_entry(entry("k", static_cast<GgufType>(13), "12345678")), "entry k is of type 13"));
    CHECK(has(with_entry(array("k", static_cast<GgufType>(99), 1, "12345678")), "is of type 99"));
    CHECK(has(with_entry(array("k", GgufType::array, 1, raw(0u) + raw<uint64_t>(0))), "array of arrays"));
    CHECK(has(with_entry(entry("k", GgufType::flag, raw<uint8_t>(2))), "entry k has a bool of 2"));
    CHECK(has(with_entry(array("k", GgufType::flag, 3, std::string("\0\1\377", 3))), "bool of 255"));
    File file;
    file.entries = {u32("a", 1), u32("b", 1), u32("a", 2)};
    CHECK_EQ(message_of(file.bytes()), "could not load x.gguf: entry a is there twice");
}

TEST("tensors are refused with their place") {
    const std::string long_name(63, 'n');
    CHECK_EQ(with_tensor({long_name, {1}, 0, 0}), "");
    CHECK_EQ(with_tensor({"scalar", {}, 0, 0}), "");
    CHECK(has(with_tensor({long_name + "n", {1}, 0, 0}), "at most 63"));
    CHECK(has(with_tensor({"", {1}, 0, 0}), "tensor 0 has an empty name"));
    CHECK(has(with_tensor({std::string("a\0b", 3), {1}, 0, 0}), "NUL"));
    CHECK(has(with_tensor({"t", {1, 1, 1, 1, 1}, 0, 0}), "tensor t has 5 dimensions"));
    for (const int64_t bad : {int64_t{0}, int64_t{-1}, INT64_MIN}) {
        CHECK(has(with_tensor({"t", {2, bad}, 0, 0}), "dimension of " + std::to_string(bad)));
    }
    CHECK(has(with_tensor({"t", {INT64_MAX, 2}, 0, 0}), "passes 63 bits"));
    CHECK(has(with_tensor({"t", {int64_t{1} << 32, int64_t{1} << 31}, 0, 0}), "passes 63 bits"));
    CHECK(has(with_tensor({"t", {int64_t{1} << 61}, 0, 0}), "passes 63 bits"));
    CHECK(has(with_tensor({"t", {int64_t{1} << 60}, 0, 0}), "passes 62 bits"));
    CHECK(has(with_tensor({"t", {int64_t{1} << 40}, 0, 0}), "the file has"));
    CHECK(has(with_tensor({"t", {31}, 2, 0}), "blocks of 32"));
    CHECK(has(with_tensor({"t", {32}, 43, 0}), "type 43, which does not exist"));
    CHECK(has(with_tensor({"t", {32}, UINT32_MAX, 0}), "does not exist"));
    for (const uint32_t removed : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u}) {
        CHECK(has(with_tensor({"t", {256}, removed, 0}), "no longer reads"));
    }
    CHECK(has(with_tensor({"t", {8}, 0, 32}), "leaves a gap"));
    CHECK(has(with_tensor({"t", {8}, 0, 1}), "not aligned"));
    CHECK(has(with_tensor({"t", {8}, 0, UINT64_MAX}), "not aligned"));
    File file;
    file.add("a", {8}).add("b", {8}).tensors[1].offset = 0;
    CHECK(has(message_of(file.bytes()), "tensor b begins at offset 0, which overlaps"));
    file.tensors[1] = {"a", {8}, 0, 32};
    CHECK_EQ(message_of(file.bytes()), "could not load x.gguf: tensor a is there twice");
}

TEST("alignments are powers of two from 8 to 1 MiB") {
    for (const uint32_t good : {8u, 16u, 64u, 4096u, 1u << 20}) {
        File file;
        file.alignment = good;
        file.entries = {u32("general.alignment", good)};
        file.add("a", {3}).add("b", {3});
        CHECK_EQ(message_of(file.bytes()), "");
    }
    for (const uint32_t bad : {0u, 1u, 3u, 4u, 48u, 1u << 21, 1u << 31, UINT32_MAX}) {
        CHECK(has(with_entry(u32("general.alignment", bad)), "power of two"));
    }
    CHECK(has(with_entry(u16("general.alignment", 32)), "must be a u32"));
    CHECK(has(with_entry(numbers<uint32_t>("general.alignment", GgufType::u32, {32})), "must be a u32"));
}

TEST("a source that shrinks while it is read is an error of its own") {
    const std::string bytes = small().bytes();
    WatchedSource source(bytes, bytes.size() + (1 << 20));
    CHECK_THROWS(Gguf(source), Error, thrown.kind() == kLoad, "ModelLoadError");
}

TEST("no change of a header by chance does harm") {
    const std::string bytes = small().bytes();
    const size_t n_header = small().header().size();
    std::mt19937 random(1);
    size_t n_read = 0, n_seen = 0;
    for (int i = 0; i < 20000; i++) {
        std::string changed = bytes;
        for (auto n = random() % 3 + 1; n > 0; n--) {
            changed[random() % n_header] = static_cast<char>(random());
        }
        MemorySource source(changed);
        try {
            const Gguf file(source);
            n_read++;
            for (const GgufEntry& one : file.entries()) {
                GgufTexts all = one.texts();
                for (uint64_t j = 0; j < one.n; j++) {
                    n_seen += one.type == GgufType::text ? all.next().size() : one.number(j) > 0;
                }
            }
        } catch (const Error& error) {
            CHECK(error.kind() == kLoad);
        }
    }
    CHECK(n_read > 100 && n_seen > 100);
}

TEST("every integer of a header can have every value") {
    const std::string bytes = small().bytes();
    const size_t n_header = small().header().size();
    for (size_t at = 4; at + 8 <= n_header; at++) {
        for (const uint64_t value :
             {uint64_t{0}, uint64_t{1}, uint64_t{0x7FFFFFFF}, uint64_t{0x80000000}, uint64_t{0xFFFFFFFF},
              uint64_t{INT64_MAX}, uint64_t{1} << 63, UINT64_MAX, uint64_t{bytes.size() + 1}}) {
            std::string changed = bytes;
            std::memcpy(&changed[at], &value, sizeof(value));
            message_of(changed);
        }
    }
}
