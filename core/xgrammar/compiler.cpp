#include "core/xgrammar/compiler.h"

#include "core/error.h"
#include "core/gbnf.h"
#include "core/platform/stack.h"
#include "core/xgrammar/log.h"
#include "core/xgrammar/mask_source.h"

#include <xgrammar/compiler.h>
#include <xgrammar/matcher.h>

#include <vector>

namespace inllama {

namespace {

// xgrammar's passes recurse from rule to rule.
constexpr size_t kStackBytes = size_t{64} << 20;
constexpr char kNoText = '\xFF'; // never part of UTF-8

xgrammar::TokenizerInfo tokenizer_info(const Vocab& vocab) {
    std::vector<std::string> bytes(static_cast<size_t>(vocab.size()));
    std::vector<int32_t> ends;
    for (Token token = 0; token < vocab.size(); token++) {
        std::string& text = bytes[static_cast<size_t>(token)];
        if (vocab.ends(token)) {
            ends.push_back(token);
            continue;
        }
        vocab.append_bytes(token, text);
        if (text.empty()) {
            // xgrammar forgets tokens without text. This is none: a grammar can only name the token.
            text = kNoText;
            vocab.append_spelling(token, text);
        }
    }
    if (ends.empty()) {
        throw Error(ErrorKind::UnsupportedError,
                    "the vocabulary has no token that ends an output, so no structure could end");
    }
    return xgrammar::TokenizerInfo(bytes, xgrammar::VocabType::RAW, vocab.size(), ends);
}

Error refused(const std::string& why) {
    return Error(ErrorKind::GrammarError, "the grammar cannot be enforced: " + why);
}

// cmake/xgrammar.cmake mends a fault by which automata match too much. A tree that has it must not be used.
void check_automata() {
    const xgrammar::TokenizerInfo letters({"0", "1", "e", "end"}, xgrammar::VocabType::RAW, 4, {{3}});
    xgrammar::GrammarCompiler compiler(letters, /*max_threads=*/1, /*cache_enabled=*/false);
    xgrammar::GrammarMatcher matcher(compiler.CompileGrammar("root ::= Regex(\"(?:0|[01e]|(?:0){1,3})\")\n"));
    if (matcher.AcceptString("10")) {
        throw Error(
            ErrorKind::UnsupportedError,
            "the xgrammar that this copy was built with matches too much; build it with the pinned one");
    }
}

} // namespace

struct StructureCompiler::Native {
    explicit Native(const Vocab& vocab)
        // One thread: an exception of another would end the process. No cache: ours is bounded.
        : compiler(tokenizer_info(vocab), /*max_threads=*/1, /*cache_enabled=*/false) {
        check_automata();
    }

