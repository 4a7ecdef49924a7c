#include "bind/arrays.h"

#include "bind/exit.h"

#include "core/error.h"

#include <limits>
#include <string>

namespace inllama {

namespace {

constexpr int64_t kLowest = std::numeric_limits<int32_t>::min();
constexpr int64_t kHighest = std::numeric_limits<int32_t>::max();

[[noreturn]] void throw_range(const char* what, const std::string& value) {
    throw Error(ErrorKind::InvalidRequestError, std::string(what) + " " + value + " does not fit 32 bits")
        .with("option", std::string(what));
}

template<class From>
void copy_integers(const nb::ndarray<>& array, const char* what, std::vector<int32_t>& to) {
    const auto* from = static_cast<const From*>(array.data());
    for (size_t i = 0; i < array.shape(0); i++) {
        const From value = from[static_cast<int64_t>(i) * array.stride(0)];
        if constexpr (sizeof(From) > sizeof(int32_t) || std::is_unsigned_v<From>) {
            const bool is_above = value > static_cast<From>(std::numeric_limits<int32_t>::max());
            bool is_below = false;
            if constexpr (std::is_signed_v<From>) {
                is_below = value < kLowest;
            }
            if (sizeof(From) >= sizeof(int32_t) && (is_above || is_below)) {
                throw_range(what, std::to_string(value));
            }
        }
        to[i] = static_cast<int32_t>(value);
    }
}

bool from_array(nb::handle values, const char* what, std::vector<int32_t>& to) {
    nb::ndarray<nb::ro> found;
    if (nb::isinstance<nb::list>(values) || nb::isinstance<nb::tuple>(values) || !nb::ndarray_check(values) ||
        !nb::try_cast(values, found, false)) {
        return false;
    }
    const nb::ndarray<> array(found);
    const auto code = static_cast<nb::dlpack::dtype_code>(array.dtype().code);
    const bool is_signed = code == nb::dlpack::dtype_code::Int;
    if (array.ndim() != 1 || (!is_signed && code != nb::dlpack::dtype_code::UInt)) {
        throw nb::type_error((std::string(what) + " must be a one-dimensional array of integers").c_str());
    }
    to.resize(array.shape(0));
    switch (array.dtype().bits) {
    case 8:
        is_signed ? copy_integers<int8_t>(array, what, to) : copy_integers<uint8_t>(array, what, to);
        return true;
    case 16:
        is_signed ? copy_integers<int16_t>(array, what, to) : copy_integers<uint16_t>(array, what, to);
        return true;
    case 32:
        is_signed ? copy_integers<int32_t>(array, what, to) : copy_integers<uint32_t>(array, what, to);
        return true;
    default:
        is_signed ? copy_integers<int64_t>(array, what, to) : copy_integers<uint64_t>(array, what, to);
        return true;
    }
}

} // namespace

std::vector<int32_t> integers(nb::handle values, const char* what) {
    PyObject* object = values.ptr();
    if (PyBytes_Check(object) || PyByteArray_Check(object) || PyUnicode_Check(object)) {
        throw nb::type_error((std::string(what) + " must be integers, not text or bytes").c_str());
    }
    std::vector<int32_t> result;
    if (from_array(values, what, result)) {
        return result;
    }
    for (nb::handle item : values) {
        if (PyBool_Check(item.ptr())) {
            throw nb::type_error((std::string(what) + " must be integers, not bool").c_str());
        }
        const nb::object number = nb::steal(PyNumber_Index(item.ptr()));
        if (!number.is_valid()) {
            throw nb::python_error();
        }
        int is_beyond = 0;
        const long long value = PyLong_AsLongLongAndOverflow(number.ptr(), &is_beyond);
        if (is_beyond != 0 || value < kLowest || value > kHighest) {
            throw_range(what, nb::str(number).c_str());
        }
        result.push_back(static_cast<int32_t>(value));
    }
    return result;
}

std::string_view utf8(nb::handle text) {
    if (!PyUnicode_Check(text.ptr())) {
        throw nb::type_error("the text must be a str");
    }
    Py_ssize_t size = 0;
    const char* bytes = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
    if (bytes != nullptr) {
        return {bytes, static_cast<size_t>(size)};
    }
    const nb::python_error error;
    if (!error.matches(PyExc_UnicodeEncodeError)) {
        throw error;
    }
    throw Error(ErrorKind::InvalidRequestError,
                "the text has a lone surrogate at character " +
                    std::to_string(nb::cast<int64_t>(error.value().attr("start"))) +
                    ", which is no Unicode text; decode its source with errors='replace'")
        .with("character", nb::cast<int64_t>(error.value().attr("start")));
}

nb::str text_of(const std::string& bytes) {
    PyObject* text =
        PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogateescape");
    if (text == nullptr) {
        throw nb::python_error();
    }
    return nb::steal<nb::str>(text);
}

std::string file_path(nb::handle path) {
    const nb::object bytes = nb::module_::import_("os").attr("fsencode")(path);
    return {PyBytes_AS_STRING(bytes.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(bytes.ptr()))};
}

void need_numpy() {
    const NativeCall inside(NativeCall::Entry::always);
    const nb::object numpy = nb::module_::import_("numpy");
}

TokenArray to_array(std::vector<int32_t>&& values) {
    need_numpy();
    auto* owned = new std::vector<int32_t>(std::move(values));
    const nb::capsule owner(owned,
                            [](void* held) noexcept { delete static_cast<std::vector<int32_t>*>(held); });
    return TokenArray(owned->data(), {owned->size()}, owner);
}

FloatArray to_array(std::vector<float>&& values) {
    need_numpy();
    auto* owned = new std::vector<float>(std::move(values));
    const nb::capsule owner(owned,
                            [](void* held) noexcept { delete static_cast<std::vector<float>*>(held); });
    return FloatArray(owned->data(), {owned->size()}, owner);
}

} // namespace inllama
