#include "check.h"
#include "core/prefix_store.h"
#include "engine_fixture.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>

using namespace inllama;
namespace fs = std::filesystem;

namespace {

SavedPrefix prefix_of(std::vector<Token> tokens, size_t n_state, const std::string& name_space = "a") {
    SavedPrefix made;
    made.identity = "model=1";
    made.name_space = name_space;
    made.tokens = std::move(tokens);
    made.state.assign(n_state, static_cast<uint8_t>(made.tokens.size()));
    return made;
}

// A folder of its own, removed with it.
struct Folder {
    Folder() {
        static std::atomic<int> n{0};
        path = fs::temp_directory_path() /
               ("inllama-store-" + std::to_string(std::random_device()()) + "-" + std::to_string(n++));
    }
    ~Folder() { fs::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    size_t n_files() const {
        return fs::exists(path) ? static_cast<size_t>(std::distance(fs::directory_iterator(path), {})) : 0;
    }

    fs::path path;
};

PrefixStoreParams in_memory(uint64_t n_bytes) {
    PrefixStoreParams params;
    params.max_memory_bytes = n_bytes;
    params.least_tokens = 4;
    return params;
}

PrefixStoreParams in_folder(const Folder& folder, uint64_t n_bytes = 1 << 20) {
    PrefixStoreParams params;
    params.folder = folder.path.string();
    params.max_file_bytes = n_bytes;
    params.least_tokens = 4;
    return params;
}

std::string text_of(const std::vector<uint8_t>& bytes) {
    return {bytes.begin(), bytes.end()};
}

} // namespace

TEST("a saved prefix is read as it was written") {
    for (const size_t n : {size_t{0}, size_t{1}, size_t{300}}) {
        const SavedPrefix prefix = prefix_of(tokens_of(static_cast<int>(n), 3), 10 * n, "key=1;\nsalt");
        const std::string bytes = text_of(encode_prefix(prefix));
        const SavedPrefix read = decode_prefix(bytes);
        CHECK(read.identity == prefix.identity && read.name_space == prefix.name_space);
        CHECK(read.tokens == prefix.tokens && read.state == prefix.state);
        CHECK(prefix_head_bytes(bytes) == bytes.size() - prefix.state.size());
    }
}

TEST("a saved prefix with any changed, lost or added byte is refused") {
    const std::string bytes = text_of(encode_prefix(prefix_of(tokens_of(20, 3), 50)));
    const auto is_refused = [](const std::string& damaged) {
        try {
            decode_prefix(damaged);
        } catch (const Error& error) {
            return error.kind() == ErrorKind::StateError;
        }
        return false;
    };
    for (size_t i = 0; i < bytes.size(); i++) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
        CHECK(is_refused(damaged));
        CHECK(is_refused(bytes.substr(0, i)));
    }
    CHECK(is_refused(bytes + "x"));
    SavedPrefix negative = prefix_of({5, -1, 3, 4}, 4);
    CHECK(is_refused(text_of(encode_prefix(negative))));
}

TEST("the prefix with most in common is found") {
    PrefixStore store(in_memory(10000), "model=1");
    const std::vector<Token> all = tokens_of(40, 1);
    const std::vector<Token> some(all.begin(), all.begin() + 10);
    store.put(prefix_of(joined(some, tokens_of(20, 2)), 10));
    store.put(prefix_of(joined(some, tokens_of(20, 3)), 10));
    CHECK_EQ(store.find("a", all, {40, 0, 1000, false}).n_common, 10);
    CHECK(store.find("a", all, {40, 10, 1000, false}).prefix == nullptr);
    CHECK(store.find("b", all, {40, 0, 1000, false}).prefix == nullptr);
    CHECK(store.find("a", all, {40, 0, 1000, true}).prefix == nullptr);
    store.put(prefix_of(all, 10));
    CHECK_EQ(store.find("a", all, {40, 0, 1000, true}).n_common, 40);
    CHECK_EQ(store.find("a", all, {25, 0, 1000, false}).n_common, 25);
    CHECK(store.find("a", all, {25, 0, 1000, true}).prefix == nullptr);
    CHECK(store.covers("a", some));
    CHECK(!store.covers("b", some));
    CHECK(!store.wants(3) && store.wants(4));
}

TEST("a longer prefix takes the place of its beginnings, unless they have states of their own") {
    for (const bool can_trim : {true, false}) {
        PrefixStoreParams params = in_memory(10000);
        params.can_trim = can_trim;
        PrefixStore store(params, "model=1");
        const std::vector<Token> all = tokens_of(40, 1);
        store.put(prefix_of({all.begin(), all.begin() + 10}, 10));
        store.put(prefix_of(all, 10));
        CHECK_EQ(store.n_entries(), size_t{can_trim ? 1u : 2u});
        store.put(prefix_of(all, 10));
        CHECK_EQ(store.n_entries(), size_t{can_trim ? 1u : 2u});
    }
}

