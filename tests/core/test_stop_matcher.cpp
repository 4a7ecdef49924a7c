#include "core/stop_matcher.h"
#include "tests/core/check.h"

#include <chrono>
#include <random>

using inllama::Error;
using inllama::ErrorKind;
using inllama::StopMatcher;
using Stops = std::vector<std::string>;

namespace {

struct Found {
    std::string text;
    std::optional<size_t> stop;
};

// The naive model: tries every end from the left, and at each the longest stop string first.
Found found_by_model(const Stops& stops, const std::string& text) {
    for (size_t end = 1; end <= text.size(); end++) {
        std::optional<size_t> best;
        for (size_t i = 0; i < stops.size(); i++) {
            const size_t length = stops[i].size();
            if (length > end || text.compare(end - length, length, stops[i]) != 0)
                continue;
            if (!best || length > stops[*best].size())
                best = i;
        }
        if (best)
            return {text.substr(0, end - stops[*best].size()), best};
    }
    return {text, std::nullopt};
}

// How much of the end of `text` begins some stop string, at most.
size_t held_by_model(const Stops& stops, const std::string& text) {
    size_t longest = 0;
    for (const auto& stop : stops) {
        for (size_t n = longest + 1; n <= std::min(stop.size(), text.size()); n++) {
            if (text.compare(text.size() - n, n, stop, 0, n) == 0)
                longest = n;
        }
    }
    return longest;
}

bool begins_inside_character(const std::string& text) {
    return !text.empty() && (static_cast<unsigned char>(text[0]) & 0xC0) == 0x80;
}

std::string random_text(std::mt19937& random, const Stops& alphabet, size_t n_characters) {
    std::string text;
    for (; n_characters > 0; n_characters--)
        text += alphabet[random() % alphabet.size()];
    return text;
}

} // namespace

TEST("without stop strings all text passes at once") {
    StopMatcher matcher({});
    CHECK_EQ(matcher.push("any text").text, "any text");
    CHECK_EQ(matcher.flush(), "");
}

TEST("a stop string inside one piece cuts the text before it") {
    StopMatcher matcher({"END"});
    const auto step = matcher.push("text END more");
    CHECK_EQ(step.text, "text ");
    CHECK(step.stop == size_t{0});
}

TEST("a stop string over several pieces is never published") {
    StopMatcher matcher({"\n\nUser:"});
    CHECK_EQ(matcher.push("Hi\n").text, "Hi");
    CHECK_EQ(matcher.push("\nUs").text, "");
    CHECK_EQ(matcher.n_held(), 4u);
    const auto step = matcher.push("er:");
    CHECK_EQ(step.text, "");
    CHECK(step.stop == size_t{0});
}

TEST("held text is published when it turns out not to be a stop string") {
    StopMatcher matcher({"abcd"});
    CHECK_EQ(matcher.push("xabc").text, "x");
    CHECK_EQ(matcher.push("abc").text, "abc");
    CHECK_EQ(matcher.flush(), "abc");
    CHECK_EQ(matcher.flush(), "");
}

TEST("after a stop nothing more is published") {
    StopMatcher matcher({"."});
    CHECK(matcher.push("a.b").stop.has_value());
    const auto step = matcher.push("c.");
    CHECK_EQ(step.text, "");
    CHECK(!step.stop);
    CHECK_EQ(matcher.flush(), "");
    CHECK_EQ(matcher.n_held(), 0u);
}

TEST("the stop string that ends first wins, and at the same end the longest") {
    CHECK(StopMatcher({"abcdef", "cd"}).push("abcdef").stop == size_t{1});
    const auto step = StopMatcher({"cd", "abcd", "bcd"}).push("xabcd");
    CHECK(step.stop == size_t{1});
    CHECK_EQ(step.text, "x");
}

TEST("of equal stop strings the first is reported") {
    CHECK(StopMatcher({"x", "ab", "ab"}).push("ab").stop == size_t{1});
}

TEST("an empty stop string is refused") {
    CHECK_ERROR(StopMatcher({"a", ""}), ErrorKind::InvalidRequestError,
                "stop string 1 is empty and would match everywhere; remove it");
}

TEST("a stop string that is not UTF-8 is refused") {
    CHECK_ERROR(StopMatcher({"ab\xC3"}), ErrorKind::InvalidRequestError,
                "stop string 0 is not valid UTF-8 at byte 2; encode it as UTF-8");
}

TEST("any text in any split gives what the naive search over the whole gives") {
    // Few characters, some sharing bytes: many overlaps, failures and partial matches.
    const Stops alphabet = {"a", "b", "\xC3\xA9", "\xC3\xA8", "\xE2\x82\xAC", "\xE2\x82\xA9"};
    std::mt19937 random(20261002);
    int n_stopped = 0;
    for (int round = 0; round < 4000; round++) {
        Stops stops(1 + random() % 4);
        for (auto& stop : stops)
            stop = random_text(random, alphabet, 1 + random() % 5);
        StopMatcher matcher(stops);
        Found found;
        std::string whole;
        for (size_t n_pieces = random() % 12; n_pieces > 0 && !found.stop; n_pieces--) {
            const std::string piece = random_text(random, alphabet, random() % 4);
            whole += piece;
            const auto step = matcher.push(piece);
            CHECK(!begins_inside_character(step.text));
            found.text += step.text;
            found.stop = step.stop;
            if (!step.stop)
                CHECK_EQ(whole.size() - found.text.size(), held_by_model(stops, whole));
        }
        const std::string rest = matcher.flush();
        CHECK(!begins_inside_character(rest));
        found.text += rest;
        const Found expected = found_by_model(stops, whole);
        CHECK_EQ(found.text, expected.text);
        CHECK(found.stop == expected.stop);
        if (found.stop)
            n_stopped++;
    }
    CHECK(n_stopped > 500 && n_stopped < 3900);
}

TEST("a thousand stop strings are searched together") {
    Stops stops;
    for (int i = 0; i < 1000; i++)
        stops.push_back("stop " + std::to_string(i) + " end");
    StopMatcher matcher(stops);
    std::string text;
    for (int i = 0; i < 1000; i++)
        text += matcher.push("stop " + std::to_string(i) + " en.").text;
    CHECK_EQ(matcher.push("stop 987 en").text, "");
    CHECK(matcher.push("d").stop == size_t{987});
    CHECK_EQ(matcher.flush(), "");
    CHECK(text.size() > 1000 * 9);
}

TEST("time per byte does not depend on how much is held back") {
    const auto seconds = [](size_t length) {
        StopMatcher matcher({std::string(length, 'a') + "b"});
        const auto start = std::chrono::steady_clock::now();
        size_t n_published = 0;
        for (int i = 0; i < 400000; i++)
            n_published += matcher.push("a").text.size();
        CHECK_EQ(n_published, 400000 - length);
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    const double short_hold = seconds(10);
    const double long_hold = seconds(100000);
    CHECK(long_hold < 20 * short_hold + 0.05); // quadratic work would be 10,000 times more
}
