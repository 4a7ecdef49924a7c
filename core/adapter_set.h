// Changes to a model's weights that a request computes with.
#pragma once

#include <string>
#include <utility>

namespace inllama {

// Adapters and their scales. What is in it is the decoder's matter; of two sets with the same key there is
// one object only. Immutable; any thread.
class AdapterSet {
  public:
    explicit AdapterSet(std::string key) : key_(std::move(key)) {}
    virtual ~AdapterSet() = default;
    AdapterSet(const AdapterSet&) = delete;
    AdapterSet& operator=(const AdapterSet&) = delete;

    // Names it among all sets, in every process: prefixes are shared by it. Has no line end.
    const std::string& key() const { return key_; }

  private:
    std::string key_;
};

} // namespace inllama
