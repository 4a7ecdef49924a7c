// What can be said about a GGUF file before llama.cpp opens it.
#pragma once

#include "core/error.h"

#include <string>

namespace inllama {

// "could not load PATH: REASON", with both as fields.
Error load_error(const std::string& path, const std::string& reason);

// Tells files apart by their size and up to 4 MiB of them, of which three quarters lie evenly over the file.
// Of a model in several files, by all of them.
std::string file_fingerprint(const std::string& path);

// Throws ModelLoadError unless `path` is a readable, regular file that starts like a GGUF.
//
// A FIFO or device must not reach llama.cpp: opening or reading it may block for ever.
void check_gguf_file(const std::string& path);

} // namespace inllama
