#include "core/llama/model.h"

#include "core/checksum.h"
#include "core/error.h"
#include "core/llama/backend.h"
#include "core/llama/choice.h"
#include "core/llama/gguf_file.h"
#include "core/llama/model_params.h"
#include "core/llama/native_text.h"

#include <llama.h>

#include <future>
#include <type_traits>

namespace inllama {

namespace {

const Choices<llama_rope_type> kRopeTypes = {
    {"none", LLAMA_ROPE_TYPE_NONE},   {"norm", LLAMA_ROPE_TYPE_NORM},     {"neox", LLAMA_ROPE_TYPE_NEOX},
    {"mrope", LLAMA_ROPE_TYPE_MROPE}, {"imrope", LLAMA_ROPE_TYPE_IMROPE}, {"vision", LLAMA_ROPE_TYPE_VISION},
};

// The entries that were replaced, which decide what is computed as much as the file.
std::string replaced_in(const ModelParams& params) {
    std::string text;
    for (const auto& [name, value] : params.kv_overrides) {
        text += ',' + name + ':';
        text += std::visit(
            [](const auto& one) {
                if constexpr (std::is_same_v<std::decay_t<decltype(one)>, std::string>) {
                    return std::to_string(checksum(one.data(), one.size()));
                } else {
                    return std::to_string(checksum(&one, sizeof(one)));
                }
            },
            value);
    }
    return text.empty() ? text : '-' + std::to_string(checksum(text.data(), text.size()));
}

} // namespace

ModelHandle::ModelHandle(llama_model* loaded, const std::string& fingerprint_of_file,
                         const ModelParams& params)
    : model(loaded), vocab_only(params.vocab_only), n_ctx_train(llama_model_n_ctx_train(loaded)),
      fingerprint(fingerprint_of_file + replaced_in(params)) {
    const char* entry = "tokenizer.ggml.pre";
    const auto replaced = params.kv_overrides.find(entry);
    if (replaced != params.kv_overrides.end() && std::holds_alternative<std::string>(replaced->second)) {
        pre_tokenizer = std::get<std::string>(replaced->second);
    } else {
        pre_tokenizer = read_text(
            [&](char* text, size_t size) { return llama_model_meta_val_str(model, entry, text, size); });
    }
}

ModelHandle::~ModelHandle() {
    llama_model_free(model);
}

const llama_vocab* ModelHandle::vocab() const {
    return llama_model_get_vocab(model);
}

Model::Model(const std::string& path, const ModelParams& params) : path_(path) {
    // Beside the start of llama.cpp, which the first load of a process waits for; else not, because a thread
    // takes longer to begin than most checks.
    const auto when = is_backend_started() ? std::launch::deferred : std::launch::async;
    std::future<CheckedFiles> checked = std::async(when, [&path] { return CheckedFiles::of_model(path); });
    start_backend();
    const CheckedFiles files = checked.get();
    if (!kAssertsCanThrow) {
        check_gguf_tokens(path);
    }
    bool cancelled = false;
    ModelParams watched = params;
    if (params.progress) {
        watched.progress = [&](float progress) {
            const ThrowingAsserts asserts(false);
            return !(cancelled = !params.progress(progress));
        };
    } else {
        watched.progress = [](float) { return true; }; // llama.cpp's default prints dots
    }
    const LlamaModelParams native(watched);
    // Beside llama.cpp, which reads for longer; that the file is still the same is seen at the end.
    std::future<std::string> fingerprint = std::async([&path] { return file_fingerprint(path); });
    ErrorCapture errors;
    llama_model* model = nullptr;
    try {
        const ThrowingAsserts asserts;
        model = llama_model_load_from_file(path.c_str(), native.get());
    } catch (const std::exception& error) {
        throw load_error(path, error.what());
    }
    if (model == nullptr) {
        const std::string reason = errors.reason("llama.cpp gave no reason");
        if (reason.find("token_to_id.size()") != std::string::npos) {
            check_gguf_tokens(path);
        }
        throw load_error(path, cancelled ? "progress stopped it" : reason).with("cancelled", cancelled);
    }
    handle_ = std::make_shared<ModelHandle>(model, fingerprint.get(), params);
    files.check_unchanged();
}

void Model::close() {
    std::atomic_store(&handle_, std::shared_ptr<ModelHandle>());
}

std::shared_ptr<ModelHandle> Model::handle() const {
    std::shared_ptr<ModelHandle> handle = std::atomic_load(&handle_);
    if (!handle) {
        throw Error(ErrorKind::InvalidRequestError, "the model is closed; load it again to use it");
    }
    return handle;
}

std::string Model::architecture() const {
    return read_text([&](char* text, size_t size) {
        return llama_model_meta_val_str(handle()->model, "general.architecture", text, size);
    });
}

std::string Model::description() const {
    return read_text([&](char* text, size_t size) { return llama_model_desc(handle()->model, text, size); });
}

std::string Model::quantization() const {
    return llama_ftype_name(llama_model_ftype(handle()->model));
}

uint64_t Model::n_params() const {
    return llama_model_n_params(handle()->model);
}

uint64_t Model::size_bytes() const {
    return llama_model_size(handle()->model);
}

int Model::n_ctx_train() const {
    return handle()->n_ctx_train;
}

int Model::n_embd() const {
    return llama_model_n_embd(handle()->model);
}

int Model::n_embd_out() const {
    return llama_model_n_embd_out(handle()->model);
}

int Model::n_layer() const {
    return llama_model_n_layer(handle()->model);
}

int Model::n_head() const {
    return is_vocab_only() ? 0 : llama_model_n_head(handle()->model);
}

int Model::n_head_kv() const {
    return is_vocab_only() ? 0 : llama_model_n_head_kv(handle()->model);
}

int Model::n_swa() const {
    return llama_model_n_swa(handle()->model);
}

std::string Model::rope_type() const {
    return name_of(kRopeTypes, llama_model_rope_type(handle()->model));
}

bool Model::has_encoder() const {
    return llama_model_has_encoder(handle()->model);
}

bool Model::has_decoder() const {
    return llama_model_has_decoder(handle()->model);
}

bool Model::is_recurrent() const {
    return llama_model_is_recurrent(handle()->model);
}

bool Model::is_hybrid() const {
    return llama_model_is_hybrid(handle()->model);
}

bool Model::is_vocab_only() const {
    return handle()->vocab_only;
}

std::optional<Token> Model::decoder_start_token() const {
    const Token token = llama_model_decoder_start_token(handle()->model);
    return token < 0 ? std::nullopt : std::optional<Token>(token);
}

std::vector<std::string> Model::classifier_labels() const {
    const std::shared_ptr<ModelHandle> held = handle();
    std::vector<std::string> labels;
    for (uint32_t i = 0; i < llama_model_n_cls_out(held->model); i++) {
        const char* label = llama_model_cls_label(held->model, i);
        if (label == nullptr) {
            return {};
        }
        labels.emplace_back(label);
    }
    return labels;
}

std::map<std::string, std::string> Model::metadata() const {
    const std::shared_ptr<ModelHandle> held = handle();
    llama_model* model = held->model;
    std::map<std::string, std::string> entries;
    for (int32_t i = 0; i < llama_model_meta_count(model); i++) {
        std::string key = read_text(
            [&](char* text, size_t size) { return llama_model_meta_key_by_index(model, i, text, size); });
        entries[key] = read_text(
            [&](char* text, size_t size) { return llama_model_meta_val_str_by_index(model, i, text, size); });
    }
    return entries;
}

std::optional<std::string> Model::chat_template(const std::optional<std::string>& name) const {
    const std::shared_ptr<ModelHandle> held = handle();
    const char* text = llama_model_chat_template(held->model, name ? name->c_str() : nullptr);
    return text == nullptr ? std::nullopt : std::optional<std::string>(text);
}

} // namespace inllama
