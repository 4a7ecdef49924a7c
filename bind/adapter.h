// The Python face of Adapter: native code shares the adapter itself, so it never needs the GIL to let go of
// it.
#pragma once

#include "bind/module.h"
#include "core/llama/adapter.h"

#include <memory>

namespace inllama {

class PyAdapter {
  public:
    explicit PyAdapter(std::shared_ptr<Adapter> adapter) : adapter_(std::move(adapter)) {}
    ~PyAdapter();
    PyAdapter(const PyAdapter&) = delete;
    PyAdapter& operator=(const PyAdapter&) = delete;

    const std::shared_ptr<Adapter>& adapter() const { return adapter_; }

  private:
    std::shared_ptr<Adapter> adapter_;
};

} // namespace inllama
