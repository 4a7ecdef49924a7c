#include "tests/core/check.h"

#include <cstring>

// Usage: program [part of a test's name]
int main(int argc, char** argv) {
    const char* filter = argc > 1 ? argv[1] : "";
    int n_passed = 0;
    int n_failed_tests = 0;
    for (const check::Test& test : check::tests()) {
        if (std::strstr(test.name, filter) == nullptr)
            continue;
        check::n_failed = 0;
        check::running_test = test.name;
        try {
            test.body();
        } catch (const std::exception& error) {
            check::fail(__FILE__, __LINE__, std::string("uncaught exception: ") + error.what());
        }
        check::n_failed == 0 ? n_passed++ : n_failed_tests++;
    }
    std::printf("%d passed, %d failed\n", n_passed, n_failed_tests);
    return n_failed_tests == 0 && n_passed > 0 ? 0 : 1;
}
