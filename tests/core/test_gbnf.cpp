#include "core/gbnf.h"
#include "tests/core/check.h"

#include <array>
#include <random>

using inllama::check_gbnf;
using inllama::Error;
using inllama::ErrorKind;

namespace {

// The error's text without the place, or "" if the grammar is accepted.
std::string problem(const std::string& text) {
    try {
        check_gbnf(text, "root");
        return {};
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::GrammarError);
        return error.message().substr(error.message().find(": ") + 2);
    }
}

bool is_accepted(const std::string& text) {
    return problem(text).empty();
}

std::string repeated(const std::string& text, size_t n_times) {
    std::string all;
    for (size_t i = 0; i < n_times; i++)
        all += text;
    return all;
}

// root and then n - 1 rules, each at the left end of the one before.
std::string chain(size_t n_rules) {
    std::string text = "root ::= r1\n";
    for (size_t i = 1; i + 1 < n_rules; i++)
        text += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + "\n";
    return text + "r" + std::to_string(n_rules - 1) + " ::= \"a\"\n";
}

std::string alternatives(size_t n_alternatives) {
    std::string text = "root ::= \"0\"";
    for (size_t i = 1; i < n_alternatives; i++)
        text += "|\"" + std::to_string(i) + "\"";
    return text;
}

constexpr const char* kJson = R"(# JSON, in our words
root   ::= ws object
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws (
             value   # newlines are space inside parentheses
             ("," ws value)*
           )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= "-"? ([0-9] | [1-9] [0-9]{0,15}) ("." [0-9]+)? ([eE] [-+]? [0-9]{1,3})? ws
ws     ::= | " " | "\n" [ \t]{0,20}
)";

} // namespace

TEST("grammars that llama.cpp accepts pass") {
    const char* const grammars[] = {
        kJson,
        "root ::= \"a\"",
        "root ::=",
        "root ::= \"\"",
        "root ::= [] | [^]",
        "  # first\n\r\nroot ::= \"a\" # last",
        "root ::= \"a\" |\n  \"b\" |\n\n  \"c\"\r\nb ::= \"b\"\r",
        "root ::= a-1 A\na-1 ::= \"x\"\nA ::= \"y\"",
        R"(root ::= "\x41\u00e9\U0001F600\t\r\n\\\"\[\]\-")",
        R"(root ::= [a-z\]\x41-\x5A\-] [^a-] [-a] [^-] [\n-\r] ["] [[])",
        "root ::= \"\xC3\xA9\" [\xCE\xB1-\xCF\x89] .",
        "root ::= \"a\"* \"b\"+ \"c\"? [d]{2} \"e\"{2,} \"f\"{ 2 , 4 } \"g\"{0} . \"h\"{0,2000}",
        "root ::= ((\"a\" | \"b\") \"c\")+ (\n \"d\"\n | \"e\"\n)",
        "root ::= \"a\"{2}{3}* \"b\"++",
        "root ::= <[12]> !<[4294967295]> <think> !</think>",
        "root ::= \"a\" root | \"b\"",
        "root ::= \"a\"\nroot ::= \"b\"",
        "root ::= \"a\" undefined{0}",
    };
    for (const char* grammar : grammars)
        CHECK_EQ(problem(grammar), "");
}

