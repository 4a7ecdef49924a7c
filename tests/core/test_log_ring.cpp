#include "core/log_ring.h"
#include "tests/core/check.h"

#include <atomic>
#include <random>
#include <thread>

using inllama::kLogLevelContinue;
using inllama::LogLines;
using inllama::LogRecord;
using inllama::LogRing;

namespace {

std::string joined(const std::vector<inllama::LogLine>& lines) {
    std::string text;
    for (const auto& line : lines)
        text += std::to_string(line.level) + ":" + line.text + "|";
    return text;
}

} // namespace

TEST("log records come out in order with level and text") {
    LogRing ring(4);
    LogRecord record;
    CHECK(ring.empty());
    CHECK(!ring.pop(record));
    for (int lap = 0; lap < 10; lap++) {
        ring.push(1, "one");
        ring.push(4, std::string_view("t\0wo", 4));
        CHECK(!ring.empty());
        CHECK(ring.pop(record) && record.level == 1 && record.view() == "one");
        CHECK(ring.pop(record) && record.level == 4 && record.view() == std::string_view("t\0wo", 4));
        CHECK(ring.empty());
    }
    CHECK_EQ(ring.dropped(), 0u);
}

TEST("a full log ring keeps the old records and counts the new ones once") {
    LogRing ring(4);
    for (int i = 0; i < 7; i++)
        ring.push(2, std::to_string(i));
    CHECK_EQ(ring.dropped(), 3u);
    CHECK_EQ(ring.dropped(), 0u);
    LogRecord record;
    for (int i = 0; i < 4; i++)
        CHECK(ring.pop(record) && record.view() == std::to_string(i));
    CHECK(!ring.pop(record));
    ring.push(2, "again");
    CHECK(ring.pop(record) && record.view() == "again");
}

TEST("a long log text is split into a record and its continuations, at every length around the slot size") {
    for (const size_t length : {LogRecord::kTextBytes - 1, LogRecord::kTextBytes, LogRecord::kTextBytes + 1,
                                3 * LogRecord::kTextBytes, 4 * LogRecord::kTextBytes}) {
        LogRing ring(4);
        std::string text(length, 'a'), read;
        text.back() = 'z';
        ring.push(3, text);
        LogRecord record;
        for (int i = 0; ring.pop(record); i++) {
            CHECK_EQ(record.level, i == 0 ? 3 : kLogLevelContinue);
            read += record.view();
        }
        CHECK(read == text);
        CHECK_EQ(ring.dropped(), 0u);
    }
}

TEST("a log text that does not fit is dropped whole") {
    LogRing ring(4);
    LogRecord record;
    ring.push(2, std::string(4 * LogRecord::kTextBytes + 1, 'a'));
    CHECK(ring.empty());
    ring.push(2, "x");
    ring.push(2, std::string(3 * LogRecord::kTextBytes + 1, 'a'));
    CHECK_EQ(ring.dropped(), 2u);
    CHECK(ring.pop(record) && record.view() == "x" && !ring.pop(record));
}

TEST("records of several producers arrive whole, once, and in each producer's order") {
    constexpr int kProducers = 3, kTexts = 3000;
    LogRing ring(16);
    std::atomic<int> n_running{kProducers};
    std::vector<std::thread> producers;
    for (int p = 0; p < kProducers; p++) {
        producers.emplace_back([&ring, &n_running, p] {
            std::mt19937 random(static_cast<unsigned>(p));
            for (int i = 0; i < kTexts; i++) {
                const std::string number = std::to_string(i);
                const std::string filler(random() % (2 * LogRecord::kTextBytes), static_cast<char>('a' + p));
                ring.push(p, number + "," + filler + ";");
                if (random() % 8 == 0)
                    std::this_thread::yield();
            }
            n_running--;
        });
    }
    int next[kProducers] = {};
    int n_received = 0, n_bad = 0;
    std::string text;
    int level = 0;
    LogRecord record;
    for (bool is_last_round = false;;) {
        if (!ring.pop(record)) {
            if (is_last_round)
                break;
            is_last_round = n_running == 0;
            std::this_thread::yield();
            continue;
        }
        if (record.level != kLogLevelContinue) {
            if (!text.empty())
                n_bad++;
            level = record.level;
        }
        text += record.view();
        if (text.back() != ';')
            continue;
        const int number = std::stoi(text);
        const size_t comma = text.find(',');
        if (number < next[level])
            n_bad++;
        if (text.find_first_not_of(static_cast<char>('a' + level), comma + 1) != text.size() - 1)
            n_bad++;
        next[level] = number + 1;
        n_received++;
        text.clear();
    }
    for (auto& producer : producers)
        producer.join();
    CHECK_EQ(n_bad, 0);
    CHECK_EQ(static_cast<uint64_t>(n_received) + ring.dropped(), uint64_t{kProducers * kTexts});
    CHECK(n_received > 0);
}

TEST("a log line is joined from its fragments and keeps the level of the first") {
    LogLines lines;
    CHECK_EQ(joined(lines.push(3, "load")), "");
    CHECK_EQ(joined(lines.push(kLogLevelContinue, "ing .")), "");
    CHECK_EQ(joined(lines.push(kLogLevelContinue, ".\n")), "3:loading ..|");
    CHECK(!lines.flush());
}

TEST("one fragment can finish several lines, and empty lines are left out") {
    LogLines lines;
    CHECK_EQ(joined(lines.push(2, "a\n\nb\nc")), "2:a|2:b|");
    CHECK_EQ(joined(lines.push(kLogLevelContinue, "\n")), "2:c|");
}

TEST("a fragment of its own level ends an unfinished log line") {
    LogLines lines;
    CHECK_EQ(joined(lines.push(2, "unfinished")), "");
    CHECK_EQ(joined(lines.push(4, "error\n")), "2:unfinished|4:error|");
}

TEST("a continuation of a finished log line starts one of the same level") {
    LogLines lines;
    CHECK_EQ(joined(lines.push(kLogLevelContinue, "first\n")), "2:first|");
    lines.push(4, "error\n");
    CHECK_EQ(joined(lines.push(kLogLevelContinue, "more\n")), "4:more|");
}

TEST("flush gives the unfinished log line once") {
    LogLines lines;
    lines.push(1, "tail");
    const auto line = lines.flush();
    CHECK(line && line->level == 1 && line->text == "tail");
    CHECK(!lines.flush());
}

TEST("a log line without end is cut at its limit and loses nothing") {
    LogLines lines;
    size_t n_bytes = 0;
    for (int i = 0; i < 1000; i++) {
        for (const auto& line : lines.push(i == 0 ? 2 : kLogLevelContinue, std::string(333, 'x'))) {
            CHECK_EQ(line.text.size(), LogLines::kMaxLineBytes);
            n_bytes += line.text.size();
        }
    }
    n_bytes += lines.flush()->text.size();
    CHECK_EQ(n_bytes, size_t{333000});
}
