#include "core/platform/wakeup.h"

#include <cstdint>

#ifdef _WIN32
// An event loop there waits for sockets only; asynchronous faces need a port of this file.
namespace inllama {

Wakeup make_wakeup() {
    return {};
}
void signal_wakeup(const Wakeup&) {}
void clear_wakeup(const Wakeup&) {}
void close_wakeup(const Wakeup&) {}

} // namespace inllama
#else
#include <fcntl.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

namespace inllama {

Wakeup make_wakeup() {
#ifdef __linux__
    const int both = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return {both, both};
#else
    int ends[2];
    if (pipe(ends) != 0) {
        return {};
    }
    for (const int end : ends) {
        fcntl(end, F_SETFD, FD_CLOEXEC);
        fcntl(end, F_SETFL, O_NONBLOCK);
    }
    return {ends[0], ends[1]};
#endif
}

void signal_wakeup(const Wakeup& wakeup) {
    const uint64_t one = 1;
    // A full pipe is readable already.
    [[maybe_unused]] const ssize_t n = write(wakeup.write, &one, sizeof(one));
}

void clear_wakeup(const Wakeup& wakeup) {
    uint64_t values[64];
    while (read(wakeup.read, values, sizeof(values)) == static_cast<ssize_t>(sizeof(values))) {
    }
}

void close_wakeup(const Wakeup& wakeup) {
    if (wakeup.read >= 0) {
        close(wakeup.read);
    }
    if (wakeup.write >= 0 && wakeup.write != wakeup.read) {
        close(wakeup.write);
    }
}

} // namespace inllama
#endif
