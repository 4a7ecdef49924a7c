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
#ifdef __linux__
#include <sys/mman.h>
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 // of Linux 5.14; older headers do not name it, and older systems refuse it
#endif
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

uint64_t number_in(const char* path) {
    std::ifstream file(path);
    uint64_t number = 0;
    return file >> number ? number : 0; // "max" does not parse as a number
}

uint64_t cgroup_bytes() {
    return number_in("/sys/fs/cgroup/memory.max");
}

// The machine's, counting what caches of files take: that is given away when it is needed.
uint64_t available_bytes() {
#ifdef _WIN32
    MEMORYSTATUSEX status{};
    status.dwLength = sizeof(status);
    return GlobalMemoryStatusEx(&status) ? status.ullAvailPhys : 0;
#else
    std::ifstream file("/proc/meminfo");
    std::string name;
    uint64_t kilobytes = 0;
    std::string unit;
    while (file >> name >> kilobytes) {
        if (name == "MemAvailable:") {
            return kilobytes * 1024;
        }
        std::getline(file, unit);
    }
    return 0;
#endif
}

// Of the cgroup's memory, caches of files can be given away.
uint64_t cgroup_cache_bytes() {
    std::ifstream file("/sys/fs/cgroup/memory.stat");
    std::string name;
    uint64_t bytes = 0;
    uint64_t cached = 0;
    while (file >> name >> bytes) {
        if (name == "inactive_file" || name == "active_file") {
            cached += bytes;
        }
    }
    return cached;
}

#ifdef __linux__
// About the whole pages among `n` bytes.
void advise(void* data, size_t n, uintptr_t page_bytes, int advice) noexcept {
    const auto begin = reinterpret_cast<uintptr_t>(data);
    const uintptr_t first = (begin + page_bytes - 1) / page_bytes * page_bytes;
    const uintptr_t end = (begin + n) / page_bytes * page_bytes;
    if (end > first) {
        (void)madvise(reinterpret_cast<void*>(first), end - first, advice);
    }
}
#endif

} // namespace

uint64_t memory_limit_bytes() {
    const uint64_t machine = machine_bytes();
    const uint64_t cgroup = cgroup_bytes();
    return cgroup > 0 && (machine == 0 || cgroup < machine) ? cgroup : machine;
}

uint64_t memory_free_bytes() {
    const uint64_t available = available_bytes();
    const uint64_t limit = cgroup_bytes();
    if (limit == 0) {
        return available;
    }
    const uint64_t used = number_in("/sys/fs/cgroup/memory.current");
    const uint64_t kept = used - std::min(used, cgroup_cache_bytes());
    const uint64_t left = limit - std::min(limit, kept);
    return available == 0 ? left : std::min(available, left);
}

void prefer_large_pages(void* data, size_t n) noexcept {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    advise(data, n, kLargePageBytes, MADV_HUGEPAGE);
#else
    (void)data;
    (void)n;
#endif
}

void populate(void* data, size_t n) noexcept {
#ifdef __linux__
    advise(data, n, static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)), MADV_POPULATE_WRITE);
#else
    (void)data;
    (void)n;
#endif
}

} // namespace inllama
