#include "core/llama/estimate.h"

#include "core/error.h"

#include <llama.h>
// What a context would allocate is in no public function.
#include <llama-ext.h>

namespace inllama {

namespace {

MemoryUse use_of(ggml_backend_buffer_type_t type, const llama_memory_breakdown_data& bytes) {
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    const bool is_host = ggml_backend_buft_is_host(type) || device == nullptr ||
                         ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU;
    return {ggml_backend_buft_name(type),
            device == nullptr ? "CPU" : ggml_backend_dev_name(device),
            is_host,
            bytes.model,
            bytes.context,
            bytes.compute,
            0};
}

ModelParams planned(ModelParams params) {
    params.no_alloc = true;
    params.load_mode = "none"; // a mapped file would be mapped
    return params;
}

} // namespace

MemoryPlan::MemoryPlan(const std::string& path, const ModelParams& params) : model_(path, planned(params)) {}

std::vector<MemoryUse> MemoryPlan::uses(const DecoderParams& decoder) const {
    const std::shared_ptr<ModelHandle> handle = model_.handle();
    const ContextHandle context(handle, decoder_context_params(*handle, decoder));
    std::vector<MemoryUse> uses;
    for (const auto& [type, bytes] : llama_get_memory_breakdown(context.context)) {
        uses.push_back(use_of(type, bytes));
    }
    const auto n_vocab = static_cast<uint64_t>(llama_vocab_n_tokens(handle->vocab()));
    const uint64_t output = n_vocab * sizeof(float) * static_cast<uint64_t>(context.n_outputs_max);
    uses.push_back({"output", "CPU", true, 0, 0, 0, output});
    return uses;
}

} // namespace inllama
