// A decoder without a model: it remembers what a real one would, answers at once, and fails on command.
#pragma once

#include "core/decoder.h"
#include "core/row_sampler.h"
#include "core/vocab.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace inllama {

// What a step of the fake shall do instead of computing.
struct FakeOutcome {
    DecodeStatus status = DecodeStatus::ok;
    bool throws = false;
    std::chrono::microseconds delay{0};
};

// Steps that shall fail, as somebody asks for it while the engine runs. Any thread.
class FakeFaults {
  public:
    // The next `n` steps after those asked for already.
    void add(int n, DecodeStatus status);
    // What the next step shall answer.
    DecodeStatus take();

  private:
    std::mutex mutex_;
    std::deque<std::pair<int, DecodeStatus>> left_;
};

// The next token is a function of all tokens that memory holds for the sequence, in their order. So output
// shows whether a sequence ever saw a cell that is not its own, missed one, or saw one twice. What a real
// decoder would answer with an abort is an exception, std::logic_error, and counted, for tests to look for.
class FakeDecoder : public Decoder {
  public:
    explicit FakeDecoder(DecoderTraits traits);
    ~FakeDecoder() override;

    // Asked before each step; `step` counts from 0.
    std::function<FakeOutcome(int step, const std::vector<StepRow>& rows)> script;
    // Asked before every other call, by its name; may throw in its place.
    std::function<void(const char* name)> interference;
    // The token after a sequence of tokens; by default one of the vocabulary, by a hash of all of them.
    std::function<Token(const std::vector<Token>& tokens)> next_token;
    // Otherwise all logits are 0, for samplers that know what to choose; a row then costs next to nothing.
    bool has_opinion = true;

    const DecoderTraits& traits() const override { return traits_; }
    // Tokens depend on the adapters that a cell was computed with.
    void use(const std::shared_ptr<const AdapterSet>& adapters) override;
    DecodeStatus decode(const std::vector<StepRow>& rows) override;
    DecodeStatus encode(const std::vector<Token>& prompt) override;
    const float* logits(int row) override;
    void copy(SequenceId from, SequenceId to, Position n) override;
    bool remove(SequenceId sequence, Position begin) override;
    void clear() override;
    std::vector<uint8_t> save(SequenceId sequence, Position n) override;
    bool load(SequenceId sequence, const std::vector<uint8_t>& state, Position n) override;
    Position pos_min(SequenceId sequence) override;
    Position pos_max(SequenceId sequence) override;

    // Cells in use, by the fake's own account.
    int n_cells_used() const { return n_cells_used_; }
    int n_steps() const { return n_steps_; }
    const std::shared_ptr<const AdapterSet>& adapters() const { return adapters_; }
    // Calls that a real decoder would have answered with an abort.
    int n_violations() const { return n_violations_; }
    int64_t n_rows() const { return n_rows_; }

  private:
    // A token at a place. Sequences that share it hold the same one.
    struct Cell;
    struct Remembered {
        std::vector<std::shared_ptr<Cell>> cells;
        Position oldest = 0; // window: where what it sees begins
    };

    [[noreturn]] void refuse(const std::string& why);
    void enter(const char* name) const;
    Remembered& at(SequenceId sequence);
    Token after(const Remembered& sequence) const;
    void check(const std::vector<StepRow>& rows);
    void fill(std::vector<float>& logits, const Remembered& sequence) const;

    DecoderTraits traits_;
    int n_cells_used_ = 0; // the cells of `sequences_` count themselves here
    std::vector<Remembered> sequences_;
    std::vector<Token> encoded_;
    std::shared_ptr<const AdapterSet> adapters_;
    std::vector<int> output_at_;              // by row: its place in `outputs_`; negative: it has no output
    std::vector<std::vector<float>> outputs_; // without an opinion one for all
    std::vector<Position> next_;              // by sequence, while rows are checked
    int n_steps_ = 0;
    int n_violations_ = 0;
    int64_t n_rows_ = 0;
};

// Bytes, and after them `n_words` tokens of a space and a letter; the last token ends an output.
class FakeVocab : public Vocab {
  public:
    explicit FakeVocab(int n_words = 26) : n_words_(n_words) {}

    int size() const override { return 256 + n_words_ + 1; }
    bool ends(Token token) const override { return token == size() - 1; }
    void append_bytes(Token token, std::string& to) const override;
    void append_spelling(Token token, std::string& to) const override;

  private:
    int n_words_;
};

// Takes the largest logit; the lowest of equal ones.
class FakeSampler : public RowSampler {
  public:
    explicit FakeSampler(Token end) : end_(end) {}

    void accept_prompt(const std::vector<Token>& prompt) override {
        n_seen += static_cast<int>(prompt.size());
    }
    Token choose(const float* logits, size_t n, bool may_end) override;

    int n_seen = 0; // tokens of the prompt

  private:
    Token end_;
};

} // namespace inllama