TEST("a syntax error names the place and the remedy") {
    const struct {
        const char* grammar;
        const char* text;
    } cases[] = {
        {"root = \"a\"", "line 1, column 6: expected '::=' after the rule name \"root\" but found '='"},
        {"root ::= \"a\"\n  | \"b\"", "line 2, column 3: expected a rule name but found '|'; to go on with a "
                                      "rule on the next line, put '|' at "
                                      "the end of the line or the alternatives in parentheses"},
        {"root ::= my_rule",
         "line 1, column 12: expected the end of rule \"root\" but found '_'; names have '-', "
         "not '_'"},
        {"root ::= \"a\" )", "line 1, column 14: expected the end of rule \"root\" but found ')'"},
        {"root ::= (\"a\"", "line 1, column 10: group has no closing ')'"},
        {"root ::= (\"a\" ]", "line 1, column 15: expected ')' but found ']'"},
        {"root ::= \"a", "line 1, column 10: literal has no closing '\"'"},
        {"root ::= [a-", "line 1, column 10: character class has no closing ']'"},
        {"root ::= \"\\q\"",
         "line 1, column 11: unknown escape; write one of \\t \\r \\n \\\\ \\\" \\[ \\] \\- "
         "\\xHH \\uHHHH \\UHHHHHHHH"},
        {"root ::= \"\\u12\"", "line 1, column 11: escape \\u needs 4 hexadecimal digits but has 2"},
        {"root ::= * \"a\"", "line 1, column 10: nothing to repeat before '*'"},
        {"root ::= \"x\" [z-a]", "line 1, column 15: range ends before it begins; swap its ends"},
        {"root ::= [\\x62-\\x61]", "line 1, column 11: range ends before it begins; swap its ends"},
        {"root ::= [\\U00110000]",
         "line 1, column 11: escape \\U00110000 is no Unicode character; the last one is \\U0010FFFF, and "
         "\\uD800 to \\uDFFF are none"},
        {"root ::= \"\\uD800\"",
         "line 1, column 11: escape \\uD800 is no Unicode character; the last one is \\U0010FFFF, and "
         "\\uD800 to \\uDFFF are none"},
        {"root ::= \"\"+", "line 1, column 12: nothing to repeat before '+'"},
        {"root ::= \"a\"{0}{2}", "line 1, column 16: nothing to repeat before {2}"},
        {"root ::= \"a\"{,2}", "line 1, column 14: expected a number but found ','"},
        {"root ::= \"a\"{2", "line 1, column 15: expected '}' but found the end of the text"},
        {"root ::= \"a\"{5,2}", "line 1, column 13: repetition {5,2} ends below its start; swap the numbers"},
        {"root ::= \"a\"{18446744073709551616}", "line 1, column 14: number is too large"},
        {"root ::= <[4294967296]>", "line 1, column 10: token id is larger than 4294967295"},
        {"root ::= <[1>", "line 1, column 13: expected ']>' after the token id but found '>'"},
        {"root ::= <think", "line 1, column 10: token has no closing '>'"},
        {"root ::= !\"a\"", "line 1, column 11: expected '<' after '!' but found '\"'"},
        {"root ::= \"\xC3\xA9\" \xC3\xA9",
         "line 1, column 14: expected the end of rule \"root\" but found '\xC3\xA9'"},
        {"root ::= a\n\r\n\r  ::=",
         "line 4, column 3: expected a rule name but found ':'; names are made of letters, "
         "digits and '-'"},
    };
    for (const auto& c : cases)
        CHECK_ERROR(check_gbnf(c.grammar, "root"), ErrorKind::GrammarError, std::string("grammar ") + c.text);
}

TEST("a grammar error carries line and column in characters as fields") {
    try {
        check_gbnf("root ::= \"\xE2\x82\xAC\" a\na ::= \"\xE2\x82\xAC\" $", "root");
        CHECK(false);
    } catch (const Error& error) {
        CHECK(*error.field("line") == inllama::FieldValue(int64_t{2}));
        CHECK(*error.field("column") == inllama::FieldValue(int64_t{11}));
    }
}

TEST("every rule that is mentioned must be defined") {
    CHECK_ERROR(check_gbnf("root ::= a\na ::= b \"x\"\n", "root"), ErrorKind::GrammarError,
                "grammar line 2, column 7: rule \"b\" is not defined");
    // llama.cpp stumbles over this mention as well, since a later rule is defined.
    CHECK_EQ(problem("root ::= a{0} b\nb ::= \"x\""), "rule \"a\" is not defined");
}

TEST("the root rule must be defined, under the name asked for") {
    const std::string text = "; define it or name another root";
    CHECK_EQ(problem(""), "there is no rule \"root\" to start from" + text);
    CHECK_EQ(problem("a ::= \"x\""), "there is no rule \"root\" to start from" + text);
    CHECK_EQ(problem("a ::= \"x\" root{0}"), "there is no rule \"root\" to start from" + text);
    check_gbnf("a ::= \"x\"", "a");
    CHECK_THROWS_AS(check_gbnf("a ::= (\"x\")", "a_1"), Error); // the name of llama.cpp's rule for the group
    CHECK_THROWS_AS(check_gbnf("a ::= \"x\"", "\xFF"), Error);
}

