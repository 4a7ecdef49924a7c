#include "core/special_text.h"
#include "tests/core/check.h"

#include <random>

using inllama::SpecialText;

namespace {

const std::vector<std::string> kChat = {"<|im_start|>", "<|im_end|>", "<s>", "</s>", "[INST]", "<|im_end|>x"};

// The first spelling at or after `from`, the longest there, by trying everything.
std::string found_by_model(const std::vector<std::string>& spellings, const std::string& text, size_t from) {
    for (size_t at = from; at < text.size(); at++) {
        std::string longest;
        for (const std::string& spelling : spellings) {
            if (text.compare(at, spelling.size(), spelling) == 0 && spelling.size() > longest.size())
                longest = spelling;
        }
        if (!longest.empty())
            return std::to_string(at) + longest;
    }
    return "";
}

std::string found(const SpecialText& special, const std::string& text, size_t from) {
    const auto match = special.find(text, from);
    return match ? std::to_string(match->begin) + text.substr(match->begin, match->end - match->begin) : "";
}

} // namespace

TEST("the longest spelling at the first place is found") {
    const SpecialText special(kChat);
    CHECK_EQ(found(special, "a <|im_end|>xy", 0), "2<|im_end|>x");
    CHECK_EQ(found(special, "a <|im_end|>y", 0), "2<|im_end|>");
    CHECK_EQ(found(special, "<s></s>", 1), "3</s>");
    CHECK_EQ(found(special, "<|im_en|>", 0), "");
    CHECK_EQ(found(special, "", 0), "");
}

TEST("finding agrees with trying everything") {
    std::mt19937 random(7);
    for (int round = 0; round < 300; round++) {
        std::vector<std::string> spellings;
        const auto text_of = [&](size_t n) {
            std::string text;
            for (; n > 0; n--)
                text += "ab<"[random() % 3];
            return text;
        };
        for (size_t i = 0; i < 1 + random() % 4; i++)
            spellings.push_back(text_of(1 + random() % 4));
        const SpecialText special(spellings);
        const std::string text = text_of(30);
        const size_t from = random() % 30;
        CHECK_EQ(found(special, text, from), found_by_model(spellings, text, from));
    }
}

TEST("a spelling that touches a range overlaps it") {
    const SpecialText special(kChat);
    const std::string text = "ab<s>cd";
    CHECK(special.overlaps(text, 2, 3));
    CHECK(special.overlaps(text, 4, 5));
    CHECK(special.overlaps(text, 0, 7));
    CHECK(!special.overlaps(text, 0, 2));
    CHECK(!special.overlaps(text, 5, 7));
}

TEST("a spelling that goes on behind a place crosses it") {
    const SpecialText special(kChat);
    const std::string text = "a<|im_end|>x<s>";
    CHECK(special.crosses(text, 11));
    CHECK(special.crosses(text, 2));
    CHECK(special.crosses(text, 13));
    CHECK(!special.crosses(text, 1));
    CHECK(!special.crosses(text, 12));
    CHECK(!special.crosses(text, 15));
    CHECK(!SpecialText({}).crosses(text, 3));
}

TEST("ends that could be part of a spelling are measured") {
    const SpecialText special(kChat);
    CHECK_EQ(special.n_could_begin("text <|im_st"), size_t{7});
    CHECK_EQ(special.n_could_begin("text <"), size_t{1});
    CHECK_EQ(special.n_could_begin("text <|im_start|>"), size_t{0});
    CHECK_EQ(special.n_could_begin("text"), size_t{0});
    CHECK_EQ(special.n_could_end("art|> text"), size_t{5});
    CHECK_EQ(special.n_could_end("> quoted"), size_t{1});
    CHECK_EQ(special.n_could_end("text"), size_t{0});
}

TEST("words alone are no part of a spelling") {
    const SpecialText special({"<|user|>", "user_defined"});
    CHECK_EQ(special.n_could_begin("user"), size_t{0});
    CHECK_EQ(special.n_could_end("defined"), size_t{0});
}

TEST("an index without spellings finds nothing") {
    const SpecialText special({"", ""});
    CHECK_EQ(special.longest(), size_t{0});
    CHECK(!special.find("<s>", 0));
    CHECK(!special.overlaps("<s>", 0, 3));
    CHECK_EQ(special.n_could_begin("<s>"), size_t{0});
    CHECK_EQ(special.n_could_end("<s>"), size_t{0});
}

TEST("white space of all kinds is white space") {
    CHECK(inllama::is_white_space(" \n\t\xE2\x96\x81\xC2\xA0"));
    CHECK(!inllama::is_white_space(" a"));
    CHECK(!inllama::is_white_space("\xE2\x96"));
}

TEST("thousands of spellings are told apart") {
    std::vector<std::string> spellings;
    for (int i = 0; i < 6000; i++)
        spellings.push_back("<unused" + std::to_string(i) + ">");
    const SpecialText special(spellings);
    const std::string text = std::string(100000, '<') + "<unused6000><unused5999>";
    CHECK_EQ(found(special, text, 0), "100012<unused5999>");
    CHECK_EQ(special.n_could_begin("<unused59"), size_t{9});
    CHECK_EQ(special.n_could_begin("<unused6000"), size_t{0});
}
