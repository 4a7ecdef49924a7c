#include "core/platform/cpu.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace inllama {

namespace {

#ifdef __linux__
// Cores are told apart by the list of their hardware threads, which is the same for both of them.
int cores_in_affinity() {
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof(mask), &mask) != 0) {
        return 0;
    }
    std::set<std::string> cores;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(static_cast<size_t>(cpu), &mask)) {
            continue;
        }
        const std::string id = std::to_string(cpu);
        std::ifstream file("/sys/devices/system/cpu/cpu" + id + "/topology/thread_siblings_list");
        std::string siblings;
        cores.insert(std::getline(file, siblings) ? siblings : id);
    }
    return static_cast<int>(cores.size());
}

// The cgroup v2 quota in CPUs; 0 if there is none.
double cgroup_quota() {
    std::ifstream file("/sys/fs/cgroup/cpu.max");
    std::string quota;
    double period = 0;
    if (!(file >> quota >> period) || quota == "max" || period <= 0) {
        return 0;
    }
    try {
        return std::stod(quota) / period;
    } catch (const std::exception&) {
        return 0;
    }
}
#else
int cores_in_affinity() {
    return 0;
}

double cgroup_quota() {
    return 0;
}
#endif

} // namespace

int usable_cores() {
    int cores = cores_in_affinity();
    if (cores == 0) {
        cores = static_cast<int>(std::thread::hardware_concurrency());
    }
    const double quota = cgroup_quota();
    if (quota > 0) {
        cores = std::min(cores, static_cast<int>(std::ceil(quota)));
    }
    return std::max(cores, 1);
}

} // namespace inllama