TEST("token names and ids are looked up") {
    const auto is_token = [](std::string_view text) { return text == "<think>" || text == "<[5]>"; };
    check_gbnf("root ::= <think> !<think> <[5]>", "root", is_token);
    CHECK_ERROR(
        check_gbnf("root ::= \"a\" !<nope>", "root", is_token), ErrorKind::GrammarError,
        "grammar line 1, column 15: token \"<nope>\" is not one token of the model; write it as a literal or "
        "by its id, <[id]>");
}

TEST("left recursion is refused, direct, through other rules, and past what may be empty") {
    const std::string left_recursion =
        "can come back to itself before it consumes anything (left recursion); put "
        "what it consumes first, or use '*' or '+' over something that is never empty";
    for (const char* grammar : {
             "root ::= root \"a\" | \"b\"",
             "root ::= \"b\" | a\na ::= root \"x\"",
             "root ::= a root \"x\" | \"b\"\na ::= \"\" | \"y\"",
             "root ::= (root \"a\")? \"b\"",
             "root ::= \"a\"**",
             "root ::= \"x\"\nunused ::= unused",
             // Hidden: `a` is empty only by way of `b`. llama.cpp accepts this and never returns.
             "root ::= a root \"x\" | \"y\"\na ::= b\nb ::= \"\" | \"z\"",
         }) {
        const std::string text = problem(grammar);
        CHECK_EQ(text.substr(text.find("can ")), left_recursion);
    }
}

TEST("recursion over what may be empty passes where llama.cpp's stacks do not grow") {
    CHECK(is_accepted("root ::= (\"a\"?)*"));
    CHECK(is_accepted("root ::= (ws item?)* \"end\"\nws ::= \" \"?\nitem ::= \"a\" | \"b\""));
}

TEST("parentheses are accepted to the limit and refused beyond") {
    CHECK(is_accepted("root ::= " + std::string(256, '(') + "\"a\"" + std::string(256, ')')));
    CHECK_EQ(problem("root ::= " + std::string(257, '(') + "\"a\"" + std::string(257, ')')),
             "parentheses are nested more than 256 deep; give the inner groups rules of their own");
    CHECK(!is_accepted("root ::= " + std::string(500000, '(')));
}

TEST("chains of rules are accepted to the limit and refused beyond") {
    CHECK(is_accepted(chain(2048)));
    CHECK_EQ(problem(chain(2049)),
             "rule \"root\" begins a chain of more than 2048 rules, each at the left end of the "
             "one before; shorten the chain");
    CHECK(!is_accepted(chain(50000)));
}

TEST("repetitions are counted as llama.cpp counts them") {
    CHECK(is_accepted("root ::= \"a\"{2000} \"b\"{0,2000} \"c\"{2000,}"));
    CHECK_EQ(problem("root ::= \"a\"{2001}"),
             "repetition {2001} is over the limit of 2000; lower it, or leave the upper bound open");
    CHECK_EQ(problem("root ::= \"a\"{1,2001}"),
             "repetition {1,2001} is over the limit of 2000; lower it, or leave the upper bound open");
    CHECK(is_accepted("root ::= \"a\"{40}{50}"));
    CHECK_EQ(problem("root ::= \"a\"{40}{51}"),
             "repetition {51} writes out 2040 rules, the limit is 2000; repeat "
             "less, or give the repeated part a rule of its own");
    // A group multiplies the rules made inside it: itself and 9 for the repetition.
    CHECK(is_accepted("root ::= (\"a\"{0,9}){200}"));
    CHECK(!is_accepted("root ::= (\"a\"{0,9}){201}"));
}

