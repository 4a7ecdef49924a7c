// The error of a file that cannot be loaded.
#pragma once

#include "core/error.h"

#include <string>

namespace inllama {

// ModelLoadError: "could not load PATH: REASON", with both as fields.
inline Error load_error(const std::string& path, const std::string& reason) {
    return Error(ErrorKind::ModelLoadError, "could not load " + path + ": " + reason)
        .with("path", path)
        .with("reason", reason);
}

} // namespace inllama
