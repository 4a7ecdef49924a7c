#include "check.h"
#include "core/platform/memory.h"

#include <vector>

using namespace inllama;

TEST("memory that is taken at once keeps what it holds, wherever it begins and ends") {
    constexpr size_t kBytes = 5 << 16;
    std::vector<unsigned char> bytes(kBytes);
    for (size_t i = 0; i < kBytes; i++) {
        bytes[i] = static_cast<unsigned char>(i % 251);
    }
    for (const size_t begin : {size_t{0}, size_t{1}, size_t{4095}, size_t{70000}}) {
        for (const size_t n : {size_t{0}, size_t{1}, size_t{4096}, size_t{9000}, kBytes - 70000}) {
            populate(bytes.data() + begin, n);
        }
    }
    size_t n_changed = 0;
    for (size_t i = 0; i < kBytes; i++) {
        n_changed += bytes[i] != i % 251;
    }
    CHECK_EQ(n_changed, 0u);
}

TEST("what this process may use is no less than what is free") {
    CHECK(memory_limit_bytes() >= memory_free_bytes());
}
