#include "core/platform/memory.h"

#include <algorithm>
#include <fstream>
#include <string>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <unistd.h>
#endif

namespace inllama {

namespace {

uint64_t machine_bytes() {
#ifdef _WIN32
    MEMORYSTATUSEX status{};
    status.dwLength = sizeof(status);
    return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : 0;
#else
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes) : 0;
#endif
}

uint64_t cgroup_bytes() {
    std::ifstream file("/sys/fs/cgroup/memory.max");
    uint64_t limit = 0;
    return file >> limit ? limit : 0; // "max" does not parse as a number
}

} // namespace

uint64_t memory_limit_bytes() {
    const uint64_t machine = machine_bytes();
    const uint64_t cgroup = cgroup_bytes();
    return cgroup > 0 && (machine == 0 || cgroup < machine) ? cgroup : machine;
}

} // namespace inllama
