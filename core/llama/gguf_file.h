// The files of models and adapters, before llama.cpp opens them.
#pragma once

#include "core/gguf.h"
#include "core/load_error.h"
#include "core/platform/regular_file.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

struct llama_model;

namespace inllama {

// Tells files apart by their size and up to 4 MiB of them, of which three quarters lie evenly over the file.
// Of a model in several files, by all of them.
std::string file_fingerprint(const std::string& path);

// Files that were read strictly, as they were then.
class CheckedFiles {
  public:
    // Throws ModelLoadError (path, reason, where) unless every file of the model is sound: gguf.h,
    // gguf_rules.h.
    static CheckedFiles of_model(const std::string& path);
    // The same of a LoRA, and that it fits the weights of `model` where llama.cpp does not look.
    static CheckedFiles of_adapter(const std::string& path, const llama_model& model);

    // Throws ModelLoadError if one of them is another file now, or has another size or time: what llama.cpp
    // has read may not be what was checked.
    void check_unchanged() const;

  private:
    std::unique_ptr<Gguf> add(const std::string& path);

    std::vector<std::pair<std::string, FileIdentity>> files_;
};

// Throws as CheckedFiles::of_model() does.
void check_gguf_file(const std::string& path);

// Throws ModelLoadError if two tokens of a model have the same text, for one that llama.cpp could not load:
// it finds them as it makes its own table, and does not say which.
void check_gguf_tokens(const std::string& path);

// A type of tensors as ggml has it; for a test of tensor_type.h.
struct NativeTensorType {
    uint32_t id;
    std::string name;
    int64_t block;
    size_t block_bytes;
};
std::vector<NativeTensorType> native_tensor_types();

} // namespace inllama
