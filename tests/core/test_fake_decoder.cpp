#include "core/fake_decoder.h"

#include "tests/core/check.h"

#include <algorithm>
#include <set>
#include <stdexcept>

using namespace inllama;

namespace {

DecoderTraits traits_of(MemoryKind memory) {
    DecoderTraits traits;
    traits.memory = memory;
    traits.n_cells = 32;
    traits.n_positions = 32;
    traits.n_run_ids = 3;
    traits.n_ids = 5;
    traits.n_rows_max = 16;
    traits.n_window = memory == MemoryKind::window ? 4 : 0;
    traits.n_vocab = 1000;
    return traits;
}

struct Fake : FakeDecoder {
    explicit Fake(MemoryKind memory = MemoryKind::attention) : FakeDecoder(traits_of(memory)) {}

    // Computes tokens at the end of a sequence; gives the token that follows.
    Token add(SequenceId sequence, const std::vector<Token>& tokens) {
        std::vector<StepRow> rows;
        Position position = pos_max(sequence) + 1;
        for (const Token token : tokens) {
            rows.push_back({token, position++, sequence, false});
        }
        rows.back().has_output = true;
        if (decode(rows) != DecodeStatus::ok) {
            return -1;
        }
        const float* row = logits(static_cast<int>(rows.size()) - 1);
        return static_cast<Token>(std::max_element(row, row + traits().n_vocab) - row);
    }
};

} // namespace

TEST("the next token depends on every token before it and on their order") {
    std::set<Token> next;
    for (const std::vector<Token>& tokens :
         {std::vector<Token>{1, 2, 3}, {3, 2, 1}, {1, 2}, {2, 3}, {1, 2, 2}, {7, 2, 3}, {1, 2, 3, 0}}) {
        next.insert(Fake().add(0, tokens));
    }
    CHECK_EQ(next.size(), size_t{7});
}

TEST("the next token does not depend on the sequence's id, the steps or what else is computed") {
    const Token expected = Fake().add(0, {4, 5, 6});
    Fake fake;
    fake.add(1, {9});
    fake.add(2, {4});
    fake.add(2, {5});
    CHECK_EQ(fake.add(2, {6}), expected);
}

TEST("rows of several sequences give the logits of their own") {
    const Token first = Fake().add(0, {1, 2});
    const Token second = Fake().add(0, {3});
    Fake fake;
    CHECK(fake.decode({{1, 0, 0, false}, {3, 0, 1, true}, {2, 1, 0, true}}) == DecodeStatus::ok);
    CHECK_EQ(fake.logits(1)[second], 1.0f);
    CHECK_EQ(fake.logits(2)[first], 1.0f);
    CHECK_THROWS_AS(fake.logits(0), std::logic_error);
    fake.add(0, {7, 7, 7});
    CHECK_THROWS_AS(fake.logits(1), std::logic_error);
}

TEST("a function of the tokens in memory can say what comes next") {
    Fake fake;
    fake.next_token = [](const std::vector<Token>& tokens) { return static_cast<Token>(tokens.size()) * 10; };
    CHECK_EQ(fake.add(0, {1, 2}), 20);
    fake.copy(0, 1, 1);
    CHECK_EQ(fake.add(1, {5, 6}), 30);
}

TEST("an encoded prompt counts for the next token and takes no cells") {
    Fake fake(MemoryKind::whole);
    fake.next_token = [](const std::vector<Token>& tokens) { return tokens.front(); };
    CHECK(fake.encode({42, 1}) == DecodeStatus::ok);
    CHECK_EQ(fake.add(0, {7}), 42);
    CHECK_EQ(fake.n_cells_used(), 1);
}

