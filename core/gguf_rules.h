// What llama.cpp needs a file to say, where it would otherwise abort, divide by zero or read outside of an
// array.
#pragma once

#include "core/gguf.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace inllama {

// Each throws ModelLoadError, whose `where` names the entry or tensor. Unknown entries are fine, and what
// llama.cpp itself refuses with an error is left to it. Any thread.

// The only file of a model, or its first one.
void check_gguf_model(const Gguf& file);
// File `number`, from 1, of a model in several.
void check_gguf_part(const Gguf& file, uint32_t number);
// A LoRA. What depends on the model is checked in core/llama/adapter.cpp.
void check_gguf_adapter(const Gguf& file);

// The texts of a model's tokens, no two of which may be the same; of any file. Not among what is checked of
// each model: llama.cpp fails safely there (core/llama/backend.h), and comparing all of them takes as long as
// the other checks together. REQUIRES: all of the file was kept.
void check_gguf_token_texts(const Gguf& file);

// For Gguf: whether one of the first three looks at the values of an array.
bool gguf_rules_want(const Gguf& file, std::string_view key);

// The number of files that a model says to have.
uint32_t gguf_files(const Gguf& first);

// What is wrong with a value in the place of an entry, such as "must be from 1 to 512"; empty: nothing. For
// values that the user gives instead of the file's.
std::string gguf_number_problem(std::string_view key, double number);
std::string gguf_text_problem(std::string_view key, std::string_view text);

// Parts of the above, in files of their own.

// Each entry against its row of a table.
void check_gguf_entries(const Gguf& file);
// Entries that must fit each other.
void check_gguf_relations(const Gguf& file);
// The vocabulary.
void check_gguf_vocabulary(const Gguf& file);
// Types of tensors.
void check_gguf_tensors(const Gguf& file);

// The number of a layer: of an array, or the one for all. None if there is no entry, or no such layer in it.
std::optional<double> gguf_layer_number(const GgufEntry* entry, uint64_t layer) noexcept;

// Reads the entries of a model's architecture.
class GgufArchitecture {
  public:
    explicit GgufArchitecture(const Gguf& file)
        : file_(file), name_(file.architecture()), in_list_(' ' + std::string(name_) + ' ') {}

    std::string_view name() const noexcept { return name_; }
    bool is(std::string_view name) const noexcept { return name_ == name; }
    // Whether the name is one of those in a list that has spaces between, before and after them.
    bool is_in(std::string_view names) const;

    // The full name of an entry: `suffix` begins with a dot.
    std::string key(std::string_view suffix) const { return std::string(name_) + std::string(suffix); }
    // nullptr if there is none, or no architecture.
    const GgufEntry* find(std::string_view suffix) const {
        return name_.empty() ? nullptr : file_.find(key(suffix));
    }
    // The number, if there is one and no array.
    std::optional<double> one(std::string_view suffix) const;
    uint32_t n_layers() const;

    [[noreturn]] void fail(std::string_view suffix, const std::string& problem) const {
        file_.fail("entry " + key(suffix), problem);
    }

  private:
    const Gguf& file_;
    std::string_view name_;
    std::string in_list_; // with spaces around it
};

// Heads, their widths, and what is rotated of them. REQUIRES: the file says how many layers there are.
void check_gguf_heads(const GgufArchitecture& architecture);

} // namespace inllama
