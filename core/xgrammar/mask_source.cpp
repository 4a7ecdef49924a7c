#include "core/xgrammar/mask_source.h"

#include "core/error.h"

#include <xgrammar/matcher.h>

#include <new>
#include <string>

namespace inllama {

namespace {

// Runs a call of xgrammar's; what it throws becomes an Error.
template<class Call> auto guarded(Call&& call) {
    try {
        return call();
    } catch (const Error&) {
        throw;
    } catch (const std::bad_alloc&) {
        throw Error(ErrorKind::InsufficientMemoryError, "there is not enough memory to follow the structure");
    } catch (const std::exception& error) {
        throw Error(ErrorKind::GrammarError, std::string("the structure failed: ") + error.what());
    }
}

class XgrammarMaskSource : public MaskSource {
  public:
    XgrammarMaskSource(const xgrammar::CompiledGrammar& compiled, int n_tokens)
        : matcher_(compiled), n_words_(static_cast<int64_t>(mask_words(n_tokens))) {}

    bool fill(uint32_t* mask) override {
        DLTensor tensor{};
        tensor.data = mask;
        tensor.device = DLDevice{kDLCPU, 0};
        tensor.ndim = 1;
        tensor.dtype = xgrammar::GetBitmaskDLType();
        tensor.shape = &n_words_;
        return guarded([&] { return matcher_.FillNextTokenBitmask(&tensor); });
    }

    bool accept(Token token) override {
        return guarded([&] { return matcher_.AcceptToken(token); });
    }

    bool accept_bytes(std::string_view bytes) override {
        return guarded([&] { return matcher_.AcceptString(std::string(bytes)); });
    }

    void rollback(int n) override {
        guarded([&] { matcher_.Rollback(n); });
    }

    bool can_end() const override { return matcher_.IsCompleted() && !matcher_.IsTerminated(); }
    bool is_done() const override { return matcher_.IsTerminated(); }

  private:
    xgrammar::GrammarMatcher matcher_;
    int64_t n_words_;
};

class XgrammarStructure : public Structure {
  public:
    XgrammarStructure(const xgrammar::CompiledGrammar& compiled, int n_tokens)
        : compiled_(compiled), n_tokens_(n_tokens) {}

    std::unique_ptr<MaskSource> start() const override {
        return guarded([&] { return std::make_unique<XgrammarMaskSource>(compiled_, n_tokens_); });
    }
    int n_tokens() const override { return n_tokens_; }
    size_t n_bytes() const override { return compiled_.MemorySizeBytes(); }

  private:
    xgrammar::CompiledGrammar compiled_;
    int n_tokens_;
};

} // namespace

std::shared_ptr<const Structure> make_structure(const xgrammar::CompiledGrammar& compiled, int n_tokens) {
    return std::make_shared<XgrammarStructure>(compiled, n_tokens);
}

} // namespace inllama