    mutable xgrammar::GrammarCompiler compiler;
};

StructureCompiler::StructureCompiler(std::shared_ptr<const Vocab> vocab, size_t max_cached_bytes)
    : vocab_(std::move(vocab)), max_cached_bytes_(max_cached_bytes) {}

StructureCompiler::~StructureCompiler() = default;

const StructureCompiler::Native& StructureCompiler::native() {
    std::call_once(once_, [this] { native_ = std::make_unique<Native>(*vocab_); });
    return *native_;
}

std::shared_ptr<const Structure> StructureCompiler::find(const std::string& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto place = places_.find(key);
    if (place == places_.end()) {
        return nullptr;
    }
    n_found_++;
    kept_.splice(kept_.begin(), kept_, place->second);
    return kept_.front().structure;
}

void StructureCompiler::keep(const std::string& key, const std::shared_ptr<const Structure>& structure) {
    const size_t n_bytes = 2 * key.size() + structure->n_bytes();
    const std::lock_guard<std::mutex> lock(mutex_);
    n_compiled_++;
    if (n_bytes > max_cached_bytes_ || places_.count(key) > 0) {
        return;
    }
    kept_.push_front({key, structure, n_bytes});
    places_[key] = kept_.begin();
    n_cached_bytes_ += n_bytes;
    while (n_cached_bytes_ > max_cached_bytes_) {
        n_cached_bytes_ -= kept_.back().n_bytes;
        places_.erase(kept_.back().key);
        kept_.pop_back();
    }
}

std::shared_ptr<const Structure> StructureCompiler::made(const std::string& ebnf, const std::string& root) {
    if (ebnf.size() > kMaxEbnfBytes) {
        throw refused("it has " + std::to_string(ebnf.size()) + " bytes written out, the limit is " +
                      std::to_string(kMaxEbnfBytes) + "; make it smaller")
            .with("n_bytes", ebnf.size())
            .with("limit", kMaxEbnfBytes);
    }
    const Native& compiler = native();
    std::shared_ptr<const Structure> structure;
    run_with_stack(kStackBytes, [&] {
        const XgrammarLog log; // of the thread that compiles
        try {
            structure = make_structure(compiler.compiler.CompileGrammar(ebnf, root), vocab_->size());
        } catch (const Error&) {
            throw;
        } catch (const std::bad_alloc&) {
            throw Error(ErrorKind::InsufficientMemoryError, "there is not enough memory for this grammar");
        } catch (const std::exception& error) {
            throw refused(error.what());
        }
        if (!log.warnings().empty()) {
            throw refused(log.warnings()); // what xgrammar only warns of, it does not enforce
        }
    });
    return structure;
}

std::shared_ptr<const Structure> StructureCompiler::compile(const std::string& ebnf,
                                                            const std::string& root) {
    const std::string key = "ebnf " + root + '\n' + ebnf;
    std::shared_ptr<const Structure> structure = find(key);
    if (!structure) {
        structure = made(ebnf, root);
        keep(key, structure);
    }
    return structure;
}

std::vector<SpelledToken> StructureCompiler::spellings(const std::vector<Token>& tokens) const {
    std::vector<SpelledToken> found;
    for (const Token token : tokens) {
        check_token(token, vocab_->size());
        std::string bytes;
        vocab_->append_bytes(token, bytes);
        std::string spelling;
        vocab_->append_spelling(token, spelling);
        // Others are text themselves, or end the output.
        if (bytes.empty() && !spelling.empty() && !vocab_->ends(token)) {
            found.push_back({spelling, token});
        }
    }
    return found;
}

std::shared_ptr<const Structure> StructureCompiler::compile_gbnf(const GbnfSource& source,
                                                                 const FindToken& find_token) {
    std::string key = "gbnf";
    for (const Token token : source.spelled) {
        key += " " + std::to_string(token);
    }
    key += "\n" + source.hole + "\n" + source.filling + "\n" + source.text;
    if (std::shared_ptr<const Structure> found = find(key)) {
        return found;
    }
    check_gbnf(source.text, "root", [&](std::string_view text) { return find_token(text).has_value(); });
    const auto token_of = [&](std::string_view text) {
        const Token token = find_token(text).value();
        if (vocab_->ends(token)) {
            throw refused("a token that ends the output comes where the grammar does, and not inside");
        }
        return token;
    };
    const std::vector<SpelledToken> spelled = spellings(source.spelled);
    std::shared_ptr<const Structure> structure;
    try {
        const EbnfGrammar ebnf = gbnf_to_ebnf(source.text, "root", token_of, {spelled, source.hole});
        structure = made(ebnf.text + source.filling, ebnf.root);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::GrammarError && error.kind() != ErrorKind::UnsupportedError) {
            throw;
        }
        if (!source.hole.empty()) {
            throw Error(ErrorKind::UnsupportedError,
                        "the format of this model's answers cannot have this structure inside: " +
                            error.message());
        }
        return nullptr;
    }
    keep(key, structure);
    return structure;
}

std::pair<uint64_t, uint64_t> StructureCompiler::counts() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return {n_compiled_, n_found_};
}

size_t StructureCompiler::n_cached_bytes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return n_cached_bytes_;
}

} // namespace inllama
