// The date, here and now.
#pragma once

#include <ctime>

namespace inllama {

// `time` in the time zone of the machine. Any thread; std::localtime is for one at a time.
std::tm local_time(std::time_t time);

} // namespace inllama
