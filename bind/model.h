// The Python face of Model: it also remembers its tokenizer and compiler.
#pragma once

#include "bind/module.h"
#include "core/llama/model.h"
#include "core/llama/tokenizer.h"
#include "core/xgrammar/compiler.h"

#include <memory>

namespace inllama {

class PyModel : public Model {
  public:
    using Model::Model;
    ~PyModel();
    PyModel(const PyModel&) = delete;
    PyModel& operator=(const PyModel&) = delete;

    // Also lets go of the tokenizer and the compiler, which hold the weights. REQUIRES: the GIL.
    void close_all();
    // Made on first use. REQUIRES: the GIL.
    std::shared_ptr<const Tokenizer> tokenizer() const;
    // The same; what all engines of the model compile structures with.
    std::shared_ptr<StructureCompiler> structures() const;

  private:
    mutable nb::ft_mutex mutex_;
    mutable std::shared_ptr<const Tokenizer> tokenizer_;
    mutable std::shared_ptr<StructureCompiler> structures_;
};

// A number of layers, or "auto". Throws TypeError.
std::optional<int64_t> layers_of(nb::handle gpu_layers);
// Replaced entries of a model's metadata.
std::map<std::string, MetadataValue> metadata_values(const nb::dict& entries);

} // namespace inllama
