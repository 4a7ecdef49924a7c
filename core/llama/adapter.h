// A LoRA adapter: a small change to a model's weights that a context can switch on.
#pragma once

#include "core/llama/model.h"

#include <map>
#include <memory>
#include <string>

struct llama_adapter_lora;

namespace inllama {

// Immutable; any thread. Keeps the model's handle alive; contexts that use it keep it alive.
class Adapter {
  public:
    // Reads the GGUF at `path`. Throws ModelLoadError (fields path, reason): not an adapter, another base
    // model.
    Adapter(std::shared_ptr<ModelHandle> model, const std::string& path);
    ~Adapter();
    Adapter(const Adapter&) = delete;
    Adapter& operator=(const Adapter&) = delete;

    // llama.cpp's adapter; throws InvalidRequestError unless it belongs to `model`.
    llama_adapter_lora* native_for(const ModelHandle& model) const;

    const std::string& path() const { return path_; }
    // Tells its file from others, in every process.
    const std::string& fingerprint() const { return fingerprint_; }
    std::map<std::string, std::string> metadata() const;

  private:
    std::string path_;
    std::shared_ptr<ModelHandle> model_;
    llama_adapter_lora* adapter_;
    std::string fingerprint_;
};

// Throws InvalidRequestError unless `scale` is finite.
float checked_scale(float scale);

} // namespace inllama
