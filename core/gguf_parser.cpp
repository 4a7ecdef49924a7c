#include "core/gguf.h"
#include "core/gguf_reader.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace inllama {

namespace {

// Bytes that each of them takes at least, so that a count can be refused before anything is made for it.
constexpr uint64_t kLeastEntryBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kLeastTensorBytes = 8 + 1 + 4 + 4 + 8;

// A product that stays below 2^63; 0 if it does not. REQUIRES: both are at least 1.
uint64_t product(uint64_t a, uint64_t b) noexcept {
    return a > static_cast<uint64_t>(INT64_MAX) / b ? 0 : a * b;
}

// Sorts the places of `all` by a name, and gives the first one whose name another one has too.
template<class T, class Name>
std::optional<uint32_t> sort_by_name(const std::vector<T>& all, std::vector<uint32_t>& places, Name name) {
    places.resize(all.size());
    std::iota(places.begin(), places.end(), 0u);
    std::sort(places.begin(), places.end(),
              [&](uint32_t a, uint32_t b) { return name(all[a]) < name(all[b]); });
    for (size_t i = 1; i < places.size(); i++) {
        if (name(all[places[i - 1]]) == name(all[places[i]])) {
            return std::max(places[i - 1], places[i]);
        }
    }
    return std::nullopt;
}

std::string_view key_of(const GgufEntry& entry) noexcept {
    return entry.key;
}
std::string_view name_of(const GgufTensor& tensor) noexcept {
    return tensor.name;
}

} // namespace

// Reads a header into a Gguf.
class GgufParser {
  public:
    GgufParser(ByteSource& source, Gguf::Wanted wanted, Gguf& file)
        : source_(source), reader_(source), wanted_(wanted), file_(file) {}

    void parse(Gguf::Extent extent) {
        file_.name_ = source_.name();
        read_beginning();
        file_.entries_.reserve(n_entries_);
        for (uint64_t i = 0; i < n_entries_; i++) {
            read_entry(i);
        }
        file_.tensors_.reserve(n_tensors_);
        for (uint64_t i = 0; i < n_tensors_; i++) {
            read_tensor(i);
        }
        check_names();
        set_alignment();
        place_tensors(reader_.offset());
        if (extent == Gguf::Extent::file) {
            check_data();
        }
        file_.header_ = reader_.take_bytes();
    }

  private:
    void read_beginning() {
        reader_.set_place({"the beginning"});
        if (source_.size() == 0) {
            reader_.fail_at("", "it is empty");
        }
        char magic[4] = {};
        const size_t n = static_cast<size_t>(std::min<uint64_t>(sizeof(magic), source_.size()));
        source_.read(0, magic, n);
        if (std::memcmp(magic, "GGUF", n) != 0) {
            reader_.fail_at("", "it is not a GGUF file (it does not start with 'GGUF')");
        }
        reader_.skip(sizeof(magic), "the format's name");
        check_version(file_.version_ = reader_.take<uint32_t>("the version"));
        n_tensors_ = count("tensors", kGgufMaxTensors);
        n_entries_ = count("entries", kGgufMaxEntries);
        reader_.expect(n_entries_ * kLeastEntryBytes + n_tensors_ * kLeastTensorBytes, "entries and tensors");
    }

    void check_version(uint32_t version) const {
        const std::string is = "says version " + std::to_string(version) + " of the format";
        if (version == 1) {
            reader_.fail(is + ", which is no longer read; convert the model again");
        }
        if ((version & 0xFFFF) == 0) {
            reader_.fail(is + ": it has the other byte order (big-endian); get a little-endian file");
        }
        if (version != 2 && version != 3) {
            reader_.fail(is + ", but 2 and 3 are known; get it for this version, or a newer inllama");
        }
    }

    uint64_t count(const char* what, uint64_t limit) {
        const auto n = reader_.take<uint64_t>(what);
        if (n > limit) {
            reader_.fail("says that there are " + std::to_string(n) + " " + what + ", but at most " +
                         std::to_string(limit) + " are possible");
        }
        return n;
    }

    static std::string place_of(const char* kind, std::string_view name) {
        return GgufPlace{kind, std::nullopt, name}.text();
    }

