// Compiles grammars into structures for one vocabulary.
#pragma once

#include "core/gbnf_ebnf.h"
#include "core/mask_source.h"
#include "core/types.h"
#include "core/vocab.h"

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace inllama {

// Largest grammar, in bytes of its text.
inline constexpr size_t kMaxEbnfBytes = size_t{1} << 20;
// What the structures that are kept for the next request hold together.
inline constexpr size_t kMaxCachedBytes = size_t{128} << 20;

// A grammar as llama.cpp writes them, and what it is about.
struct GbnfSource {
    std::string text;           // begins with the rule "root"
    std::vector<Token> spelled; // control tokens that can come where a literal has their spelling
    std::string hole;           // the rule whose place is taken by `filling`; empty: none
    std::string filling;        // xgrammar's EBNF, begins with the rule "root"
};

// Any thread. Two that want the same structure at once may both compile it.
class StructureCompiler {
  public:
    // Structures of up to `max_cached_bytes` are kept for later calls. The vocabulary is read by the first
    // compile(), which takes about a microsecond per token more.
    explicit StructureCompiler(std::shared_ptr<const Vocab> vocab, size_t max_cached_bytes = kMaxCachedBytes);
    ~StructureCompiler();
    StructureCompiler(const StructureCompiler&) = delete;
    StructureCompiler& operator=(const StructureCompiler&) = delete;

    // The structure of a grammar in xgrammar's EBNF that begins with the rule `root`: the one of an earlier
    // call with the same text, or a new one.
    //
    // Throws GrammarError for a grammar that xgrammar refuses, UnsupportedError for a vocabulary without a
    // token that ends an output. Needs 64 MiB of address space for a stack.
    std::shared_ptr<const Structure> compile(const std::string& ebnf, const std::string& root);

    using FindToken = std::function<std::optional<Token>(std::string_view text)>;
    // The same for GBNF; null if llama.cpp can enforce it and xgrammar cannot. `find_token` gives the token
    // that a text, "<think>" or "<[17]>", names exactly.
    //
    // Throws GrammarError (fields line, column) as check_gbnf does; UnsupportedError instead of null if there
    // is a hole; InvalidRequestError (fields token, n_vocab) for a spelled token that is not in the
    // vocabulary.
    std::shared_ptr<const Structure> compile_gbnf(const GbnfSource& source, const FindToken& find_token);

    // Structures that were compiled, and those that an earlier call had.
    std::pair<uint64_t, uint64_t> counts() const;
    // What the kept structures hold.
    size_t n_cached_bytes() const;

  private:
    struct Native;
    struct Kept {
        std::string key;
        std::shared_ptr<const Structure> structure;
        size_t n_bytes;
    };

    const Native& native();
    std::shared_ptr<const Structure> made(const std::string& ebnf, const std::string& root);
    std::shared_ptr<const Structure> find(const std::string& key);
    std::vector<SpelledToken> spellings(const std::vector<Token>& tokens) const;
    void keep(const std::string& key, const std::shared_ptr<const Structure>& structure);

    std::shared_ptr<const Vocab> vocab_;
    size_t max_cached_bytes_;
    std::once_flag once_;
    std::unique_ptr<Native> native_;

    mutable std::mutex mutex_; // what follows
    std::list<Kept> kept_;     // the last used first
    std::unordered_map<std::string, std::list<Kept>::iterator> places_;
    size_t n_cached_bytes_ = 0;
    uint64_t n_compiled_ = 0;
    uint64_t n_found_ = 0;
};

} // namespace inllama
