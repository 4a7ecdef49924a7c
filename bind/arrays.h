// Python sequences to C++ vectors and C++ vectors to numpy arrays.
#pragma once

#include "bind/module.h"
#include "core/types.h"

#include <nanobind/ndarray.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace inllama {

// The integers of a numpy array (any integer type) or of any other sequence. Throws InvalidRequestError,
// which names `what`, for one that does not fit 32 bits; TypeError for anything that is not an integer.
std::vector<int32_t> integers(nb::handle values, const char* what);

// The UTF-8 bytes of a str, valid as long as the str lives. Throws InvalidRequestError for a lone surrogate,
// which has no UTF-8 form, and TypeError for anything but a str.
std::string_view utf8(nb::handle text);

// A str of bytes that the file system or llama.cpp gave: what is not UTF-8 survives, as in os.fsdecode.
nb::str text_of(const std::string& bytes);

// The bytes of a path (str, bytes or os.PathLike), as the file system takes them.
std::string file_path(nb::handle path);

using TokenArray = nb::ndarray<nb::numpy, int32_t, nb::ndim<1>>;
using FloatArray = nb::ndarray<nb::numpy, float, nb::ndim<1>>;
using FloatView = nb::ndarray<nb::numpy, const float, nb::ndim<1>>;

// Imports numpy, which runs much Python code, as a counted call; to be done before an array is made.
void need_numpy();

// A numpy array that owns the vector's storage: no copy.
TokenArray to_array(std::vector<int32_t>&& values);
FloatArray to_array(std::vector<float>&& values);

} // namespace inllama
