#include "core/gguf.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/module.h"
#include "core/llama/gguf_file.h"
#include "core/platform/regular_file.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>

namespace inllama {

namespace {

// A header, and what it is of.
struct PyGguf {
    std::shared_ptr<const Gguf> header;
    uint64_t n_bytes; // of the file, or of what was given of it
};

PyGguf read(nb::handle source, bool header_only) {
    const auto extent = header_only ? Gguf::Extent::header : Gguf::Extent::file;
    if (PyBytes_Check(source.ptr())) {
        const std::string_view bytes(PyBytes_AS_STRING(source.ptr()),
                                     static_cast<size_t>(PyBytes_GET_SIZE(source.ptr())));
        return call_native([&] {
            MemorySource memory(bytes);
            return PyGguf{std::make_shared<Gguf>(memory, extent), memory.size()};
        });
    }
    const std::string path = file_path(source);
    return call_native([&] {
        RegularFile file(path);
        return PyGguf{std::make_shared<Gguf>(file, extent), file.size()};
    });
}

nb::object text(std::string_view bytes) {
    return nb::steal(PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "strict"));
}

template<class T> nb::object numbers(const GgufEntry& entry) {
    auto copy = std::make_unique<T[]>(entry.n);
    std::memcpy(copy.get(), entry.bytes.data(), entry.bytes.size());
    const size_t shape[1] = {static_cast<size_t>(entry.n)};
    T* values = copy.release();
    const nb::capsule owner(values, [](void* held) noexcept { delete[] static_cast<T*>(held); });
    return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(values, 1, shape, owner));
}

nb::object array(const GgufEntry& entry) {
    switch (entry.type) {
    case GgufType::u8:
    case GgufType::flag:
        return numbers<uint8_t>(entry);
    case GgufType::i8:
        return numbers<int8_t>(entry);
    case GgufType::u16:
        return numbers<uint16_t>(entry);
    case GgufType::i16:
        return numbers<int16_t>(entry);
    case GgufType::u32:
        return numbers<uint32_t>(entry);
    case GgufType::i32:
        return numbers<int32_t>(entry);
    case GgufType::u64:
        return numbers<uint64_t>(entry);
    case GgufType::i64:
        return numbers<int64_t>(entry);
    case GgufType::f32:
        return numbers<float>(entry);
    case GgufType::f64:
        return numbers<double>(entry);
    default:
        break;
    }
    nb::list all;
    GgufTexts texts = entry.texts();
    for (uint64_t i = 0; i < entry.n; i++) {
        all.append(text(texts.next()));
    }
    return nb::tuple(all);
}

nb::object value(const PyGguf& file, size_t index) {
    const auto& entries = file.header->entries();
    if (index >= entries.size()) {
        throw nb::index_error();
    }
    const GgufEntry& entry = entries[index];
    if (entry.is_array) {
        need_numpy();
        return array(entry);
    }
    switch (entry.type) {
    case GgufType::text:
        return text(entry.text());
    case GgufType::flag:
        return nb::bool_(entry.number() != 0);
    case GgufType::f32:
    case GgufType::f64:
        return nb::float_(entry.number());
    case GgufType::u64: {
        uint64_t large;
        std::memcpy(&large, entry.bytes.data(), sizeof(large));
        return nb::int_(large);
    }
    case GgufType::i64: {
        int64_t large;
        std::memcpy(&large, entry.bytes.data(), sizeof(large));
        return nb::int_(large);
    }
    default:
        return nb::int_(static_cast<int64_t>(entry.number()));
    }
}

nb::list entries(const PyGguf& file) {
    nb::list all;
    for (const GgufEntry& entry : file.header->entries()) {
        all.append(nb::make_tuple(text(entry.key), gguf_type_name(entry.type), entry.is_array, entry.n));
    }
    return all;
}

nb::list tensors(const PyGguf& file) {
    nb::list all;
    for (const GgufTensor& tensor : file.header->tensors()) {
        nb::list dimensions;
        for (uint32_t i = 0; i < tensor.n_dimensions; i++) {
            dimensions.append(tensor.dimensions[i]);
        }
        all.append(nb::make_tuple(text(tensor.name), nb::tuple(dimensions), tensor.type->name,
                                  tensor.n_elements, tensor.n_bytes, tensor.offset));
    }
    return all;
}

template<class Types> nb::list types(const Types& all) {
    nb::list rows;
    for (const auto& type : all) {
        rows.append(nb::make_tuple(type.id, type.name, type.block, type.block_bytes));
    }
    return rows;
}

} // namespace

void bind_gguf(nb::module_& m) {
    nb::class_<PyGguf>(m, "GgufHeader", "The header of a GGUF file. Immutable; any thread.")
        .def_prop_ro("n_bytes", [](const PyGguf& self) { return self.n_bytes; })
        .def_prop_ro("version", [](const PyGguf& self) { return self.header->version(); })
        .def_prop_ro("alignment", [](const PyGguf& self) { return self.header->alignment(); })
        .def_prop_ro("data_begin", [](const PyGguf& self) { return self.header->data_begin(); })
        .def_prop_ro("data_bytes", [](const PyGguf& self) { return self.header->data_bytes(); })
        .def_prop_ro("entries", entries, nb::sig("def entries(self) -> list[tuple[str, str, bool, int]]"),
                     "Key, type, whether it is an array, and the number of values of each.")
        .def_prop_ro("tensors", tensors,
                     nb::sig("def tensors(self) -> list[tuple[str, tuple[int, ...], str, int, int, int]]"),
                     "Name, dimensions (fastest first), type, elements, bytes and offset of each.")
        .def("value", value, "index"_a, nb::sig("def value(self, index: int) -> typing.Any"),
             "Return the value of an entry: a scalar, a numpy array, or a tuple of texts.");
    m.def("read_gguf", read, "source"_a, "header_only"_a,
          nb::sig("def read_gguf(source: bytes | str | os.PathLike[str], header_only: bool) -> GgufHeader"),
          "Read a header strictly.");
    m.def(
        "tensor_types",
        [](bool is_native) { return is_native ? types(native_tensor_types()) : types(tensor_types()); },
        "is_native"_a, nb::sig("def tensor_types(is_native: bool) -> list[tuple[int, str, int, int]]"),
        "Return number, name, block and its bytes of the types of tensors, as we or as ggml have them.");
}

} // namespace inllama
