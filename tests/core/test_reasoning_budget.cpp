#include "core/reasoning_budget.h"

#include "check.h"
#include "core/fake_decoder.h"
#include "core/script_sampler.h"

#include <cmath>

using namespace inllama;

namespace {

constexpr Token kEnd = 256; // of a FakeVocab without words

// A script's sampler that follows the logits where they leave one token, and notes what it chose.
struct Following : RowSampler {
    explicit Following(std::string text)
        : script(std::make_shared<Script>(Script{std::move(text), {}, true})) {}

    void accept_prompt(const std::vector<Token>&) override {}
    Token choose(const float* logits, size_t n, bool) override {
        Token only = -1;
        int n_possible = 0;
        for (size_t i = 0; i < n; i++) {
            n_possible += std::isfinite(logits[i]) ? 1 : 0;
            only = std::isfinite(logits[i]) ? static_cast<Token>(i) : only;
        }
        const Token next = at < script->text.size() ? static_cast<unsigned char>(script->text[at]) : kEnd;
        at++;
        chosen->push_back(n_possible == 1 ? only : next);
        return chosen->back();
    }

    std::shared_ptr<Script> script;
    size_t at = 0;
    std::shared_ptr<std::vector<Token>> chosen = std::make_shared<std::vector<Token>>();
};

ReasoningLimit limit_of(int n_tokens, bool is_open = false) {
    ReasoningLimit limit;
    limit.n_tokens = n_tokens;
    limit.start = "<t>";
    limit.ends = {"</t>", "[/t]"};
    limit.closing = {'<', '/', 't', '>'};
    limit.is_open = is_open;
    return limit;
}

// What the output is when the model writes `text`, and what the inner sampler was told.
std::string output_of(const std::string& text, ReasoningLimit limit, int n_tokens = 40,
                      std::vector<Token>* told = nullptr) {
    auto inner = std::make_unique<Following>(text);
    const auto chosen = inner->chosen;
    ReasoningBudget budget(std::move(inner), std::make_shared<FakeVocab>(0), std::move(limit));
    const std::vector<float> logits(257, 0.0f);
    std::string output;
    for (int i = 0; i < n_tokens; i++) {
        const Token token = budget.choose(logits.data(), logits.size(), true);
        if (token == kEnd) {
            break;
        }
        output.push_back(static_cast<char>(token));
    }
    if (told != nullptr) {
        *told = *chosen;
    }
    return output;
}

} // namespace

TEST("reasoning within its budget is left alone") {
    CHECK_EQ(output_of("<t>abc</t>answer", limit_of(10)), "<t>abc</t>answer");
    CHECK_EQ(output_of("abc[/t]answer that is long", limit_of(10, true)), "abc[/t]answer that is long");
}

TEST("reasoning that uses its budget up is closed, and the output goes on") {
    // The script goes on where it stood: four of its tokens were replaced.
    CHECK_EQ(output_of("<t>abcdefghijkl", limit_of(3)), "<t>abc</t>hijkl");
    CHECK_EQ(output_of("abcdefghijkl", limit_of(3, true)), "abc</t>hijkl");
}

TEST("a budget of nothing closes reasoning at once") {
    CHECK_EQ(output_of("abcdefgh", limit_of(0, true)), "</t>efgh");
}

TEST("an output that does not reason is never closed") {
    CHECK_EQ(output_of("an answer, <t>not reasoning at all", limit_of(2)),
             "an answer, <t>not reasoning at all");
    CHECK_EQ(output_of("<x>abcdefgh", limit_of(2)), "<x>abcdefgh");
}

TEST("white space may come before the opening tag") {
    CHECK_EQ(output_of("\n <t>abcdefghi", limit_of(2)), "\n <t>ab</t>ghi");
}

TEST("a closing tag that has begun may be finished, and what only looks like one may not") {
    CHECK_EQ(output_of("<t>a</t>answer", limit_of(2)), "<t>a</t>answer");
    CHECK_EQ(output_of("<t>a</xbcdefg", limit_of(2)), "<t>a</x</t>fg");
}

TEST("reasoning is closed once: what follows is the answer, whatever it says") {
    CHECK_EQ(output_of("<t>a</t><t>a very long answer", limit_of(2)), "<t>a</t><t>a very long answer");
}

TEST("reasoning is not closed inside of a character") {
    CHECK_EQ(output_of("\xE2\x82\xAC\xE2\x82\xACxxxxyes", limit_of(1, true)), "\xE2\x82\xAC</t>xxxyes");
}

TEST("tags that are control tokens are known by their spelling") {
    ReasoningLimit limit = limit_of(2);
    limit.start = "<end>";
    limit.spelled = {kEnd};
    auto inner = std::make_unique<Following>("");
    ReasoningBudget budget(std::move(inner), std::make_shared<FakeVocab>(0), limit);
    const std::vector<float> logits(257, 0.0f);
    std::vector<Token> tokens;
    for (int i = 0; i < 5; i++) {
        tokens.push_back(budget.choose(logits.data(), logits.size(), true));
    }
    CHECK(tokens == std::vector<Token>{kEnd, kEnd, kEnd, '<', '/'});
}

TEST("the other sampler sees every token, those of the closing tag too") {
    std::vector<Token> told;
    const std::string output = output_of("<t>abcdefghij", limit_of(2), 40, &told);
    CHECK_EQ(std::string(told.begin(), told.end() - 1), output);
    CHECK_EQ(told.back(), kEnd);
}

TEST("behind an end that was forced, a closing tag of one token is not chosen again") {
    ReasoningLimit limit = limit_of(2, true);
    limit.ends = {"|"};
    limit.closing = {'\n', '|', '\n'};
    // With a choice left, the inner sampler takes the first token that is possible.
    struct First : RowSampler {
        void accept_prompt(const std::vector<Token>&) override {}
        Token choose(const float* logits, size_t n, bool) override {
            size_t best = 0;
            for (size_t i = 1; i < n; i++) {
                best = logits[i] > logits[best] ? i : best;
            }
            return static_cast<Token>(best);
        }
    };
    std::vector<float> logits(257, 0.0f);
    logits['a'] = 1.0f;
    ReasoningBudget forced(std::make_unique<First>(), std::make_shared<FakeVocab>(0), limit);
    std::string output;
    for (int i = 0; i < 8; i++) {
        logits['|'] = i < 5 ? 0.0f : 2.0f;
        output.push_back(static_cast<char>(forced.choose(logits.data(), logits.size(), true)));
    }
    CHECK_EQ(output, std::string("aa\n|\naaa"));
    ReasoningBudget unforced(std::make_unique<First>(), std::make_shared<FakeVocab>(0), limit);
    logits['|'] = 2.0f;
    output.clear();
    for (int i = 0; i < 4; i++) {
        output.push_back(static_cast<char>(unforced.choose(logits.data(), logits.size(), true)));
    }
    CHECK_EQ(output, std::string("||||"));
}