TEST("grammars that would not fit or never end in llama.cpp are refused quickly") {
    const std::string expanded =
        "the grammar takes more than 67108864 bytes with its repetitions written out; use "
        "fewer or smaller repetitions";
    CHECK_EQ(problem("root ::= \"" + std::string(1000000, 'a') + "\"{2000}"), expanded);
    CHECK_EQ(problem("root ::= \"" + std::string(1000000, 'a') + "\"{0,2000}"), expanded);
    CHECK_EQ(problem("root ::= " + repeated("\"a\"{2000}", 100000)), expanded);
    CHECK_EQ(problem("root ::= \"a\"" + std::string(1000000, '+')), expanded);
    const std::string long_name(400000, 'n'); // llama.cpp copies it for each rule of the repetition
    CHECK_EQ(problem("root ::= " + long_name + "\n" + long_name + " ::= \"a\"{0,2000}"), expanded);

    std::string doubling = "root ::= r0\n";
    for (int i = 0; i < 60; i++) {
        const std::string next = "r" + std::to_string(i + 1);
        doubling += "r" + std::to_string(i) + " ::= " + next + " \"x\" | " + next + " \"y\"\n";
    }
    CHECK_EQ(problem(doubling + "r60 ::= \"a\""), "rule \"root\" can begin in too many ways: llama.cpp needs "
                                                  "more than 67108864 steps to search it for left "
                                                  "recursion; let its alternatives begin differently");

    const auto optional = [](int n) {
        std::string grammar = "root ::=";
        for (int i = 0; i < n; i++) {
            grammar += " \"a\"?";
        }
        return grammar;
    };
    CHECK(is_accepted(optional(700)));
    CHECK_EQ(
        problem(optional(800)),
        "rule \"root\" has too many parts in a row that may be missing: that is more than 262144 pairs of "
        "what can follow each other; put some of them into alternatives");

    CHECK(is_accepted(alternatives(16384)));
    CHECK_EQ(problem(alternatives(16385)),
             "rule \"root\" goes on in 16385 ways at one place, for which llama.cpp needs "
             "268468225 steps, the limit is 268435456; use fewer alternatives or let "
             "them begin differently");
}

TEST("text that is too long, not UTF-8 or holds NUL is refused") {
    CHECK(is_accepted("root ::= \"a\" #" + std::string(inllama::kMaxGbnfBytes - 14, '-')));
    CHECK_EQ(problem("root ::= \"a\" #" + std::string(inllama::kMaxGbnfBytes - 13, '-')),
             "the grammar has 1048577 bytes, the limit is 1048576; shorten it");
    CHECK_ERROR(check_gbnf(std::string_view("root ::= \"\0\"", 12), "root"), ErrorKind::GrammarError,
                "grammar line 1, column 11: the grammar contains a NUL byte; write it as \\x00");
    CHECK_ERROR(check_gbnf("root ::= \"a\"\n# \xED\xA0\x80", "root"), ErrorKind::GrammarError,
                "grammar line 2, column 3: the grammar is not valid UTF-8; encode it as UTF-8");
}

TEST("an error text about names that are long or odd stays short and valid UTF-8") {
    const auto never = [](std::string_view) { return false; };
    try {
        check_gbnf("root ::= <" + repeated("\xE2\x82\xAC", 10000) + ">", "root", never);
        CHECK(false);
    } catch (const Error& error) {
        CHECK(error.message().size() < 250);
        CHECK(error.message().find("\xE2\x82\xAC...\"") != std::string::npos);
    }
}

