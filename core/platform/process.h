// The process that the code runs in.
#pragma once

#include <cstdint>

namespace inllama {

int64_t process_id();

} // namespace inllama
