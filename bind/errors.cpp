// C++ errors become the Python exceptions of inllama.errors, with their values as attributes.
#include "bind/errors.h"

#include "bind/arrays.h"
#include "bind/exit.h"
#include "bind/module.h"
#include "core/error.h"
#include "core/llama/context.h"

#include <nanobind/stl/string.h>

#include <utility>
#include <variant>

namespace inllama {

namespace {

// The classes by name, given by inllama.errors. Never released: an error may be raised as long as Python
// runs.
PyObject* error_classes = nullptr;

nb::object to_python(const FieldValue& value) {
    if (const auto* text = std::get_if<std::string>(&value)) {
        return text_of(*text);
    }
    return std::visit([](const auto& held) -> nb::object { return nb::cast(held); }, value);
}

} // namespace

nb::object to_exception(const Error& error) {
    const NativeCall inside(NativeCall::Entry::always); // it runs Python code below C++ frames
    const char* name = error_kinds()[static_cast<size_t>(error.kind())].name;
    const nb::object text = text_of(error.message());
    const nb::dict classes = error_classes == nullptr ? nb::dict() : nb::borrow<nb::dict>(error_classes);
    if (!classes.contains(name)) {
        return nb::borrow(PyExc_RuntimeError)(text);
    }
    nb::dict fields;
    for (const auto& [key, value] : error.fields()) {
        fields[key.c_str()] = to_python(value);
    }
    return classes[name](text, **fields);
}

namespace {

void raise(const Error& error) {
    const nb::object raised = to_exception(error);
    PyErr_SetObject(raised.type().ptr(), raised.ptr());
}

} // namespace

void bind_errors(nb::module_& m) {
    nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
        try {
            std::rethrow_exception(thrown);
        } catch (const Error& error) {
            raise(error);
        } catch (const BufferMoved& error) {
            PyErr_SetString(PyExc_BufferError, error.what());
        }
    });
    m.def(
        "set_error_classes",
        [](nb::dict classes) { Py_XDECREF(std::exchange(error_classes, classes.release().ptr())); },
        "classes"_a, nb::sig("def set_error_classes(classes: dict[str, typing.Any]) -> None"),
        "Give the exception class for each name in error_kinds().");
    m.def(
        "error_kinds",
        [] {
            nb::list kinds;
            for (const ErrorKindInfo& kind : error_kinds()) {
                kinds.append(nb::make_tuple(kind.name, kind.parent_name));
            }
            return kinds;
        },
        nb::sig("def error_kinds() -> list[tuple[str, str]]"),
        "The error tree as (name, parent), parents first.");
}

} // namespace inllama
