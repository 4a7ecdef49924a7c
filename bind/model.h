// The Python face of Model: it also remembers its tokenizer.
#pragma once

#include "bind/module.h"
#include "core/llama/model.h"
#include "core/llama/tokenizer.h"

#include <memory>

namespace inllama {

class PyModel : public Model {
  public:
    using Model::Model;
    ~PyModel();
    PyModel(const PyModel&) = delete;
    PyModel& operator=(const PyModel&) = delete;

    // Also lets go of the tokenizer, which holds the weights. REQUIRES: the GIL.
    void close_all();
    // Made on first use. REQUIRES: the GIL.
    std::shared_ptr<const Tokenizer> tokenizer() const;

  private:
    mutable nb::ft_mutex mutex_;
    mutable std::shared_ptr<const Tokenizer> tokenizer_;
};

} // namespace inllama
