// The error tree: declared here and nowhere else. bind/ makes Python exceptions from error_kinds(), and a
// test compares them with errors.py.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace inllama {

// X(name, parent), parents before children; the root names itself as its parent.
#define INLLAMA_ERROR_KINDS(X)                                                                               \
    X(InllamaError, InllamaError)                                                                            \
    X(InvalidRequestError, InllamaError)                                                                     \
    X(ContextFullError, InvalidRequestError)                                                                 \
    X(GrammarError, InvalidRequestError)                                                                     \
    X(TemplateError, InvalidRequestError)                                                                    \
    X(UnsupportedError, InvalidRequestError)                                                                 \
    X(IncompleteOutputError, InvalidRequestError)                                                            \
    X(ModelLoadError, InllamaError)                                                                          \
    X(EngineError, InllamaError)                                                                             \
    X(EngineClosedError, EngineError)                                                                        \
    X(ForkedEngineError, EngineError)                                                                        \
    X(DecodeError, EngineError)                                                                              \
    X(ConcurrentUseError, EngineError)                                                                       \
    X(InsufficientMemoryError, InllamaError)                                                                 \
    X(QueueFullError, InllamaError)                                                                          \
    X(DeadlineError, InllamaError)                                                                           \
    X(StateError, InllamaError)

enum class ErrorKind : uint8_t {
#define INLLAMA_ERROR_ENUMERATOR(name, parent) name,
    INLLAMA_ERROR_KINDS(INLLAMA_ERROR_ENUMERATOR)
#undef INLLAMA_ERROR_ENUMERATOR
};

#define INLLAMA_ERROR_ONE(name, parent) +1
inline constexpr size_t kErrorKindCount = 0 INLLAMA_ERROR_KINDS(INLLAMA_ERROR_ONE);
#undef INLLAMA_ERROR_ONE

struct ErrorKindInfo {
    ErrorKind kind;
    ErrorKind parent; // the kind itself for the root
    const char* name;
    const char* parent_name; // "" for the root
};

// Gives every kind once, indexed by its ErrorKind, parents before children. Any thread; never throws.
constexpr std::array<ErrorKindInfo, kErrorKindCount> error_kinds() noexcept {
    return {{
#define INLLAMA_ERROR_INFO(name, parent)                                                                     \
    {ErrorKind::name, ErrorKind::parent, #name, ErrorKind::name == ErrorKind::parent ? "" : #parent},
        INLLAMA_ERROR_KINDS(INLLAMA_ERROR_INFO)
#undef INLLAMA_ERROR_INFO
    }};
}

// True if `kind` is `ancestor` or below it in the tree. Any thread; never throws.
constexpr bool is_kind_of(ErrorKind kind, ErrorKind ancestor) noexcept {
    constexpr auto kinds = error_kinds();
    while (kind != ancestor) {
        const ErrorKind parent = kinds[static_cast<size_t>(kind)].parent;
        if (parent == kind)
            return false;
        kind = parent;
    }
    return true;
}

using FieldValue = std::variant<int64_t, double, bool, std::string>;

// An error that a caller can act on: a place in the tree, a text, and the text's values as fields.
//
// 1. The text says what, value, limit, remedy: "prompt has 9214 tokens but n_ctx is 8192; shorten it or load
//    with a larger n_ctx". Callers act on `kind` and `fields`, never on the text.
// 2. Fields keep the order in which they were added; the binding makes an attribute of each.
class Error : public std::exception {
  public:
    using Fields = std::vector<std::pair<std::string, FieldValue>>;

    Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

    ErrorKind kind() const noexcept { return kind_; }
    const std::string& message() const noexcept { return message_; }
    const Fields& fields() const noexcept { return fields_; }
    const char* what() const noexcept override { return message_.c_str(); }

    // The value of field `name`, or nullptr; valid until the next with().
    const FieldValue* field(std::string_view name) const noexcept {
        for (const auto& [key, value] : fields_) {
            if (key == name)
                return &value;
        }
        return nullptr;
    }

    // Adds a field. `value`: any integer (clamped to int64_t), floating point number, bool or text.
    template<class T> Error& with(std::string name, T&& value) & {
        fields_.emplace_back(std::move(name), to_field(std::forward<T>(value)));
        return *this;
    }
    template<class T> Error&& with(std::string name, T&& value) && {
        return std::move(with(std::move(name), std::forward<T>(value)));
    }

  private:
    template<class T> static FieldValue to_field(T&& value) {
        using Plain = std::decay_t<T>;
        if constexpr (std::is_same_v<Plain, bool>) {
            return FieldValue(std::in_place_type<bool>, value);
        } else if constexpr (std::is_integral_v<Plain>) {
            constexpr auto kMax = std::numeric_limits<int64_t>::max();
            if constexpr (std::is_unsigned_v<Plain> && sizeof(Plain) == sizeof(int64_t)) {
                if (value > static_cast<uint64_t>(kMax))
                    return FieldValue(std::in_place_type<int64_t>, kMax);
            }
            return FieldValue(std::in_place_type<int64_t>, static_cast<int64_t>(value));
        } else if constexpr (std::is_floating_point_v<Plain>) {
            return FieldValue(std::in_place_type<double>, static_cast<double>(value));
        } else {
            return FieldValue(std::in_place_type<std::string>, std::forward<T>(value));
        }
    }

    ErrorKind kind_;
    std::string message_;
    Fields fields_;
};

} // namespace inllama