    std::string_view take_name(const char* kind, uint64_t i, size_t limit) {
        reader_.set_place({kind, i});
        const std::string_view name = reader_.take_text("a name", limit);
        if (name.empty()) {
            reader_.fail("has an empty name");
        }
        reader_.set_place({kind, i, name});
        // llama.cpp would see only what is before it.
        if (name.find('\0') != std::string_view::npos) {
            reader_.fail("has a NUL byte in its name");
        }
        return name;
    }

    GgufType take_type() {
        const auto number = reader_.take<uint32_t>("a type");
        if (number >= kGgufTypes) {
            reader_.fail("is of type " + std::to_string(number) + ", which does not exist");
        }
        return static_cast<GgufType>(number);
    }

    void read_entry(uint64_t i) {
        GgufEntry entry;
        entry.key = take_name("entry", i, kGgufMaxKeyBytes);
        entry.type = take_type();
        if (entry.type == GgufType::array) {
            entry.is_array = true;
            entry.type = take_type();
            if (entry.type == GgufType::array) {
                reader_.fail("is an array of arrays, which llama.cpp does not read");
            }
            entry.n = reader_.take<uint64_t>("a length");
        }
        const bool is_wanted = wanted_ == nullptr || !entry.is_array || wanted_(file_, entry.key);
        const auto bytes = is_wanted ? GgufReader::Bytes::kept : GgufReader::Bytes::dropped;
        const char* begin = reader_.here();
        if (entry.type == GgufType::text) {
            entry.n_longest = skip_texts(entry.n, bytes);
        } else {
            skip_numbers(entry, bytes);
        }
        if (is_wanted) {
            entry.bytes = std::string_view(begin, static_cast<size_t>(reader_.here() - begin));
        }
        file_.entries_.push_back(entry);
    }

    uint64_t skip_texts(uint64_t n, GgufReader::Bytes bytes) {
        if (n > kGgufMaxTexts) {
            reader_.fail("has " + std::to_string(n) + " texts, but at most " + std::to_string(kGgufMaxTexts) +
                         " are possible");
        }
        reader_.expect(n * sizeof(uint64_t), "its texts");
        return reader_.skip_texts(n, bytes);
    }

    void skip_numbers(const GgufEntry& entry, GgufReader::Bytes bytes) {
        const size_t each = gguf_type_bytes(entry.type);
        if (entry.n > kGgufMaxHeaderBytes / each) {
            reader_.fail("has " + std::to_string(entry.n) + " values of " + std::to_string(each) +
                         " bytes, but a header has at most " + std::to_string(kGgufMaxHeaderBytes));
        }
        reader_.skip(entry.n * each, "its values", bytes);
        if (entry.type == GgufType::flag && bytes == GgufReader::Bytes::kept) {
            const char* flags = reader_.here() - entry.n;
            for (uint64_t i = 0; i < entry.n; i++) {
                if (flags[i] != 0 && flags[i] != 1) {
                    reader_.fail("has a bool of " + std::to_string(static_cast<unsigned char>(flags[i])) +
                                 "; it must be 0 or 1");
                }
            }
        }
    }

    void read_tensor(uint64_t i) {
        GgufTensor tensor;
        tensor.name = take_name("tensor", i, kGgufMaxNameBytes);
        tensor.n_dimensions = reader_.take<uint32_t>("a number of dimensions");
        if (tensor.n_dimensions > kGgufMaxDimensions) {
            reader_.fail("has " + std::to_string(tensor.n_dimensions) + " dimensions, but at most " +
                         std::to_string(kGgufMaxDimensions) + " are possible");
        }
        tensor.n_elements = 1;
        for (uint32_t j = 0; j < tensor.n_dimensions; j++) {
            tensor.dimensions[j] = reader_.take<int64_t>("a dimension");
            if (tensor.dimensions[j] < 1) {
                reader_.fail("has a dimension of " + std::to_string(tensor.dimensions[j]) +
                             "; it must be at least 1");
            }
            tensor.n_elements = product(tensor.n_elements, static_cast<uint64_t>(tensor.dimensions[j]));
            if (tensor.n_elements == 0) {
                reader_.fail("has dimensions whose product passes 63 bits");
            }
        }
        set_type(tensor, reader_.take<uint32_t>("a type"));
        tensor.offset = reader_.take<uint64_t>("an offset");
        file_.tensors_.push_back(tensor);
    }

