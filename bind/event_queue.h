// The Python face of an event queue.
#pragma once

#include "bind/module.h"
#include "core/event_queue.h"

#include <cstdint>
#include <memory>
#include <unordered_map>

namespace inllama {

// Holds the queue beside the engines that write to it. A pointer to the Python object would be no substitute:
// letting go of it takes the GIL, and the last to let go may be an engine's thread.
//
// Threads: as the queue; `unread` belongs to the consumer.
struct PyEventQueue {
    std::shared_ptr<EventQueue> queue = std::make_shared<EventQueue>();
    int64_t process; // that it was made in
    // Of requests whose events were taken but not read yet, and which have not ended.
    std::unordered_map<uint64_t, std::shared_ptr<RequestControl>> unread;

    PyEventQueue();
    // In a child of that process nothing is freed: who waits for the queue's locks is in the parent.
    ~PyEventQueue();
    PyEventQueue(const PyEventQueue&) = delete;
    PyEventQueue& operator=(const PyEventQueue&) = delete;
    // Throws ForkedEngineError in a child of that process: nobody writes to the queue there.
    void check_process() const;
};

} // namespace inllama
