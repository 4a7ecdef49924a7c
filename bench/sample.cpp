// Times llama.cpp's chains of samplers alone: bench-sample N_VOCAB ROWS CHAIN CALLS prints the seconds of
// each call as JSON. ROWS is a file of float32 (n_rows, n_vocab), which the calls take in turn; each row has
// a chain and candidates of its own, as requests have.
#include <llama.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace {

constexpr uint32_t kSeed = 1;

std::vector<float> read_rows(const char* path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    std::vector<float> rows(file ? static_cast<size_t>(file.tellg()) / sizeof(float) : 0);
    file.seekg(0);
    file.read(reinterpret_cast<char*>(rows.data()),
              static_cast<std::streamsize>(rows.size() * sizeof(float)));
    return rows;
}

llama_sampler* make_chain(const std::string& name) {
    llama_sampler* chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
    if (name == "greedy") {
        llama_sampler_chain_add(chain, llama_sampler_init_greedy());
        return chain;
    }
    if (name == "default") {
        llama_sampler_chain_add(chain, llama_sampler_init_top_k(40));
    }
    llama_sampler_chain_add(chain, llama_sampler_init_top_p(0.95f, 1));
    llama_sampler_chain_add(chain, llama_sampler_init_min_p(0.05f, 1));
    llama_sampler_chain_add(chain, llama_sampler_init_temp(0.8f));
    llama_sampler_chain_add(chain, llama_sampler_init_dist(kSeed));
    return chain;
}

struct Row {
    const float* logits;
    llama_sampler* chain;
    std::vector<llama_token_data> candidates;
};

// What llama_sampler_sample does with a row of a context.
llama_token sample(Row& row) {
    for (size_t i = 0; i < row.candidates.size(); i++) {
        row.candidates[i] = {static_cast<llama_token>(i), row.logits[i], 0.0f};
    }
    llama_token_data_array array = {row.candidates.data(), row.candidates.size(), -1, false};
    llama_sampler_apply(row.chain, &array);
    const llama_token token = array.data[array.selected].id;
    llama_sampler_accept(row.chain, token);
    return token;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: %s N_VOCAB ROWS default|top_p|greedy CALLS\n", argv[0]);
        return 2;
    }
    const auto n_vocab = static_cast<size_t>(std::atoi(argv[1]));
    const std::vector<float> logits = read_rows(argv[2]);
    const int n_calls = std::atoi(argv[4]);
    if (n_vocab == 0 || logits.size() < n_vocab) {
        std::fprintf(stderr, "%s does not hold a row of %zu numbers\n", argv[2], n_vocab);
        return 1;
    }
    std::vector<Row> rows;
    for (size_t begin = 0; begin + n_vocab <= logits.size(); begin += n_vocab) {
        rows.push_back({logits.data() + begin, make_chain(argv[3]), std::vector<llama_token_data>(n_vocab)});
    }
    for (Row& row : rows) {
        sample(row); // warms up
    }
    int64_t sum = 0;
    std::printf("{\"seconds\": [");
    for (int call = 0; call < n_calls; call++) {
        const auto started = std::chrono::steady_clock::now();
        sum += sample(rows[static_cast<size_t>(call) % rows.size()]);
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
        std::printf("%s%.9f", call == 0 ? "" : ", ", elapsed.count());
    }
    std::printf("], \"sum\": %lld}\n", static_cast<long long>(sum));
    for (const Row& row : rows) {
        llama_sampler_free(row.chain);
    }
    return 0;
}
