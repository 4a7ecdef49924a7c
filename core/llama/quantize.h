// Weights in fewer bits: a GGUF file made of another one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace inllama {

// How important each input of a tensor is, and where that comes from.
struct Importance {
    std::map<std::string, std::vector<float>> values; // by tensor
    std::string file;
    std::string dataset;
    int n_chunks = 0;
};

struct QuantizeParams {
    std::string type;                 // as llama.cpp's own tool names it: "Q4_K_M"
    int n_threads = 0;                // 0: the machine's
    std::string output_type;          // of the output tensor; empty: as `type` says
    std::string token_embedding_type; // empty: as `type` says
    bool allow_requantize = false;    // also of weights that were quantized before
    bool quantize_output = true;
    bool pure = false; // all tensors alike
    Importance importance;
    std::function<bool(int, int)> progress; // tensors done, of how many; false stops
};

// Writes `target`, which is incomplete if it throws. Blocks; any thread.
//
// Throws InvalidRequestError for an option, ModelLoadError (path, reason; cancelled) for everything else.
void quantize(const std::string& source, const std::string& target, const QuantizeParams& params);

// The names that `type` can have.
std::vector<std::string> quantization_types();

} // namespace inllama
