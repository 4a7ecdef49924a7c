#include "core/llama/model_params.h"

#include "core/gguf_rules.h"
#include "core/llama/choice.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace inllama {

namespace {

const Choices<llama_load_mode> kLoadModes = {
    {"auto", LLAMA_LOAD_MODE_AUTO},
    {"none", LLAMA_LOAD_MODE_NONE},
    {"mmap", LLAMA_LOAD_MODE_MMAP},
    {"mlock", LLAMA_LOAD_MODE_MLOCK},
    {"mmap_mlock", LLAMA_LOAD_MODE_MMAP_MLOCK},
    {"direct_io", LLAMA_LOAD_MODE_DIRECT_IO},
};

const Choices<llama_split_mode> kSplitModes = {
    {"none", LLAMA_SPLIT_MODE_NONE},
    {"layer", LLAMA_SPLIT_MODE_LAYER},
    {"row", LLAMA_SPLIT_MODE_ROW},
    {"tensor", LLAMA_SPLIT_MODE_TENSOR},
};

Error bad(const std::string& option, const std::string& text) {
    return Error(ErrorKind::InvalidRequestError, option + " " + text).with("option", option);
}

// llama.cpp copies keys and texts into arrays of 128 bytes.
void copy_text(char (&to)[128], const std::string& from, const std::string& what) {
    if (from.size() >= sizeof(to) || from.find('\0') != std::string::npos) {
        throw bad("kv_overrides", "has a " + what + " of " + std::to_string(from.size()) +
                                      " bytes; at most 127 without NUL are possible");
    }
    std::memcpy(to, from.c_str(), from.size() + 1);
}

bool starts_with(const std::string& text, const char* start) {
    return text.rfind(start, 0) == 0;
}

// llama.cpp asserts on entries that do not fit the tensors of the file.
bool is_safe_override(const std::string& key) {
    if (starts_with(key, "general.")) {
        return key != "general.architecture" && key != "general.alignment";
    }
    if (starts_with(key, "tokenizer.")) {
        return key != "tokenizer.ggml.model";
    }
    const size_t dot = key.find('.');
    const std::string rest = dot == std::string::npos ? std::string() : key.substr(dot + 1);
    return rest == "context_length" || rest == "pooling_type" ||
           (starts_with(rest, "rope.") && !starts_with(rest, "rope.dimension"));
}

// The same as of what a file says.
void check_value(const std::string& key, const MetadataValue& value) {
    std::string problem;
    if (const auto* integer = std::get_if<int64_t>(&value)) {
        problem = gguf_number_problem(key, static_cast<double>(*integer));
    } else if (const auto* number = std::get_if<double>(&value)) {
        problem = gguf_number_problem(key, *number);
    } else if (const auto* text = std::get_if<std::string>(&value)) {
        problem = gguf_text_problem(key, *text);
    }
    if (!problem.empty()) {
        throw bad("kv_overrides", "sets " + key + ", which " + problem);
    }
}

bool call_progress(float progress, void* function) {
    return (*static_cast<const std::function<bool(float)>*>(function))(progress);
}

ggml_backend_buffer_type_t find_buffer_type(const std::string& name) {
    std::string known;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_buffer_type_t type = ggml_backend_dev_buffer_type(ggml_backend_dev_get(i));
        if (type == nullptr) {
            continue;
        }
        if (name == ggml_backend_buft_name(type)) {
            return type;
        }
        known += (known.empty() ? "" : ", ") + std::string(ggml_backend_buft_name(type));
    }
    throw bad("tensor_overrides", "names the buffer type '" + name + "'; there are " + known);
}

} // namespace

LlamaModelParams::LlamaModelParams(const ModelParams& params) : native_(llama_model_default_params()) {
    native_.n_gpu_layers = -1;
    if (params.gpu_layers) {
        if (*params.gpu_layers < 0 || *params.gpu_layers > std::numeric_limits<int32_t>::max()) {
            throw bad("gpu_layers",
                      "is " + std::to_string(*params.gpu_layers) + "; use 0 or more, or 'auto' for all");
        }
        native_.n_gpu_layers = static_cast<int32_t>(*params.gpu_layers);
    }
    native_.load_mode = choose(kLoadModes, "load_mode", params.load_mode);
    native_.split_mode = choose(kSplitModes, "split_mode", params.split_mode);
    native_.vocab_only = params.vocab_only;
    native_.no_alloc = params.no_alloc;
    native_.check_tensors = params.check_tensors;
    native_.use_extra_bufts = params.repack;
    set_devices(params.devices);
    set_tensor_split(params.tensor_split);
    set_kv_overrides(params.kv_overrides);
    set_tensor_overrides(params.tensor_overrides);
    if (params.progress) {
        native_.progress_callback = call_progress;
        native_.progress_callback_user_data = const_cast<std::function<bool(float)>*>(&params.progress);
    }
}

