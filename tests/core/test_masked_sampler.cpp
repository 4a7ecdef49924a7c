#include "core/masked_sampler.h"

#include "check.h"
#include "structure_fixture.h"

#include <limits>
#include <utility>

using namespace inllama;

namespace {

const auto kVocab = std::make_shared<const FakeVocab>();
const Token kEnd = kVocab->size() - 1;

// Logits that prefer the tokens of a text, the first most, to all others.
std::vector<float> preferring(const std::string& tokens) {
    std::vector<float> logits(static_cast<size_t>(kVocab->size()), 0.0f);
    float value = 100;
    for (const char c : tokens) {
        logits[static_cast<unsigned char>(c)] = value--;
    }
    return logits;
}

// Remembers the row that it was given, and refuses tokens as logit_bias does.
struct SpySampler : RowSampler {
    void accept_prompt(const std::vector<Token>& prompt) override { n_prompt = prompt.size(); }
    Token choose(const float* logits, size_t n, bool may_end) override {
        row = logits;
        n_allowed = 0;
        for (size_t i = 0; i < n; i++) {
            n_allowed += logits[i] > -std::numeric_limits<float>::infinity() ? 1 : 0;
        }
        if (refuses) {
            throw Error(ErrorKind::InvalidRequestError, "every token is excluded");
        }
        return FakeSampler(kEnd).choose(logits, n, may_end);
    }

    size_t n_prompt = 0;
    const float* row = nullptr;
    int n_allowed = 0;
    bool refuses = false;
};

struct Masked {
    explicit Masked(std::vector<std::string> texts, StructureStart start = {}, bool fails = false)
        : structure(std::make_shared<TextsStructure>(std::move(texts), fails)) {
        auto inner = std::make_unique<SpySampler>();
        spy = inner.get();
        sampler = std::make_unique<MaskedSampler>(std::move(inner), structure, kVocab, std::move(start));
    }

    // Chooses tokens for a model that wants to write `wish`, a byte each time, and says what came of it.
    std::string write(const std::string& wish, bool may_end = true) {
        std::string written;
        for (size_t i = 0; i < wish.size() && !sampler->is_done(); i++) {
            const std::vector<float> logits = preferring(wish.substr(i, 1));
            kVocab->append_bytes(sampler->choose(logits.data(), logits.size(), may_end), written);
        }
        return written;
    }

    std::shared_ptr<TextsStructure> structure;
    SpySampler* spy = nullptr;
    std::unique_ptr<MaskedSampler> sampler;
};

} // namespace

TEST("a masked sampler chooses what the structure allows, whatever the logits say") {
    Masked masked({"yes", "no"});
    CHECK_EQ(masked.write("xxxxxxxx"), std::string("no")); // of equal logits the lower token
    CHECK(masked.sampler->is_done());
    Masked other({"yes", "no"});
    CHECK_EQ(other.write("yxxxxx"), std::string("yes"));
}

TEST("a masked sampler shows the prompt to the other one") {
    Masked masked({"a"});
    masked.sampler->accept_prompt({1, 2, 3});
    CHECK_EQ(masked.spy->n_prompt, size_t{3});
}

TEST("a mask is computed once per choice, however often it is prepared") {
    Masked masked({"abc"});
    const std::vector<float> logits = preferring("");
    for (int i = 1; i <= 3; i++) {
        CHECK(masked.sampler->has_preparation());
        masked.sampler->prepare();
        CHECK(!masked.sampler->has_preparation());
        masked.sampler->prepare();
        masked.sampler->choose(logits.data(), logits.size(), true);
        CHECK_EQ(masked.structure->n_fills.load(), i);
    }
}

TEST("a choice without preparation computes its mask itself") {
    Masked masked({"abc"});
    CHECK_EQ(masked.write("xxx"), std::string("abc"));
    CHECK_EQ(masked.structure->n_fills.load(), 3);
}

TEST("what fails while a mask is prepared is thrown by the choice") {
    Masked masked({"abc"}, {}, /*fails=*/true);
    const std::vector<float> logits = preferring("");
    masked.sampler->prepare();
    masked.sampler->prepare();
    CHECK_ERROR(masked.sampler->choose(logits.data(), logits.size(), true), ErrorKind::GrammarError,
                "no mask");
}

