// What this process may use of the machine's CPUs.
#pragma once

namespace inllama {

// The number of physical cores that this process may run on: its CPU affinity, without a second hardware
// thread of the same core, and at most its cgroup's CPU quota (rounded up). At least 1. Any thread.
int usable_cores();

} // namespace inllama
