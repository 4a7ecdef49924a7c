#include "core/output_text.h"

#include "core/fake_decoder.h"
#include "tests/core/check.h"

#include <random>

using namespace inllama;

namespace {

// Each token is a piece of a list.
struct PieceVocab : Vocab {
    explicit PieceVocab(std::vector<std::string> of) : pieces(std::move(of)) {}

    int size() const override { return static_cast<int>(pieces.size()); }
    bool ends(Token) const override { return false; }
    void append_bytes(Token token, std::string& to) const override {
        to += pieces[static_cast<size_t>(token)];
    }
    void append_spelling(Token token, std::string& to) const override { append_bytes(token, to); }

    std::vector<std::string> pieces;
};

const char* const kReplacement = "\xEF\xBF\xBD";

// All text of all bytes, until the first stop string: the one that ends first, of those the longest.
std::string text_by_model(const std::string& bytes, const std::vector<std::string>& stops) {
    Utf8Stream characters;
    std::string text = characters.push(bytes);
    text += characters.flush();
    for (size_t end = 1; end <= text.size(); end++) {
        size_t longest = 0;
        for (const std::string& stop : stops) {
            const bool is_here =
                stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0;
            longest = is_here ? std::max(longest, stop.size()) : longest;
        }
        if (longest > 0) {
            return text.substr(0, end - longest);
        }
    }
    return text;
}

} // namespace

TEST("a token gives its text at once when nothing has to wait") {
    const PieceVocab vocab({"Hello", " world"});
    OutputText text(vocab, {});
    CHECK_EQ(text.push(0).text, "Hello");
    CHECK_EQ(text.push(1).text, " world");
    CHECK_EQ(text.finish(), "");
}

TEST("a character of several tokens comes with the last of them") {
    const FakeVocab vocab;
    OutputText text(vocab, {});
    CHECK_EQ(text.push(0xE2).text, "");
    CHECK_EQ(text.push(0x82).text, "");
    CHECK_EQ(text.push(0xAC).text, "\xE2\x82\xAC");
    CHECK_EQ(text.finish(), "");
}

TEST("an unfinished character at the end is replaced, once") {
    const FakeVocab vocab;
    OutputText text(vocab, {});
    CHECK_EQ(text.push(0xE2).text, "");
    CHECK_EQ(text.push(0x82).text, "");
    CHECK_EQ(text.finish(), kReplacement);
    CHECK_EQ(text.finish(), "");
}

TEST("a control token that is spelled shows in the text, where stop strings see it") {
    const FakeVocab vocab;
    const Token end = vocab.size() - 1;
    OutputText spelled(vocab, {}, {end});
    CHECK_EQ(spelled.push('a').text, "a");
    CHECK_EQ(spelled.push(end).text, "<end>");
    OutputText stopped(vocab, {"<end>"}, {end});
    CHECK(stopped.push(end).stop.has_value());
    OutputText plain(vocab, {}, {end - 1});
    CHECK_EQ(plain.push(end).text, "");
}

TEST("a control token gives no text and does not come between the bytes of a character") {
    const FakeVocab vocab;
    OutputText text(vocab, {});
    text.push(0xC3);
    CHECK_EQ(text.push(vocab.size() - 1).text, "");
    CHECK_EQ(text.push(0xA9).text, "\xC3\xA9");
}

TEST("a stop string over tokens and over the bytes of a character is found and not published") {
    const PieceVocab vocab({"say \xC3", "\xA9", "n", "d now"});
    OutputText text(vocab, {"x", "\xC3\xA9nd"});
    CHECK_EQ(text.push(0).text, "say ");
    CHECK_EQ(text.push(1).text, "");
    CHECK_EQ(text.push(2).text, "");
    const StopMatcher::Step last = text.push(3);
    CHECK_EQ(last.text, "");
    CHECK(last.stop == size_t{1});
    CHECK_EQ(text.finish(), "");
}

TEST("text that began like a stop string is given at the end, before a replaced character") {
    const PieceVocab vocab({"a\n", "\n\xC3"});
    OutputText text(vocab, {"\n\nUser:"});
    CHECK_EQ(text.push(0).text, "a");
    CHECK_EQ(text.push(1).text, "");
    CHECK_EQ(text.finish(), std::string("\n\n") + kReplacement);
}

TEST("after a stop string nothing more is given, not even an unfinished character") {
    const PieceVocab vocab({"end\xC3", "more"});
    OutputText text(vocab, {"end"});
    CHECK(text.push(0).stop == size_t{0});
    CHECK_EQ(text.push(1).text, "");
    CHECK_EQ(text.finish(), "");
}

TEST("a stop string that a replaced character completes at the end is not published") {
    const PieceVocab vocab({"a\xC3"});
    OutputText text(vocab, {kReplacement});
    CHECK_EQ(text.push(0).text, "a");
    CHECK_EQ(text.finish(), "");
}

TEST("any bytes in any tokens give the text of the whole until its first stop string") {
    // Halves of characters, so that tokens join, break and spoil them.
    const std::vector<std::string> parts = {"a", "b", "\xC3", "\xA9", "\xE2\x82", "\xAC", "\xC3\xA9", ""};
    const std::vector<std::string> alphabet = {"a", "b", "\xC3\xA9", "\xE2\x82\xAC", kReplacement};
    std::mt19937 random(20261005);
    int n_stopped = 0;
    int n_waited = 0;
    for (int round = 0; round < 3000; round++) {
        std::vector<std::string> stops(random() % 4);
        for (std::string& stop : stops) {
            for (size_t n = 1 + random() % 4; n > 0; n--) {
                stop += alphabet[random() % alphabet.size()];
            }
        }
        std::vector<std::string> pieces(12);
        for (std::string& piece : pieces) {
            for (size_t n = random() % 3; n > 0; n--) {
                piece += parts[random() % parts.size()];
            }
        }
        const PieceVocab vocab(pieces);
        OutputText output(vocab, stops);
        std::string bytes;
        std::string text;
        bool is_stopped = false;
        for (Token token = 0; token < vocab.size() && !is_stopped; token++) {
            bytes += pieces[static_cast<size_t>(token)];
            const StopMatcher::Step step = output.push(token);
            CHECK_EQ(valid_utf8_prefix(step.text), step.text.size());
            text += step.text;
            is_stopped = step.stop.has_value();
        }
        const std::string rest = output.finish();
        n_stopped += is_stopped ? 1 : 0;
        n_waited += rest.empty() ? 0 : 1;
        CHECK_EQ(text + rest, text_by_model(bytes, stops));
    }
    CHECK(n_stopped > 300 && n_stopped < 2700);
    CHECK(n_waited > 300);
}
