// Times llama.cpp's loading alone: bench-load MODEL prints the seconds of the first load of a process as JSON.
#include <llama.h>

#include <chrono>
#include <cstdio>

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s MODEL\n", argv[0]);
        return 2;
    }
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    const auto started = std::chrono::steady_clock::now();
    llama_backend_init();
    llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
    if (model == nullptr) {
        std::fprintf(stderr, "cannot load %s\n", argv[1]);
        return 1;
    }
    std::printf("{\"seconds\": %.9f}\n", elapsed.count());
    llama_model_free(model);
    return 0;
}
