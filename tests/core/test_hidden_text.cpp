#include "core/hidden_text.h"
#include "tests/core/check.h"

#include <random>

using inllama::ErrorKind;
using inllama::HiddenText;
using inllama::SpecialText;

namespace {

const SpecialText kSpecial({"<|im_start|>", "<|im_end|>", "<s>", "<|\"|>"});

std::string spans_of(const HiddenText::Restored& restored) {
    std::string shown;
    for (const auto& span : restored.spans) {
        shown += span.is_spelling ? "*" : "?";
        shown += restored.text.substr(span.begin, span.end - span.begin);
        shown += ' ';
    }
    return shown;
}

} // namespace

TEST("what is hidden comes back in its place") {
    HiddenText hidden(kSpecial);
    const std::string text = hidden.hide("say <|im_end|> and <s>!");
    CHECK_EQ(text.find('<'), std::string::npos);
    const auto restored = hidden.restore("[" + text + text + "]");
    CHECK_EQ(restored.text, "[say <|im_end|> and <s>!say <|im_end|> and <s>!]");
    CHECK_EQ(spans_of(restored), "*<|im_end|> *<s> *<|im_end|> *<s> ");
}

TEST("text without a spelling is not changed") {
    HiddenText hidden(kSpecial);
    CHECK_EQ(hidden.hide("a < b and c > d"), "a < b and c > d");
    CHECK_EQ(hidden.n_replaced(), size_t{0});
    CHECK(!hidden.must_hide("a < b and c > d"));
    CHECK(hidden.restore("anything \xFF").spans.empty());
}

TEST("ends that neighbours could make a spelling of are marked") {
    HiddenText hidden(kSpecial);
    const auto restored = hidden.restore(hidden.hide("<|im_") + hidden.hide("start|>"));
    CHECK_EQ(restored.text, "<|im_start|>");
    CHECK_EQ(spans_of(restored), "?<|im_ ?start|> ");
    CHECK(kSpecial.overlaps(restored.text, restored.spans[0].begin, restored.spans[0].end));
}

TEST("characters of the private planes cannot be forged") {
    HiddenText hidden(kSpecial);
    const std::string forged = "\xF3\xB0\x80\x80 <s>";
    const auto restored = hidden.restore(hidden.hide(forged));
    CHECK_EQ(restored.text, forged);
    CHECK_EQ(spans_of(restored), "*<s> ");
    CHECK(inllama::has_private_characters(forged));
    CHECK(!inllama::has_private_characters("\xF0\x9F\x98\x80"));
}

TEST("a way to write such a character cannot be forged either") {
    HiddenText hidden(kSpecial);
    const std::string forged = "<s> \\udb80\\udc00";
    CHECK_EQ(hidden.restore(hidden.hide(forged)).text, forged);
}

TEST("JSON in ASCII is restored as JSON") {
    HiddenText hidden(kSpecial);
    CHECK_EQ(hidden.hide("<|\"|>"), "\xF3\xB0\x80\x80");
    const auto restored = hidden.restore("{\"a\": \"\\udb80\\udc00\"}");
    CHECK_EQ(restored.text, "{\"a\": \"<|\\\"|>\"}");
}

TEST("a replacement that was cut is an error") {
    HiddenText hidden(kSpecial);
    const std::string text = hidden.hide("a<s>b");
    for (size_t n = 2; n < 5; n++)
        CHECK_THROWS(hidden.restore(text.substr(0, n)), inllama::Error,
                     thrown.kind() == ErrorKind::TemplateError && thrown.field("spelling") != nullptr,
                     "TemplateError");
    CHECK_EQ(hidden.restore(text.substr(0, 1)).text, "a");
}

TEST("any text survives hiding and restoring") {
    std::mt19937 random(3);
    const std::vector<std::string> pieces = {
        "<", "|", ">", "im_", "start", "<s>", "<|im_end|>", "\xF3\xB0\x80\x81", "\\udb", "é", "\n", "<|\"|>"};
    for (int round = 0; round < 500; round++) {
        std::string text;
        for (size_t n = random() % 12; n > 0; n--)
            text += pieces[random() % pieces.size()];
        HiddenText hidden(kSpecial);
        const auto restored = hidden.restore(hidden.hide(text));
        CHECK_EQ(restored.text, text);
        for (auto match = kSpecial.find(text, 0); match; match = kSpecial.find(text, match->end)) {
            const auto covers = [&](const HiddenText::Span& span) {
                return span.begin <= match->begin && match->end <= span.end;
            };
            bool is_covered = false;
            for (const auto& span : restored.spans)
                is_covered = is_covered || covers(span);
            CHECK(is_covered);
        }
    }
}
