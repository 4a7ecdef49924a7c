#include "core/structure_start.h"

#include "core/error.h"
#include "core/platform/stack.h"

#include <algorithm>

namespace inllama {

namespace {

// std::regex recurses per parenthesis when it is made and per character when it searches.
constexpr size_t kPatternStackBytes = size_t{64} << 20;
constexpr size_t kSearchStackBytes = size_t{256} << 20;

bool contains(const std::vector<Token>& tokens, Token token) {
    return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

std::regex compiled(const std::string& pattern) {
    if (pattern.empty() || pattern.size() > kMaxPatternBytes || pattern.find('\0') != std::string::npos) {
        throw Error(ErrorKind::GrammarError, "a trigger pattern has " + std::to_string(pattern.size()) +
                                                 " bytes but must have 1 to " +
                                                 std::to_string(kMaxPatternBytes) + " without NUL")
            .with("limit", kMaxPatternBytes);
    }
    std::regex made;
    try {
        run_with_stack(kPatternStackBytes, [&] { made = std::regex(pattern); });
    } catch (const std::regex_error& error) {
        throw Error(ErrorKind::GrammarError,
                    "the trigger pattern '" + pattern + "' is not a regular expression: " + error.what());
    }
    return made;
}

void check_texts(const std::vector<std::string>& texts) {
    if (std::any_of(texts.begin(), texts.end(), [](const std::string& text) { return text.empty(); })) {
        throw Error(ErrorKind::GrammarError,
                    "a text at which a structure begins is empty; leave it out to begin at once");
    }
}

void check_tokens(const std::vector<Token>& tokens, int n_tokens) {
    for (const Token token : tokens) {
        check_token(token, n_tokens);
    }
}

bool is_about_everything(const std::string& pattern) {
    return pattern.front() == '^' && pattern.back() == '$';
}

} // namespace

StructureTrigger::StructureTrigger(StructureStart start, std::shared_ptr<const Vocab> vocab)
    : start_(std::move(start)), vocab_(std::move(vocab)), is_beyond_(start_.beyond.empty()) {
    check_texts(start_.after);
    check_texts(start_.at);
    check_texts(start_.beyond);
    check_tokens(start_.tokens, vocab_->size());
    check_tokens(start_.spelled, vocab_->size());
    for (const auto* texts : {&start_.after, &start_.at, &start_.beyond}) {
        for (const std::string& text : *texts) {
            n_kept_ = std::max(n_kept_, text.size() - 1);
        }
    }
    for (const std::string& pattern : start_.patterns) {
        patterns_.push_back(compiled(pattern));
    }
}

// Whether the output is past what does not count; forgets it then.
bool StructureTrigger::pass(size_t n_old) {
    size_t end = std::string::npos;
    for (const std::string& text : start_.beyond) {
        const size_t found = text_.find(text, n_old - std::min(n_old, text.size() - 1));
        end = std::min(end, found == std::string::npos ? found : found + text.size());
    }
    is_beyond_ = end != std::string::npos;
    const size_t n_seen = is_beyond_ ? end : text_.size() - std::min(text_.size(), n_kept_);
    text_.erase(0, n_seen);
    return is_beyond_;
}

std::optional<StructureTrigger::Begun> StructureTrigger::push(Token token) {
    if (is_beyond_ && contains(start_.tokens, token)) {
        Begun begun;
        begun.token = token;
        vocab_->append_spelling(token, begun.bytes);
        return begun;
    }
    size_t n_old = text_.size();
    if (contains(start_.spelled, token)) {
        vocab_->append_spelling(token, text_);
    } else {
        vocab_->append_bytes(token, text_);
    }
    if (!is_beyond_) {
        if (!pass(n_old)) {
            return std::nullopt;
        }
        n_old = 0;
    }
    std::optional<Begun> begun = find_text(n_old);
    if (begun || patterns_.empty()) {
        text_.erase(0, text_.size() - std::min(text_.size(), n_kept_));
        return begun;
    }
    if (text_.size() > kMaxBytesBeforeStart) {
        throw Error(ErrorKind::GrammarError, "the structure's trigger did not come within " +
                                                 std::to_string(kMaxBytesBeforeStart) + " bytes")
            .with("limit", kMaxBytesBeforeStart);
    }
    if (text_.size() > n_old) {
        run_with_stack(kSearchStackBytes, [&] { begun = find_pattern(); });
    }
    return begun;
}

// Of several texts the one that ends first counts.
std::optional<StructureTrigger::Begun> StructureTrigger::find_text(size_t n_old) const {
    size_t end = std::string::npos;
    size_t begin = 0;
    const auto look_for = [&](const std::vector<std::string>& texts, bool is_after) {
        for (const std::string& text : texts) {
            const size_t from = n_old - std::min(n_old, text.size() - 1);
            const size_t found = text_.find(text, from);
            if (found != std::string::npos && found + text.size() < end) {
                end = found + text.size();
                begin = is_after ? text_.find_first_not_of(" \t\r\n", end) : found;
            }
        }
    };
    look_for(start_.at, false);
    look_for(start_.after, true);
    if (end == std::string::npos) {
        return std::nullopt;
    }
    return Begun{std::nullopt, text_.substr(std::min(begin, text_.size()))};
}

std::optional<StructureTrigger::Begun> StructureTrigger::find_pattern() const {
    for (size_t i = 0; i < patterns_.size(); i++) {
        std::smatch match;
        const bool is_found = is_about_everything(start_.patterns[i])
                                  ? std::regex_match(text_, match, patterns_[i])
                                  : std::regex_search(text_, match, patterns_[i]);
        if (!is_found) {
            continue;
        }
        size_t group = 0;
        for (size_t candidate = 1; candidate < match.size() && group == 0; candidate++) {
            group = match.length(candidate) > 0 ? candidate : 0;
        }
        return Begun{std::nullopt, text_.substr(static_cast<size_t>(match.position(group)))};
    }
    return std::nullopt;
}

} // namespace inllama