// Naive model of left recursion over rules made of terminals and references only.
namespace {

constexpr size_t kModelRules = 5;
using Alternate = std::vector<int>; // a rule, or -1 for a terminal
using Model = std::array<std::vector<Alternate>, kModelRules>;
using Reach = std::array<std::array<bool, kModelRules>, kModelRules>;

std::string text_of(const Model& model) {
    std::string text;
    for (size_t rule = 0; rule < kModelRules; rule++) {
        text += (rule == 0 ? "root" : "r" + std::to_string(rule)) + " ::= ";
        for (size_t a = 0; a < model[rule].size(); a++) {
            text += a > 0 ? "| \"\" " : "\"\" "; // nothing, but it keeps an empty rule on its line
            for (const int item : model[rule][a])
                text += item < 0 ? "\"x\" " : item == 0 ? "root " : "r" + std::to_string(item) + " ";
        }
        text += "\n";
    }
    return text;
}

bool is_left_recursive(const Model& model, bool through_others, bool only_growing) {
    std::array<bool, kModelRules> is_empty{};
    for (size_t round = 0; round <= kModelRules; round++) {
        for (size_t rule = 0; rule < kModelRules; rule++) {
            for (const Alternate& alternate : model[rule]) {
                bool all_empty = true;
                for (const int item : alternate)
                    all_empty =
                        all_empty && through_others && item >= 0 && is_empty[static_cast<size_t>(item)];
                is_empty[rule] = is_empty[rule] || all_empty;
            }
        }
    }
    Reach left{}, growing{};
    for (size_t rule = 0; rule < kModelRules; rule++) {
        for (const Alternate& alternate : model[rule]) {
            for (size_t i = 0; i < alternate.size() && alternate[i] >= 0; i++) {
                const auto to = static_cast<size_t>(alternate[i]);
                left[rule][to] = true;
                growing[rule][to] = growing[rule][to] || i + 1 < alternate.size();
                if (!is_empty[to])
                    break;
            }
        }
    }
    Reach reach = left;
    for (size_t k = 0; k < kModelRules; k++)
        for (size_t i = 0; i < kModelRules; i++)
            for (size_t j = 0; j < kModelRules; j++)
                reach[i][j] = reach[i][j] || (reach[i][k] && reach[k][j]);
    for (size_t i = 0; i < kModelRules; i++) {
        for (size_t j = 0; j < kModelRules; j++) {
            if ((only_growing ? growing[i][j] : left[i][j]) && (i == j || reach[j][i]))
                return true;
        }
    }
    return false;
}

} // namespace

TEST("left recursion is found exactly where the naive model finds it") {
    std::mt19937 random(20261003);
    int n_accepted = 0, n_hidden = 0;
    for (int round = 0; round < 6000; round++) {
        Model model;
        for (size_t rule = 0; rule < kModelRules; rule++) {
            model[rule].resize(1 + random() % 2);
            for (Alternate& alternate : model[rule]) {
                // Mostly references to later rules, or nearly all grammars would be left-recursive.
                for (size_t n = random() % 4; n > 0; n--) {
                    const size_t first = random() % 4 > 0 && rule + 1 < kModelRules ? rule + 1 : 0;
                    const auto item = static_cast<int>(first + random() % (kModelRules - first));
                    alternate.push_back(random() % 4 == 0 ? -1 : item);
                }
            }
        }
        const bool seen_by_llama = is_left_recursive(model, false, false);
        const bool grows = is_left_recursive(model, true, true);
        const std::string text = text_of(model);
        if (is_accepted(text) != !(seen_by_llama || grows))
            CHECK_EQ(text, "");
        n_accepted += !(seen_by_llama || grows);
        n_hidden += grows && !seen_by_llama;
    }
    CHECK(n_accepted > 1000);
    CHECK(n_hidden > 20);
}

TEST("a damaged grammar is accepted or refused with a place inside it, never worse") {
    const std::string marks = "\"[](){}|*+?.<>!:=,#\\-_ \n\tax09";
    std::mt19937 random(20261004);
    int n_refused = 0;
    for (int round = 0; round < 20000; round++) {
        std::string text = kJson;
        for (size_t n = 1 + random() % 4; n > 0; n--) {
            const size_t at = random() % text.size();
            const char mark = marks[random() % marks.size()];
            switch (random() % 3) {
            case 0:
                text.erase(at, 1 + random() % 3);
                break;
            case 1:
                text.insert(at, 1, mark);
                break;
            default:
                text[at] = mark;
            }
        }
        try {
            check_gbnf(text, "root");
        } catch (const Error& error) {
            n_refused++;
            const auto line = static_cast<size_t>(std::get<int64_t>(*error.field("line")));
            const auto column = static_cast<size_t>(std::get<int64_t>(*error.field("column")));
            size_t begin = 0;
            for (size_t i = 1; i < line && begin != std::string::npos; i++)
                begin = text.find('\n', begin) == std::string::npos ? std::string::npos
                                                                    : text.find('\n', begin) + 1;
            CHECK(begin != std::string::npos);
            CHECK(column >= 1 && column <= std::min(text.find('\n', begin), text.size()) - begin + 1);
        }
    }
    CHECK(n_refused > 2000);
}
