#include "core/llama/adapters.h"

#include "core/error.h"

#include <llama.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <shared_mutex>

namespace inllama {

namespace {

// All of the number: two scales that differ in the last digit are two sets.
std::string bits_of(float scale) {
    uint32_t bits = 0;
    std::memcpy(&bits, &scale, sizeof(bits));
    return std::to_string(bits);
}

} // namespace

void use_adapters(ContextHandle& context, const std::vector<ScaledAdapter>& adapters) {
    std::vector<llama_adapter_lora*> natives;
    std::vector<float> scales;
    for (const auto& [adapter, scale] : adapters) {
        natives.push_back(adapter->native_for(*context.model));
        scales.push_back(checked_scale(scale));
    }
    const std::shared_lock<std::shared_mutex> lock(context.model->adapters);
    if (llama_set_adapters_lora(context.context, natives.data(), natives.size(), scales.data()) != 0) {
        throw Error(ErrorKind::InvalidRequestError, "llama.cpp refused the adapters");
    }
}

std::shared_ptr<const AdapterSet> AdapterSets::get(const ModelHandle& model,
                                                   std::vector<ScaledAdapter> adapters) {
    adapters.erase(std::remove_if(adapters.begin(), adapters.end(),
                                  [](const ScaledAdapter& one) { return one.second == 0; }),
                   adapters.end());
    if (adapters.empty()) {
        return nullptr;
    }
    std::sort(adapters.begin(), adapters.end(), [](const ScaledAdapter& a, const ScaledAdapter& b) {
        return a.first->fingerprint() < b.first->fingerprint();
    });
    std::string key;
    for (const auto& [adapter, scale] : adapters) {
        adapter->native_for(model);
        key += adapter->fingerprint() + '=' + bits_of(checked_scale(scale)) + ';';
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto it = sets_.begin(); it != sets_.end();) {
        it = it->second.expired() ? sets_.erase(it) : std::next(it);
    }
    std::weak_ptr<const AdapterSet>& known = sets_[key];
    std::shared_ptr<const AdapterSet> set = known.lock();
    if (set == nullptr) {
        set = std::make_shared<LlamaAdapterSet>(key, std::move(adapters));
        known = set;
    }
    return set;
}

} // namespace inllama
