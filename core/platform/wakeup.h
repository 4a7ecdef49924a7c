// A descriptor that an event loop can wait for, and how to make it readable.
#pragma once

namespace inllama {

struct Wakeup {
    int read = -1;
    int write = -1; // the same where one descriptor does both
};

// Both non-blocking and closed on exec; -1 if the system has no more.
Wakeup make_wakeup();
// Makes `read` readable until clear_wakeup(). Any thread.
void signal_wakeup(const Wakeup& wakeup);
void clear_wakeup(const Wakeup& wakeup);
void close_wakeup(const Wakeup& wakeup);

} // namespace inllama