TEST("sequences share the cells of a copy until both have let go of them") {
    Fake fake;
    const Token expected = Fake().add(0, {1, 2, 3, 9});
    fake.add(0, {1, 2, 3, 4});
    fake.copy(0, 1, 3);
    CHECK_EQ(fake.n_cells_used(), 4);
    CHECK_EQ(fake.add(1, {9}), expected);
    CHECK_EQ(fake.n_cells_used(), 5);
    CHECK(fake.remove(0, 0));
    CHECK_EQ(fake.n_cells_used(), 4);
    CHECK(fake.remove(1, 2));
    CHECK_EQ(fake.n_cells_used(), 2);
    CHECK_EQ(fake.pos_max(1), 1);
    fake.clear();
    CHECK_EQ(fake.n_cells_used(), 0);
    CHECK_EQ(fake.pos_max(1), -1);
    CHECK_EQ(fake.pos_min(1), -1);
}

TEST("a step for which there are no cells changes nothing") {
    Fake fake;
    fake.add(0, std::vector<Token>(16, 1));
    fake.add(1, std::vector<Token>(14, 1));
    CHECK(fake.decode({{1, 16, 0, false}, {1, 14, 1, false}, {1, 0, 2, false}}) == DecodeStatus::no_room);
    CHECK_EQ(fake.n_cells_used(), 30);
    CHECK_EQ(fake.pos_max(0), 15);
    CHECK(fake.decode({{1, 16, 0, false}, {1, 14, 1, false}}) == DecodeStatus::ok);
}

TEST("a recurrent state takes no cells that could run out") {
    Fake fake(MemoryKind::recurrent);
    for (int i = 0; i < 10; i++) {
        CHECK(fake.add(0, std::vector<Token>(16, 1)) >= 0);
    }
    CHECK_EQ(fake.pos_max(0), 159);
}

TEST("rows that a real decoder would abort on are exceptions") {
    Fake fake;
    fake.add(0, {1, 2});
    const auto refuses = [&](const std::vector<StepRow>& rows) {
        CHECK_THROWS_AS(fake.decode(rows), std::logic_error);
        CHECK_EQ(fake.n_cells_used(), 2);
    };
    refuses({});
    refuses(std::vector<StepRow>(17, StepRow{1, 2, 0, false}));
    refuses({{1, 3, 0, false}});
    refuses({{1, 1, 0, false}});
    refuses({{1, 2, 0, false}, {1, 2, 0, false}});
    refuses({{1, 0, 3, false}});
    refuses({{1, 0, -1, false}});
    refuses({{1000, 2, 0, false}});
    refuses({{-1, 2, 0, false}});
}

TEST("copies that a real decoder would abort on are exceptions") {
    Fake fake;
    fake.add(0, {1, 2});
    fake.add(1, {3});
    CHECK_THROWS_AS(fake.copy(0, 1, 2), std::logic_error);
    CHECK_THROWS_AS(fake.copy(0, 2, 3), std::logic_error);
    CHECK_THROWS_AS(fake.copy(0, 5, 2), std::logic_error);
    CHECK_THROWS_AS(fake.remove(-1, 0), std::logic_error);
    fake.copy(0, 4, 2);
    CHECK_EQ(fake.pos_max(4), 1);
    CHECK_EQ(fake.n_cells_used(), 3);
}

TEST("recurrent memory copies and removes whole sequences only") {
    Fake fake(MemoryKind::recurrent);
    fake.add(0, {1, 2, 3});
    CHECK_THROWS_AS(fake.copy(0, 1, 2), std::logic_error);
    CHECK(!fake.remove(0, 1));
    CHECK_EQ(fake.pos_max(0), 2);
    fake.copy(0, 1, 3);
    CHECK(fake.remove(0, 0));
    CHECK_EQ(fake.add(1, {4}), Fake().add(0, {1, 2, 3, 4}));
}

TEST("memory that shares nothing refuses copies, and cuts") {
    Fake fake(MemoryKind::whole);
    fake.add(0, {1, 2});
    CHECK_THROWS_AS(fake.copy(0, 1, 2), std::logic_error);
    CHECK(!fake.remove(0, 1));
    CHECK(fake.remove(0, 0));
}