TEST("what was used least recently goes first, and what is too large is not kept") {
    PrefixStore store(in_memory(3 * 141), "model=1"); // three of 100 bytes, 10 tokens and a name
    for (uint32_t seed = 0; seed < 3; seed++) {
        store.put(prefix_of(tokens_of(10, seed), 100));
    }
    CHECK_EQ(store.n_memory_bytes(), uint64_t{3 * 141});
    CHECK(store.find("a", tokens_of(10, 0), {10, 0, 1000, false}).prefix != nullptr);
    store.put(prefix_of(tokens_of(10, 3), 100));
    CHECK(store.find("a", tokens_of(10, 1), {10, 5, 1000, false}).prefix == nullptr);
    CHECK(store.find("a", tokens_of(10, 0), {10, 5, 1000, false}).prefix != nullptr);
    store.put(prefix_of(tokens_of(10, 4), 1000));
    CHECK(store.find("a", tokens_of(10, 4), {10, 5, 1000, false}).prefix == nullptr);
    CHECK_EQ(store.n_memory_bytes(), uint64_t{3 * 141});
}

TEST("files are found by the next store of the same decoder only") {
    const Folder folder;
    {
        PrefixStore store(in_folder(folder), "model=1");
        store.put(prefix_of(tokens_of(10, 1), 100));
        store.put(prefix_of(tokens_of(12, 2), 100));
        CHECK(store.find("a", tokens_of(10, 1), {10, 0, 1000, false}).prefix != nullptr); // written or not
    }
    CHECK_EQ(folder.n_files(), size_t{2});
    PrefixStore again(in_folder(folder), "model=1");
    CHECK_EQ(again.n_entries(), size_t{2});
    const auto found = again.find("a", tokens_of(12, 2), {12, 0, 1000, false});
    CHECK(found.prefix != nullptr && found.prefix->state.size() == 100);
    CHECK_EQ(PrefixStore(in_folder(folder), "model=2").n_entries(), size_t{0});
    CHECK_EQ(folder.n_files(), size_t{2});
}

TEST("damaged and foreign files are passed over") {
    const Folder folder;
    {
        PrefixStore store(in_folder(folder), "model=1");
        store.put(prefix_of(tokens_of(10, 1), 100));
        store.put(prefix_of(tokens_of(10, 2), 100));
    }
    std::ofstream(folder.path / "other.prefix") << "something else";
    std::ofstream(folder.path / "notes.txt") << "something else";
    PrefixStore store(in_folder(folder), "model=1");
    CHECK_EQ(store.n_entries(), size_t{2});
    for (const auto& file : fs::directory_iterator(folder.path)) {
        if (file.file_size() > 100) {
            std::fstream(file.path(), std::ios::in | std::ios::out | std::ios::binary)
                .seekp(static_cast<std::streamoff>(file.file_size()) - 5)
                .put('x');
        }
    }
    CHECK(store.find("a", tokens_of(10, 1), {10, 0, 1000, false}).prefix == nullptr);
    CHECK_EQ(store.n_entries(), size_t{1});
}

TEST("files of an older format are removed, those of a newer one are left") {
    const Folder folder;
    {
        PrefixStore store(in_folder(folder), "model=1");
        for (uint32_t seed = 0; seed < 3; seed++) {
            store.put(prefix_of(tokens_of(10, seed), 100));
        }
    }
    char version = 1;
    for (const auto& file : fs::directory_iterator(folder.path)) {
        std::fstream(file.path(), std::ios::in | std::ios::out | std::ios::binary).seekp(8).put(version);
        version += 1; // the second one is of today
    }
    const PrefixStore store(in_folder(folder), "model=1");
    CHECK_EQ(store.n_entries(), size_t{1});
    CHECK_EQ(folder.n_files(), size_t{2});
}

TEST("files are bounded, also those of earlier stores") {
    const Folder folder;
    {
        PrefixStore store(in_folder(folder, 1000), "model=1");
        for (uint32_t seed = 0; seed < 20; seed++) {
            store.put(prefix_of(tokens_of(10, seed), 100));
        }
        CHECK(store.n_file_bytes() <= 1000);
    }
    CHECK(folder.n_files() <= 7);
    CHECK(folder.n_files() >= 5);
    {
        const PrefixStore smaller(in_folder(folder, 400), "model=1");
    }
    CHECK(folder.n_files() <= 2);
}

TEST("a folder that cannot be made is an error") {
    const Folder folder;
    std::ofstream(folder.path) << "a file";
    PrefixStoreParams params = in_folder(folder);
    params.folder += "/below";
    bool is_refused = false;
    try {
        const PrefixStore store(params, "model=1");
    } catch (const Error& error) {
        is_refused = error.kind() == ErrorKind::StateError;
    }
    CHECK(is_refused);
}