TEST("a structure that is complete ends the output before min_tokens, and one that may go on does not") {
    Masked complete({"no"});
    CHECK_EQ(complete.write("xxx", /*may_end=*/false), std::string("no"));
    CHECK(complete.sampler->is_done());
    Masked longer({"no", "nobody"});
    CHECK_EQ(longer.write("xxxxxxx", /*may_end=*/false), std::string("nobody"));
}

TEST("options that exclude all that a structure allows are a GrammarError that says so") {
    Masked masked({"no"});
    masked.spy->refuses = true;
    const std::vector<float> logits = preferring("");
    CHECK_ERROR(masked.sampler->choose(logits.data(), logits.size(), true), ErrorKind::GrammarError,
                "the structure and the other options exclude each other: none of the tokens that it allows "
                "here is left; check logit_bias (every token is excluded)");
}

TEST("a structure that allows no token is a GrammarError") {
    const auto source = std::make_shared<TextsStructure>(std::vector<std::string>{"ab"});
    MaskedSampler sampler(std::make_unique<SpySampler>(), source, kVocab, {});
    const std::vector<float> logits = preferring("");
    sampler.choose(logits.data(), logits.size(), true);
    source->texts = {"cd"}; // nothing follows the "a" that was chosen
    CHECK_THROWS(sampler.choose(logits.data(), logits.size(), true), Error,
                 thrown.kind() == ErrorKind::GrammarError &&
                     thrown.message().find("allows no token here") != std::string::npos,
                 "GrammarError");
}

TEST("where everything is allowed the row is passed on as it is") {
    Masked masked({});
    const std::vector<float> logits = preferring("q");
    CHECK_EQ(masked.sampler->choose(logits.data(), logits.size(), true), static_cast<Token>('q'));
    CHECK(masked.spy->row == logits.data());
}

TEST("a row has the allowed logits only, also where an earlier one had others") {
    Masked masked({"az", "b}"});
    const std::vector<float> logits = preferring("b");
    masked.sampler->choose(logits.data(), logits.size(), true);
    CHECK_EQ(masked.spy->n_allowed, 2);
    const std::vector<float> next = preferring("abz");
    CHECK_EQ(masked.sampler->choose(next.data(), next.size(), true), static_cast<Token>('}'));
    CHECK_EQ(masked.spy->n_allowed, 1);
}

TEST("a structure goes on behind what the prompt has of it") {
    StructureStart start;
    start.prefix = "no";
    Masked masked({"no way", "yes"}, start);
    CHECK_EQ(masked.write("yyyyyyyy"), std::string(" way"));
    start.prefix = "maybe";
    CHECK_THROWS(Masked({"no way", "yes"}, start), Error,
                 thrown.kind() == ErrorKind::GrammarError && thrown.field("text") != nullptr, "GrammarError");
}

TEST("an output is free until the text after which its structure begins") {
    StructureStart start;
    start.after = {"</think>"};
    Masked masked({"yes", "no"}, start);
    CHECK(!masked.sampler->has_preparation());
    CHECK_EQ(masked.write("well, no.</think>maybe"), std::string("well, no.</think>no"));
    CHECK(masked.sampler->is_done());
}

TEST("a structure that begins with its trigger has seen the trigger") {
    StructureStart start;
    start.at = {"<tool>", "<call>"};
    Masked masked({"<call>f()", "<tool>g()"}, start);
    CHECK_EQ(masked.write("hm <call>xxxxxx"), std::string("hm <call>f()"));
}

TEST("a structure that cannot begin as the model began it is a GrammarError with the text") {
    StructureStart start;
    start.at = {"<x>"};
    Masked masked({"<y>"}, start);
    CHECK_THROWS(masked.write("<x>"), Error,
                 thrown.kind() == ErrorKind::GrammarError && thrown.field("text") != nullptr, "GrammarError");
}

TEST("a token can begin a structure") {
    StructureStart start;
    start.tokens = {'{'};
    Masked masked({"{}"}, start);
    CHECK_EQ(masked.write("so {x"), std::string("so {}"));
}
