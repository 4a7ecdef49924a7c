#include "core/structure_start.h"

#include "check.h"
#include "core/error.h"
#include "core/fake_decoder.h"

using namespace inllama;

namespace {

// Bytes, the tokens of FakeVocab that are a space and a letter, and token 256 is a control token.
struct ControlVocab : Vocab {
    int size() const override { return bytes.size(); }
    bool ends(Token token) const override { return bytes.ends(token); }
    void append_bytes(Token token, std::string& to) const override {
        if (token != 256) {
            bytes.append_bytes(token, to);
        }
    }
    void append_spelling(Token token, std::string& to) const override {
        if (token == 256) {
            to.append("</think>");
        }
        append_bytes(token, to);
    }

    FakeVocab bytes;
};

constexpr Token kControl = 256;
constexpr Token kSpaceB = 257; // " b"

std::string pushed(StructureTrigger& trigger, const std::string& text) {
    for (size_t i = 0; i < text.size(); i++) {
        if (const auto begun = trigger.push(static_cast<unsigned char>(text[i]))) {
            return begun->bytes + "|" + text.substr(i + 1);
        }
    }
    return "not begun";
}

StructureTrigger trigger_of(StructureStart start) {
    return StructureTrigger(std::move(start), std::make_shared<const ControlVocab>());
}

} // namespace

TEST("a structure begins behind the first of some texts") {
    StructureStart start;
    start.after = {"END", "stop"};
    StructureTrigger trigger = trigger_of(start);
    CHECK_EQ(pushed(trigger, "EN END!"), std::string("|!"));
}

TEST("a structure begins with the first of some texts") {
    StructureStart start;
    start.at = {"<a>", "<bb>"};
    StructureTrigger trigger = trigger_of(start);
    CHECK_EQ(pushed(trigger, "x<b<bb>y"), std::string("<bb>|y"));
}

TEST("what the token of a trigger says behind it belongs to the structure, but for white space") {
    StructureStart start;
    start.at = {"> "};
    StructureTrigger with = trigger_of(start);
    with.push('>');
    CHECK_EQ(with.push(kSpaceB)->bytes, std::string("> b"));
    StructureStart behind;
    behind.after = {">"};
    StructureTrigger after = trigger_of(behind);
    CHECK_EQ(after.push('>')->bytes, std::string());
    StructureStart space;
    space.after = {"x"};
    CHECK_EQ(trigger_of(space).push('x')->bytes, std::string());
}

TEST("what comes before the end of reasoning begins nothing") {
    StructureStart start;
    start.at = {"<call>"};
    start.patterns = {"f\\("};
    start.beyond = {"</t>", "[/t]"};
    StructureTrigger early = trigger_of(start);
    CHECK_EQ(pushed(early, "<call> f( </t> <call>"), std::string("<call>|"));
    StructureTrigger other = trigger_of(start);
    CHECK_EQ(pushed(other, "f(1)[/t]f(2)"), std::string("f(|2)"));
    StructureTrigger never = trigger_of(start);
    CHECK_EQ(pushed(never, "<call> f( </t"), std::string("not begun"));
    start.tokens = {kControl};
    StructureTrigger token = trigger_of(start);
    CHECK(!token.push(kControl));
    CHECK_EQ(pushed(token, "</t>"), std::string("not begun"));
    CHECK(token.push(kControl).has_value());
}

TEST("a control token counts as text only where its spelling is asked for") {
    StructureStart start;
    start.after = {"</think>"};
    StructureTrigger deaf = trigger_of(start);
    CHECK(!deaf.push(kControl));
    start.spelled = {kControl};
    StructureTrigger trigger = trigger_of(start);
    CHECK(trigger.push(kControl).has_value());
}

TEST("a token that begins a structure comes with its spelling") {
    StructureStart start;
    start.tokens = {kControl};
    StructureTrigger trigger = trigger_of(start);
    CHECK(!trigger.push('x'));
    const auto begun = trigger.push(kControl);
    CHECK(begun && begun->token == kControl);
    CHECK_EQ(begun->bytes, std::string("</think>"));
}

TEST("a pattern begins a structure at its first group that matched, else at its match") {
    StructureStart grouped;
    grouped.patterns = {"[^]*?(zz)?(call)"};
    StructureTrigger at_group = trigger_of(grouped);
    CHECK_EQ(pushed(at_group, "do call(1)"), std::string("call|(1)"));
    StructureStart whole;
    whole.patterns = {"ca+ll"};
    StructureTrigger at_match = trigger_of(whole);
    CHECK_EQ(pushed(at_match, "do caall(1)"), std::string("caall|(1)"));
    StructureStart anchored;
    anchored.patterns = {"^(\\{)$"};
    StructureTrigger at_start = trigger_of(anchored);
    CHECK_EQ(pushed(at_start, "x{"), std::string("not begun"));
    StructureTrigger again = trigger_of(anchored);
    CHECK_EQ(pushed(again, "{}"), std::string("{|}"));
}

TEST("a pattern that has not matched in too long a text is given up") {
    struct LongVocab : FakeVocab {
        void append_bytes(Token, std::string& to) const override {
            to.append(kMaxBytesBeforeStart / 2 + 1, 'a');
        }
    };
    StructureStart start;
    start.patterns = {"^never"};
    StructureTrigger trigger(start, std::make_shared<const LongVocab>());
    CHECK(!trigger.push('a'));
    CHECK_THROWS(trigger.push('a'), Error, thrown.field("limit") != nullptr, "GrammarError");
}

TEST("texts and patterns that cannot begin anything are refused") {
    StructureStart empty;
    empty.after = {""};
    CHECK_THROWS(trigger_of(empty), Error, thrown.kind() == ErrorKind::GrammarError, "GrammarError");
    StructureStart broken;
    broken.patterns = {"("};
    CHECK_THROWS(trigger_of(broken), Error, thrown.kind() == ErrorKind::GrammarError, "GrammarError");
    StructureStart long_pattern;
    long_pattern.patterns = {std::string(kMaxPatternBytes + 1, 'a')};
    CHECK_THROWS(trigger_of(long_pattern), Error, thrown.field("limit") != nullptr, "GrammarError");
    StructureStart token;
    token.tokens = {100000};
    CHECK_THROWS(trigger_of(token), Error, thrown.kind() == ErrorKind::InvalidRequestError,
                 "InvalidRequestError");
}
