#include "core/llama/backend.h"

#include "bind/call.h"
#include "bind/module.h"
#include "core/log_ring.h"
#include "core/platform/cpu.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <mutex>
#include <optional>
#include <utility>

namespace inllama {

namespace {

// Called as handler(level, line), and as lowest_level(). Never released: llama.cpp may log as long as Python
// runs.
PyObject* log_handler = nullptr;
PyObject* lowest_level = nullptr;

} // namespace

void publish_log() {
    static LogLines lines;
    // Only for builds of Python without a GIL; a second publisher leaves the lines to the first.
    static std::mutex one_at_a_time;
    if (log_handler == nullptr || log_ring().empty()) {
        return;
    }
    std::vector<LogLine> published;
    {
        const std::unique_lock<std::mutex> lock(one_at_a_time, std::try_to_lock);
        if (!lock.owns_lock()) {
            return;
        }
        LogRecord record;
        while (log_ring().pop(record)) {
            for (LogLine& line : lines.push(record.level, record.view())) {
                published.push_back(std::move(line));
            }
        }
        const auto n_dropped = log_ring().dropped();
        if (n_dropped > 0) {
            published.push_back({kLogLevelInfo, std::to_string(n_dropped) + " log lines were lost"});
        }
    }
    // An error that is on its way must survive the handler.
    const nb::error_scope keep;
    bool is_interrupted = false;
    std::optional<int> lowest;
    for (const auto& [level, line] : published) {
        try {
            if (!lowest) {
                lowest = nb::cast<int>(nb::borrow(lowest_level)());
            }
            if (level < *lowest) {
                continue;
            }
            nb::object text =
                nb::steal(PyUnicode_DecodeUTF8(line.data(), static_cast<Py_ssize_t>(line.size()), "replace"));
            nb::borrow(log_handler)(level, text);
        } catch (nb::python_error& error) {
            if (error.matches(PyExc_KeyboardInterrupt)) {
                is_interrupted = true;
            } else {
                error.discard_as_unraisable("inllama's log handler");
            }
        }
    }
    if (is_interrupted) {
        // Ctrl-C while the handler ran is meant for the caller, who is interrupted as soon as Python runs
        // again.
        PyErr_SetInterrupt();
    }
}

void bind_backend(nb::module_& m) {
    nb::class_<Device>(m, "Device", "A device that llama.cpp can compute on.")
        .def_ro("name", &Device::name, "Name to use in ``devices=``, such as ``CUDA0``.")
        .def_ro("description", &Device::description, "What the driver calls it.")
        .def_ro("type", &Device::type, "``cpu``, ``gpu``, ``integrated_gpu`` or ``accelerator``.")
        .def_ro("memory_bytes", &Device::memory_bytes, "All of its memory.")
        .def_ro("free_bytes", &Device::free_bytes, "What was free when the list was made.")
        .def("__repr__", [](const Device& device) {
            return "Device(name='" + device.name + "', type='" + device.type + "')";
        });
    m.def(
        "devices", [] { return call_native([] { return devices(); }); },
        "Return every device, and start llama.cpp for it. On a GPU build this makes a driver context.");
    m.def(
        "system_info", [] { return call_native([] { return system_info(); }); },
        "Return llama.cpp's own line about instruction sets.");
    m.def("usable_cores", &usable_cores,
          "Return the physical cores that this process may use (affinity, cgroup).");
    m.def(
        "set_log_handler",
        [](nb::callable handler, nb::callable lowest) {
            Py_XDECREF(std::exchange(lowest_level, lowest.release().ptr()));
            Py_XDECREF(std::exchange(log_handler, handler.release().ptr()));
        },
        "handler"_a, "lowest_level"_a,
        nb::sig("def set_log_handler(handler: collections.abc.Callable[[int, str], None], "
                "lowest_level: collections.abc.Callable[[], int]) -> None"),
        "Give llama.cpp's log lines from level ``lowest_level()`` on to ``handler(level, line)``; "
        "levels are 1 debug to 4 error.");
}

} // namespace inllama
