#include "core/fake_decoder.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <thread>

namespace inllama {

struct FakeDecoder::Cell {
    Cell(Token of, uint64_t seen, int& n_used)
        : token(of), hash((seen ^ static_cast<uint64_t>(of + 1)) * 0x9E3779B97F4A7C15u), n(n_used) {
        hash ^= hash >> 29;
        n++;
    }
    Cell(Token of, uint64_t known, int& n_used, bool) : token(of), hash(known), n(n_used) { n++; }
    ~Cell() { n--; }
    Cell(const Cell&) = delete;
    Cell& operator=(const Cell&) = delete;

    Token token;
    uint64_t hash; // of all tokens up to here
    int& n;
};

void FakeDecoder::refuse(const std::string& why) {
    n_violations_++;
    throw std::logic_error("a real decoder would have aborted: " + why);
}

void FakeDecoder::enter(const char* name) const {
    if (interference) {
        interference(name);
    }
}

void FakeFaults::add(int n, DecodeStatus status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    left_.emplace_back(n, status);
}

DecodeStatus FakeFaults::take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (!left_.empty() && left_.front().first <= 0) {
        left_.pop_front();
    }
    if (left_.empty()) {
        return DecodeStatus::ok;
    }
    left_.front().first--;
    return left_.front().second;
}

FakeDecoder::FakeDecoder(DecoderTraits traits)
    : traits_(traits), sequences_(static_cast<size_t>(traits.n_ids)) {}

FakeDecoder::~FakeDecoder() = default;

FakeDecoder::Remembered& FakeDecoder::at(SequenceId sequence) {
    if (sequence < 0 || sequence >= traits_.n_ids) {
        refuse("sequence " + std::to_string(sequence));
    }
    return sequences_[static_cast<size_t>(sequence)];
}

void FakeDecoder::check(const std::vector<StepRow>& rows) {
    if (rows.empty() || static_cast<int>(rows.size()) > traits_.n_rows_max) {
        refuse(std::to_string(rows.size()) + " rows");
    }
    next_.assign(sequences_.size(), -1);
    for (const StepRow& row : rows) {
        if (row.sequence >= traits_.n_run_ids || row.token < 0 || row.token >= traits_.n_vocab) {
            refuse("token " + std::to_string(row.token) + " of sequence " + std::to_string(row.sequence));
        }
        const auto begin = static_cast<Position>(at(row.sequence).cells.size());
        Position& next = next_[static_cast<size_t>(row.sequence)];
        next = std::max(next, begin);
        if (row.position != next++) {
            refuse("position " + std::to_string(row.position));
        }
    }
}

void FakeDecoder::use(const std::shared_ptr<const AdapterSet>& adapters) {
    enter("use");
    adapters_ = adapters;
}

DecodeStatus FakeDecoder::decode(const std::vector<StepRow>& rows) {
    const FakeOutcome outcome = script ? script(n_steps_, rows) : FakeOutcome{};
    n_steps_++;
    if (outcome.delay.count() > 0) {
        std::this_thread::sleep_for(outcome.delay);
    }
    if (outcome.throws) {
        throw std::runtime_error("the script says so");
    }
    if (outcome.status != DecodeStatus::ok) {
        return outcome.status;
    }
    check(rows);
    const bool has_cells = traits_.memory != MemoryKind::recurrent;
    if (has_cells && n_cells_used() + static_cast<int>(rows.size()) > traits_.n_cells) {
        return DecodeStatus::no_room;
    }
    output_at_.assign(rows.size(), -1);
    int n_outputs = 0;
    for (size_t i = 0; i < rows.size(); i++) {
        const StepRow& row = rows[i];
        Remembered& sequence = at(row.sequence);
        const uint64_t start = adapters_ ? std::hash<std::string>()(adapters_->key()) : 0;
        const uint64_t seen = sequence.cells.empty() ? start : sequence.cells.back()->hash ^ start;
        if (traits_.memory == MemoryKind::window) {
            const Position needed = std::max(0, row.position - traits_.n_window + 1);
            if (sequence.oldest > needed) {
                refuse("the window of position " + std::to_string(row.position) + " is not there");
            }
            sequence.oldest = needed;
        }
        sequence.cells.push_back(std::make_shared<Cell>(row.token, seen, n_cells_used_));
        if (row.has_output) {
            output_at_[i] = has_opinion ? n_outputs++ : 0;
            if (outputs_.size() <= static_cast<size_t>(output_at_[i])) {
                outputs_.emplace_back(static_cast<size_t>(traits_.n_vocab), 0.0f);
            }
            if (has_opinion) {
                fill(outputs_[static_cast<size_t>(output_at_[i])], sequence);
            }
        }
    }
    n_rows_ += static_cast<int64_t>(rows.size());
    return DecodeStatus::ok;
}

DecodeStatus FakeDecoder::encode(const std::vector<Token>& prompt) {
    enter("encode");
    encoded_ = prompt;
    return DecodeStatus::ok;
}