    void set_type(GgufTensor& tensor, uint32_t id) const {
        tensor.type = tensor_type(id);
        if (tensor.type == nullptr) {
            reader_.fail("is of type " + std::to_string(id) + ", which does not exist");
        }
        if (tensor.type->use == TensorType::Use::removed) {
            reader_.fail(std::string("is of type ") + tensor.type->name +
                         ", which llama.cpp no longer reads; quantize the model again");
        }
        if (tensor.dimensions[0] % tensor.type->block != 0) {
            reader_.fail("has rows of " + std::to_string(tensor.dimensions[0]) + " elements, but type " +
                         tensor.type->name + " has blocks of " + std::to_string(tensor.type->block));
        }
        tensor.n_bytes = product(tensor.n_elements / tensor.type->block, tensor.type->block_bytes);
        if (tensor.n_bytes == 0) {
            reader_.fail("has a size that passes 63 bits");
        }
    }

    void check_names() {
        if (const auto again = sort_by_name(file_.entries_, file_.entries_by_key_, key_of)) {
            reader_.fail_at(place_of("entry", file_.entries_[*again].key), "is there twice");
        }
        if (const auto again = sort_by_name(file_.tensors_, file_.tensors_by_name_, name_of)) {
            reader_.fail_at(place_of("tensor", file_.tensors_[*again].name), "is there twice");
        }
    }

    void set_alignment() {
        const GgufEntry* entry = file_.find("general.alignment");
        if (entry == nullptr) {
            return;
        }
        const std::string place = "entry general.alignment";
        if (entry->type != GgufType::u32 || entry->is_array) {
            reader_.fail_at(place, "must be a u32");
        }
        std::memcpy(&file_.alignment_, entry->bytes.data(), sizeof(file_.alignment_));
        const uint32_t alignment = file_.alignment_;
        if (alignment < 8 || alignment > kGgufMaxAlignment || (alignment & (alignment - 1)) != 0) {
            reader_.fail_at(place, "is " + std::to_string(alignment) +
                                       "; it must be a power of two from 8 to " +
                                       std::to_string(kGgufMaxAlignment));
        }
    }

    // REQUIRES: n is below 2^63.
    uint64_t padded(uint64_t n) const { return (n + file_.alignment_ - 1) & ~uint64_t{file_.alignment_ - 1}; }

    // ggml wants each tensor just behind the one before it.
    void place_tensors(uint64_t end) {
        file_.data_begin_ = file_.tensors_.empty() ? end : padded(end);
        uint64_t next = 0;
        for (const GgufTensor& tensor : file_.tensors_) {
            if (tensor.offset != next) {
                const char* what = tensor.offset % file_.alignment_ != 0 ? "is not aligned"
                                   : tensor.offset < next                ? "overlaps the one before it"
                                                                         : "leaves a gap before it";
                reader_.fail_at(place_of("tensor", tensor.name),
                                "begins at offset " + std::to_string(tensor.offset) + ", which " + what +
                                    "; it must be " + std::to_string(next));
            }
            file_.data_bytes_ = next + tensor.n_bytes;
            if (tensor.n_bytes > static_cast<uint64_t>(INT64_MAX) / 2 - next - file_.data_begin_) {
                reader_.fail_at(place_of("tensor", tensor.name), "ends at an offset that passes 62 bits");
            }
            next = padded(next + tensor.n_bytes);
        }
    }

    void check_data() const {
        for (const GgufTensor& tensor : file_.tensors_) {
            const uint64_t end = file_.data_begin_ + tensor.offset + tensor.n_bytes;
            if (end > source_.size()) {
                throw gguf_error(source_.name(), place_of("tensor", tensor.name),
                                 "ends at byte " + std::to_string(end) + ", but the file has " +
                                     std::to_string(source_.size()) +
                                     " bytes; it is incomplete, get it again")
                    .with("n_needed", file_.data_begin_ + file_.data_bytes_);
            }
        }
    }

    ByteSource& source_;
    GgufReader reader_;
    const Gguf::Wanted wanted_;
    Gguf& file_;
    uint64_t n_entries_ = 0;
    uint64_t n_tensors_ = 0;
};

Gguf::Gguf(ByteSource& source, Extent extent, Wanted wanted) {
    GgufParser(source, wanted, *this).parse(extent);
}

} // namespace inllama
