#include "core/llama/memory.h"

#include "core/error.h"

#include <llama.h>
// The architecture is in no public function.
#include <llama-model.h>

#include <string>

namespace inllama {

namespace {

constexpr int64_t kMaxPosition = int64_t{1} << 30;

llama_memory_t native(const ContextHandle& context) {
    return llama_get_memory(context.context);
}

void check_range(PositionRange range) {
    if (range.begin < 0 || (range.end && *range.end < range.begin)) {
        throw Error(ErrorKind::InvalidRequestError,
                    "the positions " + std::to_string(range.begin) + " to " +
                        std::to_string(range.end.value_or(-1)) +
                        " are no range; begin at 0 or later and end after the beginning");
    }
}

Position end_of(PositionRange range) {
    return range.end.value_or(-1);
}

} // namespace

Memory::Memory(std::shared_ptr<ContextHandle> context) : context_(std::move(context)) {
    if (native(*context_) == nullptr) {
        throw Error(ErrorKind::UnsupportedError,
                    "this context has no memory: its model reads each batch anew");
    }
}

void Memory::check_sequence(SequenceId sequence) const {
    if (sequence < 0 || sequence >= context_->n_sequence_ids) {
        throw Error(ErrorKind::InvalidRequestError,
                    "sequence " + std::to_string(sequence) + " is out of range: this memory has " +
                        std::to_string(context_->n_sequence_ids) + " sequences")
            .with("sequence", sequence)
            .with("limit", context_->n_sequence_ids);
    }
}

void Memory::check_shift() const {
    if (!can_shift()) {
        throw Error(
            ErrorKind::UnsupportedError,
            "the positions in this memory cannot be moved: not with this model, or not with this kv_type_k");
    }
}

bool Memory::remove(SequenceId sequence, PositionRange range) {
    const ExclusiveUse::Guard guard(context_->use, "Context");
    check_sequence(sequence);
    check_range(range);
    const auto arch = context_->model->model->arch;
    if ((arch == LLM_ARCH_QWEN4EXP || arch == LLM_ARCH_GLM5_NEXT) && range.end) {
        return false; // their sparse attention counts on cells without gaps
    }
    llama_memory_t memory = native(*context_);
    const Position last = llama_memory_seq_pos_max(memory, sequence);
    const bool reaches_end = !range.end || *range.end > last;
    if (context_->has_state && range.begin <= last && !(range.begin == 0 && reaches_end)) {
        return false; // llama.cpp would say yes to a beginning, which the state goes on to hold
    }
    return llama_memory_seq_rm(memory, sequence, range.begin, end_of(range));
}

void Memory::copy(SequenceId from, SequenceId to, PositionRange range) {
    const ExclusiveUse::Guard guard(context_->use, "Context");
    check_sequence(from);
    check_sequence(to);
    check_range(range);
    if (!context_->copies_parts && (range.begin > 0 || range.end)) {
        throw Error(
            ErrorKind::UnsupportedError,
            "this memory copies whole sequences only; leave out begin and end, then remove what is too much");
    }
    llama_memory_seq_cp(native(*context_), from, to, range.begin, end_of(range));
}

void Memory::keep(SequenceId sequence) {
    const ExclusiveUse::Guard guard(context_->use, "Context");
    check_sequence(sequence);
    llama_memory_t memory = native(*context_);
    if (!context_->is_split) {
        llama_memory_seq_keep(memory, sequence);
        return;
    }
    // llama.cpp keeps a sequence within its own stream of cells and leaves the others alone.
    for (SequenceId other = 0; other < context_->n_sequence_ids; other++) {
        if (other != sequence) {
            llama_memory_seq_rm(memory, other, -1, -1);
        }
    }
}

void Memory::add(SequenceId sequence, PositionRange range, Position delta) {
    const ExclusiveUse::Guard guard(context_->use, "Context");
    check_sequence(sequence);
    check_range(range);
    check_shift();
    llama_memory_t memory = native(*context_);
    const int64_t last = int64_t{llama_memory_seq_pos_max(memory, sequence)} + delta;
    if (last > kMaxPosition || delta < -kMaxPosition) {
        throw Error(ErrorKind::InvalidRequestError,
                    "moving by " + std::to_string(delta) + " leaves the range of positions")
            .with("delta", delta);
    }
    llama_memory_seq_add(memory, sequence, range.begin, end_of(range), delta);
}

void Memory::divide(SequenceId sequence, PositionRange range, int divisor) {
    const ExclusiveUse::Guard guard(context_->use, "Context");
    check_sequence(sequence);
    check_range(range);
    check_shift();
    if (divisor < 2) {
        throw Error(ErrorKind::InvalidRequestError,
                    "the divisor is " + std::to_string(divisor) + " but must be at least 2")
            .with("divisor", divisor);
    }
    llama_memory_seq_div(native(*context_), sequence, range.begin, end_of(range), divisor);
}

void Memory::clear(bool data) {
    const ExclusiveUse::Guard guard(context_->use, "Context");
    llama_memory_clear(native(*context_), data);
}

std::optional<Position> Memory::pos_min(SequenceId sequence) const {
    const ExclusiveUse::Guard guard(context_->use, "Context");
    check_sequence(sequence);
    const Position position = llama_memory_seq_pos_min(native(*context_), sequence);
    return position < 0 ? std::nullopt : std::optional<Position>(position);
}

std::optional<Position> Memory::pos_max(SequenceId sequence) const {
    const ExclusiveUse::Guard guard(context_->use, "Context");
    check_sequence(sequence);
    const Position position = llama_memory_seq_pos_max(native(*context_), sequence);
    return position < 0 ? std::nullopt : std::optional<Position>(position);
}

bool Memory::can_shift() const {
    // The graph that turns the keys fails for other types and for models without rotation, one decode later.
    return context_->can_move_keys && llama_memory_can_shift(native(*context_));
}

} // namespace inllama
