#include "core/platform/calendar.h"

namespace inllama {

std::tm local_time(std::time_t time) {
    std::tm date = {};
#ifdef _WIN32
    localtime_s(&date, &time);
#else
    localtime_r(&time, &date);
#endif
    return date;
}

} // namespace inllama
