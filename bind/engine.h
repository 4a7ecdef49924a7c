// The Python face of Engine, whatever it computes with.
#pragma once

#include "bind/module.h"
#include "core/engine.h"
#include "core/fake_decoder.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace inllama {

class PyEngine {
  public:
    // Ends the thread without the GIL.
    virtual ~PyEngine();
    PyEngine(const PyEngine&) = delete;
    PyEngine& operator=(const PyEngine&) = delete;

    Engine& engine() const { return *engine_; }

    // Throws InvalidRequestError for a token that is not in the vocabulary. Called without the GIL or with
    // it.
    virtual void check_token(Token token) const = 0;

    using SamplerMaker = std::function<std::unique_ptr<RowSampler>(uint32_t seed)>;
    // What makes the samplers of a request, one per output, without the GIL. REQUIRES: the GIL.
    virtual SamplerMaker sampler_maker(const nb::dict& fields, const nb::dict& request,
                                       bool has_processors) const = 0;

  protected:
    explicit PyEngine(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}

  private:
    std::unique_ptr<Engine> engine_;
};

template<class T> T option(const nb::dict& options, const char* name) {
    return nb::cast<T>(options[name]);
}

// Steps that shall fail; held as PyEventQueue holds its queue.
struct PyFaults {
    std::shared_ptr<FakeFaults> faults = std::make_shared<FakeFaults>();
};

// The options that do not depend on what computes.
EngineParams engine_params(const nb::dict& options);

} // namespace inllama
