#include "core/gguf.h"

#include "core/gguf_reader.h"

#include <algorithm>
#include <cstdio>

namespace inllama {

namespace {

struct TypeInfo {
    const char* name;
    size_t bytes;
};
constexpr TypeInfo kTypes[kGgufTypes] = {
    {"u8", 1},   {"i8", 1},  {"u16", 2}, {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"str", 0}, {"arr", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

template<class T> double number_at(std::string_view bytes, uint64_t i) noexcept {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    return static_cast<double>(value);
}

template<class T, class Name>
const T* find_by_name(const std::vector<T>& all, const std::vector<uint32_t>& places, std::string_view wanted,
                      Name name) noexcept {
    const auto found =
        std::lower_bound(places.begin(), places.end(), wanted,
                         [&](uint32_t place, std::string_view other) { return name(all[place]) < other; });
    return found != places.end() && name(all[*found]) == wanted ? &all[*found] : nullptr;
}

} // namespace

const char* gguf_type_name(GgufType type) noexcept {
    return kTypes[static_cast<size_t>(type)].name;
}

size_t gguf_type_bytes(GgufType type) noexcept {
    return kTypes[static_cast<size_t>(type)].bytes;
}

double GgufEntry::number(uint64_t i) const noexcept {
    switch (type) {
    case GgufType::u8:
    case GgufType::flag:
        return number_at<uint8_t>(bytes, i);
    case GgufType::i8:
        return number_at<int8_t>(bytes, i);
    case GgufType::u16:
        return number_at<uint16_t>(bytes, i);
    case GgufType::i16:
        return number_at<int16_t>(bytes, i);
    case GgufType::u32:
        return number_at<uint32_t>(bytes, i);
    case GgufType::i32:
        return number_at<int32_t>(bytes, i);
    case GgufType::f32:
        return number_at<float>(bytes, i);
    case GgufType::u64:
        return number_at<uint64_t>(bytes, i);
    case GgufType::i64:
        return number_at<int64_t>(bytes, i);
    case GgufType::f64:
        return number_at<double>(bytes, i);
    case GgufType::text:
    case GgufType::array:
        break;
    }
    return 0.0;
}

std::string shown_name(std::string_view name) {
    constexpr size_t kShown = 80;
    std::string text;
    for (const char c : name.substr(0, kShown)) {
        if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) {
            text += c;
            continue;
        }
        char escaped[5];
        std::snprintf(escaped, sizeof(escaped), "\\x%02x",
                      static_cast<unsigned>(static_cast<unsigned char>(c)));
        text += escaped;
    }
    return name.size() > kShown ? text + "..." : text;
}

const GgufEntry* Gguf::find(std::string_view key) const noexcept {
    return find_by_name(entries_, entries_by_key_, key, [](const GgufEntry& entry) { return entry.key; });
}

const GgufTensor* Gguf::find_tensor(std::string_view name) const noexcept {
    return find_by_name(tensors_, tensors_by_name_, name,
                        [](const GgufTensor& tensor) { return tensor.name; });
}

std::string_view Gguf::architecture() const noexcept {
    const GgufEntry* entry = find("general.architecture");
    return entry != nullptr && entry->is_text() ? entry->text() : std::string_view();
}

void Gguf::fail(std::string_view where, const std::string& problem) const {
    throw gguf_error(name_, shown_name(where), problem);
}

} // namespace inllama
