// A llama.cpp context: the memory (KV cache) of some sequences and the buffers to compute with.
#pragma once

#include "core/batch.h"
#include "core/exclusive_use.h"
#include "core/llama/model.h"
#include "core/llama/thread_pool.h"
#include "core/types.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

struct llama_context;

namespace inllama {

class Adapter;

struct ContextParams {
    std::optional<int64_t> n_ctx;           // KV cells; none: min(n_ctx_train, 8192)
    int64_t n_batch = 2048;                 // rows of one decode call
    int64_t n_ubatch = 512;                 // rows computed at once
    int64_t n_seq_max = 1;                  // sequences that can be decoded
    std::optional<int64_t> n_outputs_max;   // rows of one decode call that may give logits; none: n_batch
    std::optional<int64_t> n_threads;       // for single rows; none: the usable cores, fewer for small models
    std::optional<int64_t> n_threads_batch; // for more rows; none: n_threads
    bool embeddings = false;
    std::string pooling = "auto";         // auto, none, mean, cls, last, rank
    std::string attention = "auto";       // auto, causal, non_causal
    std::string flash_attention = "auto"; // auto, on, off
    std::string kv_type_k = "f16";
    std::string kv_type_v = "f16";
    bool kv_unified = true; // one pool of cells for all sequences
    bool swa_full = true;   // keep all cells of sliding-window layers
    bool offload_kqv = true;
    bool op_offload = true;
    std::string rope_scaling = "auto"; // auto, none, linear, yarn, longrope
    double rope_freq_base = 0;         // 0: the model's
    double rope_freq_scale = 0;        // 0: the model's
    double yarn_ext_factor = -1;       // negative: the model's, here and below
    double yarn_attn_factor = -1;
    double yarn_beta_fast = -1;
    double yarn_beta_slow = -1;
    int64_t yarn_orig_ctx = 0; // 0: the model's
};

// llama.cpp's context and everything that must outlive it.
struct ContextHandle {
    // Computes on `shared` threads, if there are some, of which no other context computes at the same time.
    ContextHandle(std::shared_ptr<ModelHandle> loaded, const ContextParams& params,
                  std::shared_ptr<ThreadPools> shared = nullptr);
    ~ContextHandle();
    ContextHandle(const ContextHandle&) = delete;
    ContextHandle& operator=(const ContextHandle&) = delete;

    void note_memory();

    std::shared_ptr<ModelHandle> model;
    std::shared_ptr<ThreadPools> pools;
    // What the last computation used: llama.cpp pauses it once more when the next one starts.
    std::shared_ptr<ThreadPools> retired_pools;
    llama_context* context = nullptr;
    std::vector<std::pair<std::shared_ptr<Adapter>, float>> adapters;
    ExclusiveUse use;

    int n_sequence_ids = 0;             // ids that its memory takes; 0 without memory
    bool has_state = false;             // recurrent layers: a state of the whole sequence
    bool copies_parts = false;          // its memory can share a part of a sequence
    bool is_embedding;                  // every row gives output
    bool can_move_keys;                 // positions of cached keys can be changed
    bool is_split;                      // one stream of cells per sequence
    std::optional<int64_t> n_positions; // positions that the model can compute; none: any
    int n_outputs_max = 0;              // rows per call
    std::vector<SequenceId> encoded;    // sequences that the encoder's last output is for, ascending
    std::atomic<bool> is_broken{false}; // an exception left llama.cpp's state unknown
    std::vector<int32_t> output_rows;   // rows of the last call that gave output, ascending
    int n_rows_last = 0;                // rows of the last call
    int n_outputs_reserved = 0;         // rows for which llama.cpp's output buffer has room
    std::atomic<int> n_views{0};        // live views into that buffer
};

// Numbers inside a context's output buffer. Valid while `owner` lives; the next decode overwrites them.
struct OutputView {
    const float* data;
    size_t size;
    std::shared_ptr<const void> owner;
};

// Evaluates batches of tokens. One thread at a time, else ConcurrentUseError.
//
// Ownership: holds the model's handle. Views and Memory objects hold the context's handle; close() frees it
// after the last one.
class Context {
  public:
    // Throws InvalidRequestError, UnsupportedError or InsufficientMemoryError.
    Context(const std::shared_ptr<ModelHandle>& model, const ContextParams& params);

    void close();
    bool is_closed() const { return std::atomic_load(&handle_) == nullptr; }
    // Throws InvalidRequestError once closed, DecodeError once broken by an exception inside llama.cpp.
    std::shared_ptr<ContextHandle> handle() const;

    // Computes `batch` and stores it in memory.
    //
    // Throws InvalidRequestError for rows that the context cannot take, ContextFullError if memory has no
    // room (then nothing changed), DecodeError if the computation failed, BufferError (through BufferMoved)
    // while views live and the output buffer would have to grow.
    void decode(const Batch& batch);
    // Computes `batch` without memory; for encoders. Same errors.
    void encode(const Batch& batch);
    // Waits until the last call's results are there.
    void synchronize();

    // Logits of row `row` of the last call, (n_vocab,); negative counts outputs from the end.
    OutputView logits(int64_t row);
    // Calls `read` with the logits of a row; no decode can change them meanwhile.
    void read_logits(int64_t row, const std::function<void(const float* logits, size_t n)>& read);
    // Embedding of a row, (n_embd_out,); for contexts with embeddings and no pooling.
    OutputView embeddings(int64_t row);
    // Pooled embedding of a sequence, (n_embd_out,), or its scores, (n_labels,), with rank pooling.
    std::vector<float> sequence_embedding(SequenceId sequence);

    void set_threads(int64_t n_threads, int64_t n_threads_batch);
    void set_causal_attention(bool causal);
    // Replaces the adapters in use; each with its scale.
    void set_adapters(std::vector<std::pair<std::shared_ptr<Adapter>, float>> adapters);

    int n_ctx() const;
    int n_ctx_seq() const;
    int n_batch() const;
    int n_ubatch() const;
    int n_seq_max() const;
    int n_outputs_max() const;
    int n_threads() const;
    int n_threads_batch() const;
    int n_outputs() const; // rows of the last call that gave output
    std::string pooling() const;
    bool is_causal() const;

  private:
    void compute(const Batch& batch, bool encode);

    std::shared_ptr<ContextHandle> handle_; // atomic: any thread may ask whether it is closed
};

// The output buffer cannot grow while views into it live. Becomes Python's BufferError.
class BufferMoved : public std::exception {
  public:
    explicit BufferMoved(int n_views);
    const char* what() const noexcept override { return message_.c_str(); }

  private:
    std::string message_;
};

} // namespace inllama
