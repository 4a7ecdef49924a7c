// Times what inllama checks of a file before llama.cpp opens it: bench-check MODEL prints the seconds of the first check
// of a process, and of the next one, as JSON.
#include "core/gguf.h"
#include "core/gguf_rules.h"
#include "core/platform/regular_file.h"

#include <chrono>
#include <cstdio>
#include <exception>

namespace {

double check_s(const char* path) {
    using inllama::Gguf;
    const auto started = std::chrono::steady_clock::now();
    inllama::RegularFile file(path);
    inllama::check_gguf_model(Gguf(file, Gguf::Extent::file, inllama::gguf_rules_want));
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
    return elapsed.count();
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s MODEL\n", argv[0]);
        return 2;
    }
    try {
        const double first = check_s(argv[1]);
        std::printf("{\"first\": %.9f, \"next\": %.9f}\n", first, check_s(argv[1]));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