void LlamaModelParams::set_devices(const std::vector<std::string>& names) {
    if (names.empty()) {
        return;
    }
    for (const std::string& name : names) {
        ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
        if (device == nullptr) {
            throw bad("devices", "names '" + name + "', which this machine or build does not have");
        }
        // The CPU always computes what no other device does; llama.cpp refuses it in this list.
        if (ggml_backend_dev_type(device) != GGML_BACKEND_DEVICE_TYPE_CPU) {
            devices_.push_back(device);
        }
    }
    devices_.push_back(nullptr);
    native_.devices = devices_.data();
}

void LlamaModelParams::set_tensor_split(const std::vector<float>& shares) {
    if (shares.empty()) {
        return;
    }
    if (shares.size() > llama_max_devices()) {
        throw bad("tensor_split", "has " + std::to_string(shares.size()) + " shares; at most " +
                                      std::to_string(llama_max_devices()) + " devices are possible");
    }
    for (const float share : shares) {
        if (!std::isfinite(share) || share < 0) {
            throw bad("tensor_split", "has a share that is negative or not a number");
        }
    }
    tensor_split_ = shares;
    tensor_split_.resize(llama_max_devices(), 0.0f);
    native_.tensor_split = tensor_split_.data();
}

void LlamaModelParams::set_kv_overrides(const std::map<std::string, MetadataValue>& overrides) {
    if (overrides.empty()) {
        return;
    }
    for (const auto& [key, value] : overrides) {
        // With a byte-pair vocabulary, two spaces in a text would be an assert.
        if (key == "tokenizer.ggml.pre" && value == MetadataValue(std::string("whitespace"))) {
            throw bad("kv_overrides",
                      "sets tokenizer.ggml.pre to 'whitespace', which must come from the file");
        }
        if (!is_safe_override(key)) {
            throw bad("kv_overrides", "names '" + key +
                                          "', which decides the shape of the model; only general.*, "
                                          "tokenizer.* and the architecture's context_length, pooling_type "
                                          "and rope.* can be replaced");
        }
        check_value(key, value);
        llama_model_kv_override entry{};
        copy_text(entry.key, key, "key");
        if (const auto* flag = std::get_if<bool>(&value)) {
            entry.tag = LLAMA_KV_OVERRIDE_TYPE_BOOL;
            entry.val_bool = *flag;
        } else if (const auto* integer = std::get_if<int64_t>(&value)) {
            entry.tag = LLAMA_KV_OVERRIDE_TYPE_INT;
            entry.val_i64 = *integer;
        } else if (const auto* number = std::get_if<double>(&value)) {
            entry.tag = LLAMA_KV_OVERRIDE_TYPE_FLOAT;
            entry.val_f64 = *number;
        } else {
            entry.tag = LLAMA_KV_OVERRIDE_TYPE_STR;
            copy_text(entry.val_str, std::get<std::string>(value), "text");
        }
        kv_overrides_.push_back(entry);
    }
    kv_overrides_.push_back({}); // an empty key ends the list
    native_.kv_overrides = kv_overrides_.data();
}

void LlamaModelParams::set_tensor_overrides(
    const std::vector<std::pair<std::string, std::string>>& overrides) {
    if (overrides.empty()) {
        return;
    }
    if (overrides.size() >= llama_max_tensor_buft_overrides()) {
        throw bad("tensor_overrides", "has " + std::to_string(overrides.size()) + " entries; at most " +
                                          std::to_string(llama_max_tensor_buft_overrides() - 1) +
                                          " are possible");
    }
    for (const auto& [pattern, buffer_type] : overrides) {
        tensor_overrides_.push_back({pattern.c_str(), find_buffer_type(buffer_type)});
    }
    tensor_overrides_.push_back({nullptr, nullptr});
    native_.tensor_buft_overrides = tensor_overrides_.data();
}

} // namespace inllama
