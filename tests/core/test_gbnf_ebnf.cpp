#include "core/gbnf_ebnf.h"

#include "check.h"
#include "core/gbnf.h"

using namespace inllama;

namespace {

std::string translated(const std::string& gbnf) {
    const auto token_of = [](std::string_view text) { return static_cast<Token>(text.size()); };
    check_gbnf(gbnf, "root");
    return gbnf_to_ebnf(gbnf, "root", token_of).text;
}

} // namespace

TEST("literals, classes and any character are written with the escapes of xgrammar") {
    CHECK_EQ(translated("root ::= \"a\\n\\\"\" [^x-z\\]] ."),
             std::string("g-root ::= \"a\\u000a\\u0022\" [^x-z\\u005d] "
                         "[\\u0000-\\ud7ff\\ue000-\\U0010ffff]\n"));
    CHECK_EQ(translated("root ::= [\xC3\xA4\xF0\x9F\x98\x80-]"),
             std::string("g-root ::= [\\u00e4\\U0001f600\\u002d]\n"));
    CHECK_EQ(translated("root ::= \"\\x41\\u00e4\\U0001F600\""),
             std::string("g-root ::= \"A\\u00e4\\U0001f600\"\n"));
}

TEST("what matches nothing is the empty text") {
    CHECK_EQ(translated("root ::= \"\" | [] | \"a\" |"),
             std::string("g-root ::= \"\" | \"\" | \"a\" | \"\"\n"));
    CHECK_EQ(translated("root ::= \"a\"{0,0} \"c\" root | \"b\""),
             std::string("g-root ::= \"\" \"c\" g-root | \"b\"\n"));
}

TEST("what repeats becomes one automaton, with the small rules that it mentions") {
    CHECK_EQ(translated("root ::= \"a\"* [b]+ (\"cd\" | \"e\")? \"f\"{2} \"g\"{2,} \"h\"{2,5}"),
             std::string("g-root ::= Regex(\"a*[b]+(?:|(?:cd|e))f{2,2}ggg*h{2,5}\")\n"));
    CHECK_EQ(translated("root ::= word+ \".\"\nword ::= [a-z] | \"\\\\\" | \"x\" (\"y\" |)"),
             std::string("g-root ::= Regex(\"(?:[a-z]|\\\\u{5c}|x(?:|y))+\\\\u{2e}\")\n"
                         "g-word ::= [a-z] | \"\\u005c\" | \"x\" (\"y\" | \"\")\n"));
}

TEST("what calls itself stays rules, and its parts that repeat become automata") {
    CHECK_EQ(
        translated("root ::= \"(\" [ ]* root? \")\" | \"x\"+"),
        std::string("g-root ::= Regex(\"\\\\u{28}[\\\\u{20}]*\") (g-root)? \"\\u0029\" | Regex(\"x+\")\n"));
    CHECK_EQ(translated("root ::= (\"a\" root | \"b\"){1,3} \"c\" \"d\" | \"\""),
             std::string("g-root ::= (\"a\" g-root | \"b\"){1,3} \"c\" \"d\" | \"\"\n"));
}

TEST("long repetitions of a class of many characters count them") {
    CHECK_EQ(
        translated("root ::= [a-z]{2,1000} [cd]{0,9} [^e]{9,10}"),
        std::string("g-root ::= n0 Regex(\"[cd]{0,9}[^e]{9,10}\")\nn0[max_chars=1000] ::= ([a-z]){2,}\n"));
}

TEST("rules have names that xgrammar takes, on lines of their own") {
    CHECK_EQ(translated("root ::= 1st | true # none\n1st ::= (\n \"a\" |\n true)\ntrue ::= \"b\""),
             std::string("g-root ::= g-1st | g-true\ng-1st ::= \"a\" | g-true\ng-true ::= \"b\"\n"));
}

TEST("tokens are written by their numbers, and excluded ones are refused") {
    CHECK_EQ(translated("root ::= <[17]> <x>"), std::string("g-root ::= Token(6) Token(3)\n"));
    CHECK_THROWS(translated("root ::= !<[17]>"), Error, thrown.kind() == ErrorKind::GrammarError,
                 "GrammarError");
}

TEST("a control token can come in place of its spelling, and only there") {
    const EbnfOptions options{{{"<a>", 7}, {"<a><b>", 8}, {"\xC3\xA9!", 9}}, ""};
    const auto with = [&](const std::string& gbnf) {
        return gbnf_to_ebnf(gbnf, "root", [](std::string_view) { return Token{0}; }, options).text;
    };
    CHECK_EQ(with("root ::= \"<a>\" [a-z]*"),
             std::string("g-root ::= (\"\\u003ca\\u003e\" | Token(7)) Regex(\"[a-z]*\")\n"));
    CHECK_EQ(
        with("root ::= \"x<a><b>y\" | \"<a\" | \"\xC3\xA9!\""),
        std::string("g-root ::= \"x\" (\"\\u003ca\\u003e\\u003cb\\u003e\" | Token(8)) \"y\" | \"\\u003ca\" | "
                    "(\"\\u00e9\\u0021\" | Token(9))\n"));
    // Nor is a rule with such a literal written into an automaton.
    CHECK_EQ(with("root ::= part*\npart ::= \"<a>\""),
             std::string("g-root ::= (g-part)*\ng-part ::= (\"\\u003ca\\u003e\" | Token(7))\n"));
}

TEST("a hole is the root of what the caller appends") {
    const EbnfOptions options{{}, "answer"};
    const std::string gbnf = "root ::= \"[\" answer \"]\" [ ]*\nanswer ::= \"a\"";
    CHECK_EQ(
        gbnf_to_ebnf(
            gbnf, "root", [](std::string_view) { return Token{0}; }, options)
            .text,
        std::string("g-root ::= \"\\u005b\" g-answer Regex(\"\\\\u{5d}[\\\\u{20}]*\")\ng-answer ::= root\n"));
}
