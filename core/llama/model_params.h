// Checks ModelParams and turns them into llama.cpp's struct. Seen by core/llama/ only.
#pragma once

#include "core/llama/model.h"

#include <llama.h>

#include <vector>

namespace inllama {

// llama_model_params and everything it points to. Pinned in place, since the struct points into it.
class LlamaModelParams {
  public:
    // Throws InvalidRequestError for a value that llama.cpp cannot take. `params` must outlive this object.
    explicit LlamaModelParams(const ModelParams& params);
    LlamaModelParams(const LlamaModelParams&) = delete;
    LlamaModelParams& operator=(const LlamaModelParams&) = delete;

    const llama_model_params& get() const { return native_; }

  private:
    void set_devices(const std::vector<std::string>& names);
    void set_tensor_split(const std::vector<float>& shares);
    void set_kv_overrides(const std::map<std::string, MetadataValue>& overrides);
    void set_tensor_overrides(const std::vector<std::pair<std::string, std::string>>& overrides);

    llama_model_params native_;
    std::vector<ggml_backend_dev_t> devices_;
    std::vector<float> tensor_split_;
    std::vector<llama_model_kv_override> kv_overrides_;
    std::vector<llama_model_tensor_buft_override> tensor_overrides_;
};

} // namespace inllama
