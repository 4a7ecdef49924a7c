// Times what inllama checks of a file before llama.cpp opens it: bench-check MODEL prints the seconds of the first check
// of a process as JSON.
#include "core/gguf.h"
#include "core/gguf_rules.h"
#include "core/platform/regular_file.h"

#include <chrono>
#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s MODEL\n", argv[0]);
        return 2;
    }
    try {
        const auto started = std::chrono::steady_clock::now();
        inllama::RegularFile file(argv[1]);
        inllama::check_gguf_model(inllama::Gguf(file));
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
        std::printf("{\"seconds\": %.9f}\n", elapsed.count());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
