// What a model and an engine over it would take, without taking it.
#pragma once

#include "core/llama/decoder.h"
#include "core/llama/model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace inllama {

// Bytes in one kind of buffer.
struct MemoryUse {
    std::string buffer; // llama.cpp's name: "CPU", "CPU_REPACK", "CUDA0"
    std::string device; // whose memory that is: "CPU", "CUDA0"
    bool is_host;       // main memory
    uint64_t model;     // weights
    uint64_t context;   // KV cache and states
    uint64_t compute;   // what a step needs while it is computed
    uint64_t output;    // logits
};

// A model of which llama.cpp knows everything but the weights: it goes through loading, and through planning
// a step, and allocates nothing but the vocabulary. Engines may run meanwhile.
class MemoryPlan {
  public:
    // Blocks; any thread. Throws as Model does.
    MemoryPlan(const std::string& path, const ModelParams& params);

    // What the model and a decoder would take. Throws as LlamaDecoder does.
    std::vector<MemoryUse> uses(const DecoderParams& decoder) const;

    int n_ctx_train() const { return model_.n_ctx_train(); }
    int n_layer() const { return model_.n_layer(); }

  private:
    Model model_;
};

} // namespace inllama
