// A GGUF model in memory: its weights, its vocabulary and its metadata.
#pragma once

#include "core/types.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <utility>
#include <variant>
#include <vector>

struct llama_model;
struct llama_vocab;

namespace inllama {

using MetadataValue = std::variant<bool, int64_t, double, std::string>;

struct ModelParams {
    std::optional<int64_t> gpu_layers; // layers kept on GPUs; none: all
    std::string load_mode = "auto";    // auto, none, mmap, mlock, mmap_mlock, direct_io
    std::string split_mode = "layer";  // none, layer, row, tensor
    std::vector<std::string> devices;  // names from devices(); empty: all
    std::vector<float> tensor_split;   // share of each device; empty: by free memory
    std::map<std::string, MetadataValue> kv_overrides;
    std::vector<std::pair<std::string, std::string>> tensor_overrides; // regex on tensor names -> buffer type
    bool vocab_only = false;             // no weights: only a tokenizer and metadata
    bool check_tensors = false;          // refuse NaN and infinite weights
    bool repack = true;                  // faster weight layouts, which are not shared with other processes
    bool no_alloc = false;               // only plan: nothing can be computed
    std::function<bool(float)> progress; // 0..1, on the loading thread; false stops
};

// llama.cpp's model and the lock over its set of adapters. Freed when the last object that uses it is gone.
struct ModelHandle {
    llama_model* model;
    bool vocab_only;
    // As loaded: a context with YaRN changes llama.cpp's own number for everybody.
    int n_ctx_train;
    // Tells its file, and what was replaced of it, from others; from samples of the weights.
    std::string fingerprint;
    // How text is split before it is tokenized; an override is in none of llama.cpp's functions.
    std::string pre_tokenizer;
    // Writers load or free adapters; readers compute with them.
    std::shared_mutex adapters;

    // Takes the model over; `fingerprint_of_file` is file_fingerprint() of it.
    ModelHandle(llama_model* loaded, const std::string& fingerprint_of_file, const ModelParams& params);
    ~ModelHandle();
    ModelHandle(const ModelHandle&) = delete;
    ModelHandle& operator=(const ModelHandle&) = delete;

    const llama_vocab* vocab() const;
};

// A loaded model. Immutable: any number of threads, contexts and tokenizers share it.
//
// Ownership: contexts, tokenizers, samplers and adapters hold the handle, so weights outlive this object as
// long as one of them needs them.
class Model {
  public:
    // Reads the file at `path`, a GGUF (the first one of a split model). Blocks; any thread.
    //
    // Throws ModelLoadError (fields path, reason) or InvalidRequestError for a bad parameter.
    Model(const std::string& path, const ModelParams& params);

    // Lets go of the weights; they are freed when the last context, tokenizer or adapter of this model is
    // gone.
    void close();
    bool is_closed() const { return std::atomic_load(&handle_) == nullptr; }

    // Throws InvalidRequestError once closed.
    std::shared_ptr<ModelHandle> handle() const;

    const std::string& path() const { return path_; }
    std::string architecture() const;
    std::string description() const;
    std::string quantization() const;
    uint64_t n_params() const;
    uint64_t size_bytes() const;
    int n_ctx_train() const;
    int n_embd() const;
    int n_embd_out() const;
    int n_layer() const;
    int n_head() const;
    int n_head_kv() const;
    int n_swa() const; // sliding window in tokens; 0: none
    std::string rope_type() const;
    bool has_encoder() const;
    bool has_decoder() const;
    bool is_recurrent() const;
    bool is_hybrid() const;
    bool is_vocab_only() const;
    std::optional<Token> decoder_start_token() const;
    std::vector<std::string> classifier_labels() const;
    // Every metadata entry as text; arrays in llama.cpp's notation.
    std::map<std::string, std::string> metadata() const;
    // The chat template called `name`, or the default one; none if the model has no such template.
    std::optional<std::string> chat_template(const std::optional<std::string>& name) const;

  private:
    std::string path_;
    std::shared_ptr<ModelHandle> handle_; // atomic: any thread may close while others read
};

} // namespace inllama
