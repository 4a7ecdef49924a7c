#include "core/llama/adapter.h"

#include "core/error.h"
#include "core/llama/backend.h"
#include "core/llama/gguf_file.h"
#include "core/llama/native_text.h"

#include <llama.h>
// The tensors of a model are in no public function.
#include <llama-model.h>

#include <cmath>
#include <mutex>

namespace inllama {

namespace {

void check_no_nvfp4(const llama_model& model) {
    for (const auto& [name, tensor] : llama_internal_get_tensor_map(&model)) {
        if (tensor->type == GGML_TYPE_NVFP4) {
            throw Error(ErrorKind::UnsupportedError,
                        "adapters cannot be used with NVFP4 weights (" + name + ")");
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
    const CheckedFiles files = CheckedFiles::of_adapter(path, *model_->model);
    check_no_nvfp4(*model_->model);
    fingerprint_ = file_fingerprint(path);
    ErrorCapture errors;
    const std::unique_lock<std::shared_mutex> lock(model_->adapters);
    {
        const ThrowingAsserts asserts;
        adapter_ = llama_adapter_lora_init(model_->model, path.c_str());
    }
    if (adapter_ == nullptr) {
        throw load_error(path, errors.reason("llama.cpp gave no reason"));
    }
    try {
        files.check_unchanged();
    } catch (const Error&) {
        llama_adapter_lora_free(adapter_);
        throw;
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
