// Turns concurrent use of a one-thread-at-a-time object into an error instead of a data race.
#pragma once

#include "core/error.h"

#include <atomic>
#include <string>
#include <thread>

namespace inllama {

// Member of an object that one thread at a time may use; each public method enters through a Guard.
//
// 1. At most one Guard exists at any time. A second one throws, on the same thread too: a method that calls
//    back into its own object would see it half changed.
// 2. What a Guard's holder wrote is visible to the next holder.
// Threads: any. It is not a lock: nobody waits. REQUIRES: no Guard is alive when it is destroyed.
class ExclusiveUse {
  public:
    class Guard {
      public:
        // Enters `use`. `object` names it in the text, e.g. "Context".
        //
        // Throws ConcurrentUseError (field `object`) if a Guard of `use` exists; `use` is unchanged then.
        Guard(ExclusiveUse& use, const char* object) : use_(use) {
            const std::thread::id self = std::this_thread::get_id();
            std::thread::id owner;
            if (!use_.owner_.compare_exchange_strong(owner, self, std::memory_order_acquire,
                                                     std::memory_order_relaxed)) {
                throw_in_use(object, owner == self);
            }
        }
        ~Guard() { use_.owner_.store(std::thread::id(), std::memory_order_release); }
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;

      private:
        [[noreturn]] static void throw_in_use(const std::string& object, bool is_same_thread) {
            const std::string text =
                is_same_thread
                    ? object + " is in use by this thread; do not call it from inside one of its own calls"
                    : object + " is in use by another thread; use one " + object +
                          " per thread or take turns with a lock";
            throw Error(ErrorKind::ConcurrentUseError, text).with("object", object);
        }

        ExclusiveUse& use_;
    };

    ExclusiveUse() = default;
    ExclusiveUse(const ExclusiveUse&) = delete;
    ExclusiveUse& operator=(const ExclusiveUse&) = delete;

  private:
    std::atomic<std::thread::id> owner_{}; // the default id: nobody
};

} // namespace inllama
