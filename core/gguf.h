// Reads the header of a GGUF file, and refuses everything in it that is not as it must be.
//
// llama.cpp believes much of what a file says. So every file is read here first; gguf_rules.h has what the
// entries must say. Source: ggml's docs/gguf.md, and its gguf.cpp at the pinned commit.
#pragma once

#include "core/byte_source.h"
#include "core/header_bytes.h"
#include "core/tensor_type.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace inllama {

// Limits of ours, above what any model has; those of ggml are named as such.
constexpr uint64_t kGgufMaxHeaderBytes = uint64_t{64} << 20;
constexpr uint64_t kGgufMaxEntries = 1 << 16;
constexpr uint64_t kGgufMaxTensors = 1 << 17;
constexpr uint64_t kGgufMaxTexts = 1 << 23; // in one array
constexpr size_t kGgufMaxKeyBytes = 65535;  // the format's
constexpr size_t kGgufMaxNameBytes = 63;    // ggml's, of tensors
constexpr uint32_t kGgufMaxDimensions = 4;  // ggml's
constexpr uint32_t kGgufMaxAlignment = 1 << 20;

// The numbers are those of the file.
enum class GgufType : uint8_t { u8, i8, u16, i16, u32, i32, f32, flag, text, array, u64, i64, f64 };
constexpr uint32_t kGgufTypes = 13;

// Such as "u32". Never throws.
const char* gguf_type_name(GgufType type) noexcept;
// Bytes of one; 0 for texts and arrays.
size_t gguf_type_bytes(GgufType type) noexcept;

// The texts of an array, one after the other.
class GgufTexts {
  public:
    explicit GgufTexts(std::string_view bytes) : at_(bytes.data()) {}

    // REQUIRES: there is one.
    std::string_view next() noexcept {
        uint64_t n = 0;
        std::memcpy(&n, at_, sizeof(n));
        const std::string_view text(at_ + sizeof(n), n);
        at_ = text.data() + n;
        return text;
    }

  private:
    const char* at_;
};

// An entry of the metadata.
struct GgufEntry {
    std::string_view key;
    GgufType type = GgufType::u8; // of the value, or of each element
    bool is_array = false;
    uint64_t n = 1;         // values
    uint64_t n_longest = 0; // bytes of the longest text
    std::string_view bytes; // of them, as in the file; empty if they were not kept

    bool is_number() const noexcept { return type != GgufType::text; }
    bool is_text() const noexcept { return type == GgufType::text && !is_array; }

    // Value `i`, a flag as 0 or 1; large ones rounded. REQUIRES: is_number(), i < n, and they were kept.
    double number(uint64_t i = 0) const noexcept;
    // The text. REQUIRES: is_text().
    std::string_view text() const noexcept { return texts().next(); }
    // All `n` texts. REQUIRES: type is text, and they were kept.
    GgufTexts texts() const noexcept { return GgufTexts(bytes); }
};

struct GgufTensor {
    std::string_view name;
    const TensorType* type = nullptr; // never a removed one
    uint32_t n_dimensions = 0;
    int64_t dimensions[kGgufMaxDimensions] = {1, 1, 1, 1}; // the fastest one first; at least 1 each
    uint64_t n_elements = 0;
    uint64_t n_bytes = 0;
    uint64_t offset = 0; // from where the data begins
};

// A header that was read. Immutable; any thread. Owns its bytes: what it gives out lives as long as it does.
class Gguf {
  public:
    enum class Extent : uint8_t { file, header };
    // Whether the values of the array `key` are to be kept, asked when entries() of `file` has those before
    // it; nothing else of the file is known then.
    using Wanted = bool (*)(const Gguf& file, std::string_view key);

    // Reads the header of `source`, and checks that the data of all tensors is there if `extent` is file.
    // Keeps all of it, or of arrays, which most of a header is, those that are `wanted`; of the others texts
    // are checked too, and numbers are not read.
    //
    // Takes memory in proportion to the header: a few times its bytes, at most 2 MiB more, and none for what
    // is not there; of addresses as many as the file has bytes, at most 64 MiB. Throws ModelLoadError with
    // path, reason and where (the entry, the tensor or the byte); also with n_needed, if bytes are missing:
    // the size to have at least.
    explicit Gguf(ByteSource& source, Extent extent = Extent::file, Wanted wanted = nullptr);
    Gguf(const Gguf&) = delete;
    Gguf& operator=(const Gguf&) = delete;

    const std::string& name() const noexcept { return name_; }
    uint32_t version() const noexcept { return version_; }
    uint32_t alignment() const noexcept { return alignment_; }
    // Bytes before the data begins.
    uint64_t data_begin() const noexcept { return data_begin_; }
    // Bytes of the data of all tensors with what is between them.
    uint64_t data_bytes() const noexcept { return data_bytes_; }
    // In the order of the file.
    const std::vector<GgufEntry>& entries() const noexcept { return entries_; }
    const std::vector<GgufTensor>& tensors() const noexcept { return tensors_; }

    // nullptr if there is none of this name.
    const GgufEntry* find(std::string_view key) const noexcept;
    const GgufTensor* find_tensor(std::string_view name) const noexcept;
    // The text of general.architecture; empty if there is none.
    std::string_view architecture() const noexcept;

    // Throws ModelLoadError: something about the entry or tensor `where` is not possible.
    [[noreturn]] void fail(std::string_view where, const std::string& problem) const;

  private:
    friend class GgufParser;

    std::string name_;
    std::unique_ptr<const HeaderBytes> header_;
    uint32_t version_ = 0;
    uint32_t alignment_ = 32;
    uint64_t data_begin_ = 0;
    uint64_t data_bytes_ = 0;
    std::vector<GgufEntry> entries_;
    std::vector<GgufTensor> tensors_;
    std::vector<uint32_t> entries_by_key_;
    std::vector<uint32_t> tensors_by_name_;
};

// A name in a message: what is not printable, or too long, is left out.
std::string shown_name(std::string_view name);

} // namespace inllama