TEST("a copy of window memory goes on only where the window before it is still there") {
    for (int n = 1; n <= 10; n++) {
        Fake fake(MemoryKind::window);
        fake.add(0, std::vector<Token>(10, 1));
        // The last row saw positions 6 to 9.
        CHECK_EQ(fake.pos_min(0), 6);
        fake.copy(0, 1, n);
        if (n >= 9) {
            CHECK(fake.add(1, {2}) >= 0);
        } else {
            CHECK_THROWS_AS(fake.add(1, {2}), std::logic_error);
        }
    }
}

TEST("a sequence of window memory that was removed starts afresh") {
    Fake fake(MemoryKind::window);
    fake.add(0, std::vector<Token>(10, 1));
    CHECK(fake.remove(0, 0));
    CHECK_EQ(fake.add(0, {5}), Fake().add(0, {5}));
    CHECK_EQ(fake.pos_min(0), 0);
}

TEST("a step fails as the script says, without a change") {
    Fake fake;
    fake.add(0, {1});
    fake.script = [](int step, const std::vector<StepRow>& rows) {
        CHECK_EQ(rows.size(), size_t{1});
        FakeOutcome outcome;
        outcome.status = step == 1 ? DecodeStatus::failed : DecodeStatus::ok;
        outcome.throws = step == 2;
        return outcome;
    };
    CHECK(fake.decode({{2, 1, 0, true}}) == DecodeStatus::failed);
    CHECK_THROWS_AS(fake.decode({{2, 1, 0, true}}), std::runtime_error);
    CHECK_EQ(fake.n_cells_used(), 1);
    CHECK_EQ(fake.add(0, {2}), Fake().add(0, {1, 2}));
    CHECK_EQ(fake.n_steps(), 4);
    CHECK_EQ(fake.n_rows(), int64_t{2});
}

TEST("a decoder without an opinion remembers as ever, and all its logits are zero") {
    Fake fake;
    fake.has_opinion = false;
    CHECK(fake.decode({{1, 0, 0, true}, {2, 1, 0, false}, {1, 0, 1, true}}) == DecodeStatus::ok);
    for (const int row : {0, 2}) {
        const float* logits = fake.logits(row);
        CHECK(std::all_of(logits, logits + 1000, [](float logit) { return logit == 0.0f; }));
    }
    CHECK_THROWS_AS(fake.logits(1), std::logic_error);
    CHECK_EQ(fake.n_cells_used(), 3);
    CHECK_THROWS_AS(fake.decode({{1, 1, 0, true}}), std::logic_error);
}

TEST("steps fail as often and in the order as somebody asked for") {
    FakeFaults faults;
    CHECK(faults.take() == DecodeStatus::ok);
    faults.add(2, DecodeStatus::failed);
    faults.add(0, DecodeStatus::invalid);
    faults.add(1, DecodeStatus::no_room);
    for (const DecodeStatus expected : {DecodeStatus::failed, DecodeStatus::failed, DecodeStatus::no_room,
                                        DecodeStatus::ok, DecodeStatus::ok}) {
        CHECK(faults.take() == expected);
    }
}

TEST("the fake vocabulary has bytes, words of a letter and a token that ends") {
    const FakeVocab vocab(3);
    CHECK_EQ(vocab.size(), 260);
    std::string text;
    for (const Token token : {Token{'x'}, 0xC3, 256, 258, 259}) {
        vocab.append_bytes(token, text);
    }
    CHECK_EQ(text, std::string("x\xC3 a c"));
    CHECK(vocab.ends(259));
    CHECK(!vocab.ends(258) && !vocab.ends(0));
}

TEST("the fake sampler takes the lowest of the largest logits, and the end only if it may") {
    FakeSampler sampler(2);
    const float logits[] = {0.0f, 5.0f, 7.0f, 5.0f};
    CHECK_EQ(sampler.choose(logits, 4, true), 2);
    CHECK_EQ(sampler.choose(logits, 4, false), 1);
    sampler.accept_prompt({1, 2, 3});
    CHECK_EQ(sampler.n_seen, 3);
}
