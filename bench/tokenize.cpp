// Times llama_tokenize alone: bench-tokenize VOCABULARY TEXT REPEATS prints the seconds of each repeat as
// JSON.
#include <llama.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

std::string read_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: %s VOCABULARY TEXT REPEATS\n", argv[0]);
        return 2;
    }
    const std::string text = read_file(argv[2]);
    const int n_repeats = std::atoi(argv[3]);
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    llama_model* model = llama_model_load_from_file(argv[1], params);
    if (model == nullptr || text.empty()) {
        std::fprintf(stderr, "cannot read %s or %s\n", argv[1], argv[2]);
        return 1;
    }
    const llama_vocab* vocab = llama_model_get_vocab(model);
    std::vector<llama_token> tokens(text.size() + 8);
    int32_t n_tokens = 0;
    std::printf("{\"seconds\": [");
    for (int repeat = -1; repeat < n_repeats; repeat++) { // the first one warms up
        const auto started = std::chrono::steady_clock::now();
        n_tokens = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                                  static_cast<int32_t>(tokens.size()), true, false);
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
        if (repeat >= 0) {
            std::printf("%s%.9f", repeat == 0 ? "" : ", ", elapsed.count());
        }
    }
    std::printf("], \"n_tokens\": %d}\n", n_tokens);
    llama_model_free(model);
    return 0;
}
