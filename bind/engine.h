// The Python face of Engine, whatever it computes with.
#pragma once

#include "bind/module.h"
#include "bind/structure.h"
#include "core/engine.h"
#include "core/fake_decoder.h"
#include "core/llama/decoder.h"
#include "core/xgrammar/compiler.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace inllama {

class PyEngine {
  public:
    // Ends the thread without the GIL.
    virtual ~PyEngine();
    PyEngine(const PyEngine&) = delete;
    PyEngine& operator=(const PyEngine&) = delete;

    Engine& engine() const { return *engine_; }
    const std::shared_ptr<const Vocab>& vocab() const { return vocab_; }

    // Throws InvalidRequestError for a token that is not in the vocabulary. Called without the GIL or with
    // it.
    virtual void check_token(Token token) const = 0;

    // What a grammar, "gbnf" or xgrammar's "ebnf", asks of an output. Throws GrammarError. Without the GIL.
    virtual PyStructure structure(const std::string& kind, const GbnfSource& source) const = 0;
    // What compiles them.
    virtual const StructureCompiler& structures() const = 0;

    // The pooling of texts: the model's own, or the one asked for. Throws UnsupportedError. Without the GIL,
    // like all that follows.
    virtual std::string pooling(const std::optional<std::string>& asked) const = 0;
    virtual EmbedderLimits embedder_limits(const std::string& pooling) const = 0;
    // Gives the engine an embedder that takes texts of `n_rows` tokens, unless it has one.
    virtual void need_embedder(const std::string& pooling, int64_t n_rows) = 0;

    // The adapters that a request asks for, by its key "adapters"; null: none. REQUIRES: the GIL.
    virtual std::shared_ptr<const AdapterSet> adapters(const nb::dict& request) = 0;

    using SamplerMaker = std::function<std::unique_ptr<RowSampler>(uint32_t seed)>;
    // What makes the samplers of a request, one per output, without the GIL. REQUIRES: the GIL.
    virtual SamplerMaker sampler_maker(const nb::dict& fields, const nb::dict& request,
                                       bool has_processors) const = 0;

  protected:
    PyEngine(std::unique_ptr<Engine> engine, std::shared_ptr<const Vocab> vocab)
        : engine_(std::move(engine)), vocab_(std::move(vocab)) {}

  private:
    std::unique_ptr<Engine> engine_;
    std::shared_ptr<const Vocab> vocab_;
};

template<class T> T option(const nb::dict& options, const char* name) {
    return nb::cast<T>(options[name]);
}

// Steps that shall fail; held as PyEventQueue holds its queue.
struct PyFaults {
    std::shared_ptr<FakeFaults> faults = std::make_shared<FakeFaults>();
};

// Wraps the samplers of a request that has a compiled structure. REQUIRES: the GIL.
PyEngine::SamplerMaker masked(PyEngine::SamplerMaker inner, const nb::dict& request,
                              std::shared_ptr<const Vocab> vocab);

// Compiles a grammar of any kind. Throws as PyEngine::structure.
PyStructure compiled_structure(StructureCompiler& compiler, const std::string& kind, const GbnfSource& source,
                               const StructureCompiler::FindToken& find_token);

// What a decoder of llama.cpp is made with.
DecoderParams decoder_params(const nb::dict& options);

// The options that do not depend on what computes.
EngineParams engine_params(const nb::dict& options);

} // namespace inllama
