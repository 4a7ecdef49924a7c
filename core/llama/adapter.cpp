#include "core/llama/adapter.h"

#include "core/error.h"
#include "core/llama/backend.h"
#include "core/llama/gguf_file.h"
#include "core/llama/native_text.h"

#include <gguf.h>
#include <llama.h>
// The tensors of a model are in no public function.
#include <llama-model.h>

#include <cmath>
#include <memory>
#include <mutex>

namespace inllama {

namespace {

struct FreeGguf {
    void operator()(gguf_context* file) const { gguf_free(file); }
};

struct FreeGgml {
    void operator()(ggml_context* tensors) const { ggml_free(tensors); }
};

void check_type(const gguf_context* file, const char* key, gguf_type type, const std::string& path) {
    const int64_t id = gguf_find_key(file, key);
    if (id >= 0 && gguf_get_kv_type(file, id) != type) {
        throw load_error(path, std::string("its entry ") + key + " is not of type " + gguf_type_name(type));
    }
}

void check_half(const ggml_tensor* half, const ggml_tensor* weight, const std::string& path) {
    const bool is_float =
        half->type == GGML_TYPE_F32 || half->type == GGML_TYPE_F16 || half->type == GGML_TYPE_BF16;
    if (!is_float && !ggml_is_quantized(half->type)) {
        throw load_error(path, std::string(half->name) + " is of type " + ggml_type_name(half->type));
    }
    if (weight != nullptr && half->ne[2] != weight->ne[2]) {
        throw load_error(path, std::string(half->name) + " has another number of experts than the weight");
    }
}

void check_no_nvfp4(const llama_model& model) {
    for (const auto& [name, tensor] : llama_internal_get_tensor_map(&model)) {
        if (tensor->type == GGML_TYPE_NVFP4) {
            throw Error(ErrorKind::UnsupportedError,
                        "adapters cannot be used with NVFP4 weights (" + name + ")");
        }
    }
}

// What llama.cpp asserts or forgets: the types of the entries and tensors it reads, and that both halves of a
// pair fit each other and the weight.
void check_adapter_file(const llama_model& model, const std::string& path) {
    ggml_context* raw_tensors = nullptr;
    const std::unique_ptr<gguf_context, FreeGguf> file(
        gguf_init_from_file(path.c_str(), {true, &raw_tensors}));
    const std::unique_ptr<ggml_context, FreeGgml> tensors(raw_tensors);
    if (!file) {
        throw load_error(path, "its header is damaged");
    }
    for (const char* key : {"general.type", "general.architecture", "adapter.type"}) {
        check_type(file.get(), key, GGUF_TYPE_STRING, path);
    }
    check_type(file.get(), "adapter.lora.alpha", GGUF_TYPE_FLOAT32, path);
    const std::string suffix = ".lora_a";
    for (int64_t i = 0; i < gguf_get_n_tensors(file.get()); i++) {
        const std::string name = gguf_get_tensor_name(file.get(), i);
        if (name.size() <= suffix.size() ||
            name.compare(name.size() - suffix.size(), suffix.size(), suffix) != 0) {
            continue;
        }
        const std::string pair = name.substr(0, name.size() - suffix.size()) + ".lora_b";
        const ggml_tensor* a = ggml_get_tensor(tensors.get(), name.c_str());
        const ggml_tensor* b = ggml_get_tensor(tensors.get(), pair.c_str());
        if (a == nullptr || b == nullptr) {
            throw load_error(path, "it has no " + pair);
        }
        const ggml_tensor* weight = model.get_tensor(name.substr(0, name.size() - suffix.size()).c_str());
        check_half(a, weight, path);
        check_half(b, weight, path);
        // The embedding's first half is stored transposed.
        const int64_t rank = name.find("token_embd") == 0 ? a->ne[0] : a->ne[1];
        if (rank != b->ne[0] || a->ne[2] != b->ne[2]) {
            throw load_error(path, name + " and " + pair + " have different ranks");
        }
    }
}

} // namespace

float checked_scale(float scale) {
    if (!std::isfinite(scale)) {
        throw Error(ErrorKind::InvalidRequestError, "an adapter's scale must be a finite number");
    }
    return scale;
}

Adapter::Adapter(std::shared_ptr<ModelHandle> model, const std::string& path)
    : path_(path), model_(std::move(model)), adapter_(nullptr) {
    if (model_->vocab_only) {
        throw Error(ErrorKind::UnsupportedError,
                    "the model was loaded with vocab_only=True and has no weights");
    }
    check_gguf_file(path);
    check_no_nvfp4(*model_->model);
    check_adapter_file(*model_->model, path);
    fingerprint_ = file_fingerprint(path);
    ErrorCapture errors;
    const std::unique_lock<std::shared_mutex> lock(model_->adapters);
    adapter_ = llama_adapter_lora_init(model_->model, path.c_str());
    if (adapter_ == nullptr) {
        throw load_error(path, errors.reason("llama.cpp gave no reason"));
    }
}

Adapter::~Adapter() {
    const std::unique_lock<std::shared_mutex> lock(model_->adapters);
    llama_adapter_lora_free(adapter_);
}

llama_adapter_lora* Adapter::native_for(const ModelHandle& model) const {
    if (&model != model_.get()) {
        throw Error(ErrorKind::InvalidRequestError,
                    "the adapter " + path_ + " was loaded for another Model object");
    }
    return adapter_;
}

std::map<std::string, std::string> Adapter::metadata() const {
    std::map<std::string, std::string> entries;
    for (int32_t i = 0; i < llama_adapter_meta_count(adapter_); i++) {
        std::string key = read_text([&](char* text, size_t size) {
            return llama_adapter_meta_key_by_index(adapter_, i, text, size);
        });
        entries[key] = read_text([&](char* text, size_t size) {
            return llama_adapter_meta_val_str_by_index(adapter_, i, text, size);
        });
    }
    return entries;
}

} // namespace inllama
