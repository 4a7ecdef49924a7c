#include "core/llama/state.h"

#include "core/checksum.h"
#include "core/error.h"
#include "core/llama/backend.h"

#include <llama.h>
// Finishing moves without a decode is in no public function.
#include <llama-context.h>

#include <cstring>
#include <exception>
#include <string>

namespace inllama {

namespace {

constexpr char kMagic[8] = {'I', 'N', 'L', 'L', 'A', 'M', 'A', 'S'};
constexpr uint32_t kFormatVersion = 2;

// In front of llama.cpp's bytes. Little-endian; 48 bytes.
struct Header {
    char magic[8];
    uint32_t format_version;
    uint32_t is_sequence;
    uint64_t model;   // checksum over what tells models apart
    uint64_t shape;   // checksum over what tells contexts apart
    uint64_t size;    // bytes after the header
    uint64_t content; // checksum of them
};
static_assert(sizeof(Header) == 48);

Error state_error(const std::string& text) {
    return Error(ErrorKind::StateError, text);
}

uint64_t model_checksum(const ModelHandle& handle) {
    const llama_model* model = handle.model;
    const uint64_t facts[] = {
        llama_model_n_params(model),
        llama_model_size(model),
        static_cast<uint64_t>(llama_model_n_embd(model)),
        static_cast<uint64_t>(llama_model_n_layer(model)),
        static_cast<uint64_t>(llama_vocab_n_tokens(handle.vocab())),
    };
    char description[256] = {};
    llama_model_desc(model, description, sizeof(description));
    return checksum(description, std::strlen(description), checksum(facts, sizeof(facts)));
}

uint64_t shape_checksum(const ContextHandle& context, bool is_sequence) {
    const uint64_t facts[] = {
        context.is_split,
        context.is_embedding,
        is_sequence ? 0 : llama_n_seq_max(context.context),
        is_sequence ? 0 : llama_n_ctx(context.context),
    };
    return checksum(facts, sizeof(facts));
}

void check_sequence(const ContextHandle& context, std::optional<SequenceId> sequence) {
    const auto n_seq_max = static_cast<SequenceId>(llama_n_seq_max(context.context));
    if (sequence && (*sequence < 0 || *sequence >= n_seq_max)) {
        throw Error(ErrorKind::InvalidRequestError, "sequence " + std::to_string(*sequence) +
                                                        " cannot be saved or loaded: n_seq_max is " +
                                                        std::to_string(n_seq_max))
            .with("sequence", *sequence)
            .with("n_seq_max", n_seq_max);
    }
    if (llama_get_memory(context.context) == nullptr) {
        throw Error(ErrorKind::UnsupportedError, "this context has no memory to save or load");
    }
}

// llama.cpp would save the cells of such a sequence without an owner.
void check_cache_only_sequences(const ContextHandle& context) {
    llama_memory_t memory = llama_get_memory(context.context);
    const auto n_seq_max = static_cast<SequenceId>(llama_n_seq_max(context.context));
    const auto n_ids = static_cast<SequenceId>(context.n_sequence_ids);
    for (SequenceId id = n_seq_max; id < n_ids; id++) {
        if (llama_memory_seq_pos_max(memory, id) >= 0) {
            throw state_error(
                "sequence " + std::to_string(id) + " holds cells but only sequences below n_seq_max (" +
                std::to_string(n_seq_max) + ") can be saved; copy it to one of them or remove it");
        }
    }
}

// Copies between streams and moves of positions wait in llama.cpp for the next decode; a state taken before
// it would be that of before, and one loaded would be overwritten.
void finish_moves(ContextHandle& context) {
    llama_synchronize(context.context);
    try {
        context.context->memory_update(false);
    } catch (const std::exception& error) {
        context.is_broken = true;
        throw Error(ErrorKind::DecodeError, std::string("moving the memory failed: ") + error.what());
    }
}

} // namespace

std::vector<uint8_t> save_state(ContextHandle& context, std::optional<SequenceId> sequence) {
    const ExclusiveUse::Guard guard(context.use, "Context");
    check_sequence(context, sequence);
    if (!sequence) {
        check_cache_only_sequences(context);
    }
    finish_moves(context);
    ErrorCapture errors;
    const size_t size = sequence ? llama_state_seq_get_size(context.context, *sequence)
                                 : llama_state_get_size(context.context);
    std::vector<uint8_t> bytes(sizeof(Header) + size);
    uint8_t* content = bytes.data() + sizeof(Header);
    const size_t written = sequence ? llama_state_seq_get_data(context.context, content, size, *sequence)
                                    : llama_state_get_data(context.context, content, size);
    if (written == 0) {
        throw state_error("the state could not be saved: " + errors.reason("llama.cpp gave no reason"));
    }
    bytes.resize(sizeof(Header) + written);
    Header header{};
    std::memcpy(header.magic, kMagic, sizeof(kMagic));
    header.format_version = kFormatVersion;
    header.is_sequence = sequence ? 1 : 0;
    header.model = model_checksum(*context.model);
    header.shape = shape_checksum(context, sequence.has_value());
    header.size = written;
    header.content = checksum(bytes.data() + sizeof(Header), written);
    std::memcpy(bytes.data(), &header, sizeof(header));
    return bytes;
}

void load_state(ContextHandle& context, std::optional<SequenceId> sequence, std::string_view bytes) {
    const ExclusiveUse::Guard guard(context.use, "Context");
    check_sequence(context, sequence);
    Header header{};
    if (bytes.size() < sizeof(header) || std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0) {
        throw state_error("the bytes are not a state saved by inllama");
    }
    std::memcpy(&header, bytes.data(), sizeof(header));
    const std::string_view content = bytes.substr(sizeof(header));
    if (header.format_version != kFormatVersion) {
        throw state_error("the state has format version " + std::to_string(header.format_version) +
                          " but this build reads version " + std::to_string(kFormatVersion));
    }
    if (header.is_sequence != (sequence ? 1u : 0u)) {
        throw state_error(sequence ? "the state is of a whole context; load it without a sequence"
                                   : "the state is of one sequence; say which sequence it becomes");
    }
    if (header.size != content.size() || header.content != checksum(content.data(), content.size())) {
        throw state_error("the state is damaged: its length or checksum does not match");
    }
    if (header.model != model_checksum(*context.model)) {
        throw state_error("the state was saved with another model");
    }
    if (header.shape != shape_checksum(context, sequence.has_value())) {
        throw state_error(
            "the state was saved by a context with other options (n_ctx, n_seq_max, kv_unified, embeddings)");
    }
    const auto* data = reinterpret_cast<const uint8_t*>(content.data());
    finish_moves(context);
    ErrorCapture errors;
    const size_t read = sequence ? llama_state_seq_set_data(context.context, data, content.size(), *sequence)
                                 : llama_state_set_data(context.context, data, content.size());
    if (read == 0) {
        throw state_error("the state does not fit this context: " + errors.reason("its memory has no room"));
    }
}

} // namespace inllama