Token FakeDecoder::after(const Remembered& sequence) const {
    if (!next_token) {
        return static_cast<Token>(sequence.cells.back()->hash % static_cast<uint64_t>(traits_.n_vocab));
    }
    std::vector<Token> tokens = encoded_;
    for (const auto& cell : sequence.cells) {
        tokens.push_back(cell->token);
    }
    return next_token(tokens);
}

void FakeDecoder::fill(std::vector<float>& logits, const Remembered& sequence) const {
    std::fill(logits.begin(), logits.end(), 0.0f);
    logits[static_cast<size_t>(after(sequence))] = 1.0f;
}

const float* FakeDecoder::logits(int row) {
    enter("logits");
    if (row < 0 || static_cast<size_t>(row) >= output_at_.size() ||
        output_at_[static_cast<size_t>(row)] < 0) {
        refuse("row " + std::to_string(row) + " has no output");
    }
    return outputs_[static_cast<size_t>(output_at_[static_cast<size_t>(row)])].data();
}

void FakeDecoder::copy(SequenceId from, SequenceId to, Position n) {
    enter("copy");
    const Remembered& source = at(from);
    Remembered& target = at(to);
    const auto length = static_cast<Position>(source.cells.size());
    const bool is_part = n != length;
    if (!target.cells.empty() || n > length) {
        refuse("copy of " + std::to_string(n) + " positions");
    }
    if (traits_.memory == MemoryKind::whole || (is_part && traits_.memory == MemoryKind::recurrent)) {
        refuse("copy of a part");
    }
    target.cells.assign(source.cells.begin(), source.cells.begin() + n);
    target.oldest = source.oldest;
}

bool FakeDecoder::remove(SequenceId sequence, Position begin) {
    enter("remove");
    Remembered& from = at(sequence);
    const bool is_whole = begin == 0;
    if (!is_whole && traits_.memory != MemoryKind::attention && traits_.memory != MemoryKind::window) {
        return false;
    }
    from.cells.resize(std::min(from.cells.size(), static_cast<size_t>(begin)));
    from.oldest = is_whole ? 0 : from.oldest;
    return true;
}

void FakeDecoder::clear() {
    enter("clear");
    for (Remembered& sequence : sequences_) {
        sequence = {};
    }
}

namespace {

// As a state has it.
struct SavedCell {
    uint64_t hash;
    int64_t token;
};

} // namespace

std::vector<uint8_t> FakeDecoder::save(SequenceId sequence, Position n) {
    enter("save");
    const Remembered& from = at(sequence);
    if (n > static_cast<Position>(from.cells.size())) {
        refuse("save of " + std::to_string(n) + " positions");
    }
    std::vector<SavedCell> cells;
    for (Position i = 0; i < n; i++) {
        const Cell& cell = *from.cells[static_cast<size_t>(i)];
        cells.push_back({cell.hash, cell.token});
    }
    const auto* bytes = reinterpret_cast<const uint8_t*>(cells.data());
    std::vector<uint8_t> state(bytes, bytes + cells.size() * sizeof(SavedCell));
    state.push_back(static_cast<uint8_t>(std::min<Position>(from.oldest, 255)));
    return state;
}

bool FakeDecoder::load(SequenceId sequence, const std::vector<uint8_t>& state, Position n_positions) {
    enter("load");
    Remembered& to = at(sequence);
    if (!to.cells.empty()) {
        refuse("load into a sequence that is not empty");
    }
    const auto n = static_cast<size_t>(n_positions);
    if (state.size() != n * sizeof(SavedCell) + 1) {
        return false;
    }
    if (traits_.memory != MemoryKind::recurrent && n_cells_used_ + static_cast<int>(n) > traits_.n_cells) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        SavedCell cell{};
        std::memcpy(&cell, state.data() + i * sizeof(cell), sizeof(cell));
        to.cells.push_back(
            std::make_shared<Cell>(static_cast<Token>(cell.token), cell.hash, n_cells_used_, true));
    }
    to.oldest = state.back();
    return true;
}

Position FakeDecoder::pos_min(SequenceId sequence) {
    enter("pos_min");
    return at(sequence).cells.empty() ? -1 : at(sequence).oldest;
}

Position FakeDecoder::pos_max(SequenceId sequence) {
    enter("pos_max");
    return static_cast<Position>(at(sequence).cells.size()) - 1;
}

void FakeVocab::append_bytes(Token token, std::string& to) const {
    if (token < 256) {
        to.push_back(static_cast<char>(token));
    } else if (!ends(token)) {
        to.push_back(' ');
        to.push_back(static_cast<char>('a' + (token - 256) % 26));
    }
}

void FakeVocab::append_spelling(Token token, std::string& to) const {
    append_bytes(token, to);
    to += ends(token) ? "<end>" : "";
}

Token FakeSampler::choose(const float* logits, size_t n, bool may_end) {
    Token best = -1;
    for (size_t i = 0; i < n; i++) {
        const auto token = static_cast<Token>(i);
        if ((may_end || token != end_) && (best < 0 || logits[i] > logits[best])) {
            best = token;
        }
    }
    return best;
}

} // namespace inllama
