#include "core/llama/gguf_file.h"

#include "core/checksum.h"
#include "core/gguf_rules.h"

#include <ggml.h>
// The tensors of a model are in no public function.
#include <llama-model.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace inllama {

namespace {

// The files of a model that has several, "model-00001-of-00003.gguf"; else the only one.
std::vector<std::string> files_of(const std::string& path) {
    constexpr size_t kEnd = sizeof("-00001-of-00003.gguf") - 1;
    int number = 0;
    int n_files = 0;
    const std::string end = path.size() > kEnd ? path.substr(path.size() - kEnd) : "";
    if (std::sscanf(end.c_str(), "-%5d-of-%5d.gguf", &number, &n_files) != 2 || number != 1) {
        return {path};
    }
    std::vector<std::string> files;
    for (int i = 1; i <= n_files; i++) {
        char name[kEnd + 1];
        std::snprintf(name, sizeof(name), "-%05d-of-%05d.gguf", i, n_files);
        files.push_back(path.substr(0, path.size() - kEnd) + name);
    }
    return files;
}

uint64_t add_file(const std::string& path, uint64_t hash) {
    constexpr uint64_t kSlice = 16 << 10;
    constexpr uint64_t kFirst = 64; // slices at the beginning, where the entries are
    constexpr uint64_t kSpread = 48;
    std::error_code failed;
    const uint64_t size = std::filesystem::file_size(path, failed);
    std::ifstream file(path, std::ios::binary);
    hash = checksum(&size, sizeof(size), hash);
    std::vector<char> slice(kSlice);
    const auto add = [&](uint64_t begin) {
        file.clear();
        file.seekg(static_cast<std::streamoff>(begin));
        file.read(slice.data(), static_cast<std::streamsize>(slice.size()));
        hash = checksum(slice.data(), static_cast<size_t>(file.gcount()), hash);
    };
    for (uint64_t i = 0; i < kFirst; i++) {
        add(i * kSlice);
    }
    for (uint64_t i = 0; i < kSpread; i++) {
        add(size > kSlice ? (size - kSlice) / kSpread * (i + 1) : 0);
    }
    return hash;
}

} // namespace

std::string file_fingerprint(const std::string& path) {
    uint64_t hash = 0;
    for (const std::string& file : files_of(path)) {
        hash = add_file(file, hash);
    }
    std::ostringstream text;
    text << std::hex << hash;
    return text.str();
}

std::unique_ptr<Gguf> CheckedFiles::add(const std::string& path) {
    RegularFile file(path);
    auto header = std::make_unique<Gguf>(file, Gguf::Extent::file, gguf_rules_want);
    files_.emplace_back(path, file.identity());
    return header;
}

CheckedFiles CheckedFiles::of_model(const std::string& path) {
    CheckedFiles files;
    const std::unique_ptr<Gguf> first = files.add(path);
    check_gguf_model(*first);
    const uint32_t n = gguf_files(*first);
    const std::vector<std::string> paths = files_of(path);
    // With another name, llama.cpp does not look for the others and says so.
    for (uint32_t i = 1; i < n && n == paths.size(); i++) {
        check_gguf_part(*files.add(paths[i]), i);
    }
    return files;
}

CheckedFiles CheckedFiles::of_adapter(const std::string& path, const llama_model& model) {
    CheckedFiles files;
    const std::unique_ptr<Gguf> file = files.add(path);
    check_gguf_adapter(*file);
    for (const GgufTensor& half : file->tensors()) {
        constexpr size_t kEnd = sizeof(".lora_a") - 1;
        const size_t n_name = half.name.size() > kEnd ? half.name.size() - kEnd : 0;
        const std::string_view end = half.name.substr(n_name);
        const ggml_tensor* weight = model.get_tensor(std::string(half.name.substr(0, n_name)).c_str());
        if (weight != nullptr && (end == ".lora_a" || end == ".lora_b") &&
            half.dimensions[2] != weight->ne[2]) {
            file->fail("tensor " + std::string(half.name), "has another number of experts than the weight");
        }
    }
    return files;
}

void CheckedFiles::check_unchanged() const {
    for (const auto& [path, identity] : files_) {
        inllama::check_unchanged(path, identity);
    }
}

void check_gguf_file(const std::string& path) {
    CheckedFiles::of_model(path);
}

void check_gguf_tokens(const std::string& path) {
    RegularFile file(path);
    check_gguf_token_texts(Gguf(file));
}

std::vector<NativeTensorType> native_tensor_types() {
    std::vector<NativeTensorType> types;
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const auto type = static_cast<ggml_type>(i);
        types.push_back({static_cast<uint32_t>(i),
                         ggml_type_name(type) == nullptr ? "" : ggml_type_name(type), ggml_blck_size(type),
                         ggml_type_size(type)});
    }
    return types;
}

} // namespace inllama
