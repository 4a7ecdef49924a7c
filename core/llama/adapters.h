// Adapters with their scales, as a context uses them and as a request asks for them.
#pragma once

#include "core/adapter_set.h"
#include "core/llama/adapter.h"
#include "core/llama/context.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace inllama {

using ScaledAdapter = std::pair<std::shared_ptr<Adapter>, float>;

// Makes a context use these adapters and no others; they must live until it uses others. Throws
// InvalidRequestError for one of another model, or a scale that is not finite.
void use_adapters(ContextHandle& context, const std::vector<ScaledAdapter>& adapters);

class LlamaAdapterSet : public AdapterSet {
  public:
    LlamaAdapterSet(std::string key, std::vector<ScaledAdapter> adapters)
        : AdapterSet(std::move(key)), adapters_(std::move(adapters)) {}

    const std::vector<ScaledAdapter>& adapters() const { return adapters_; }

  private:
    std::vector<ScaledAdapter> adapters_;
};

// The sets of an engine's requests: one object for all that have the same adapters and scales. Any thread.
class AdapterSets {
  public:
    // Null if no adapter has a scale other than 0. Throws InvalidRequestError for one of another model.
    std::shared_ptr<const AdapterSet> get(const ModelHandle& model, std::vector<ScaledAdapter> adapters);

  private:
    std::mutex mutex_;
    std::map<std::string, std::weak_ptr<const AdapterSet>> sets_; // by key
};

} // namespace inllama
