#include "core/llama/quantize.h"

#include "core/error.h"
#include "core/llama/backend.h"
#include "core/llama/choice.h"
#include "core/llama/gguf_file.h"
#include "core/utf8_stream.h"

#include <llama.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace inllama {

namespace {

const Choices<llama_ftype> kTypes = {
    {"F32", LLAMA_FTYPE_ALL_F32},
    {"F16", LLAMA_FTYPE_MOSTLY_F16},
    {"BF16", LLAMA_FTYPE_MOSTLY_BF16},
    {"Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},
    {"Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K},
    {"Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M},
    {"Q5_K_S", LLAMA_FTYPE_MOSTLY_Q5_K_S},
    {"Q5_K", LLAMA_FTYPE_MOSTLY_Q5_K_M},
    {"Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1},
    {"Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0},
    {"Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M},
    {"Q4_K_S", LLAMA_FTYPE_MOSTLY_Q4_K_S},
    {"Q4_K", LLAMA_FTYPE_MOSTLY_Q4_K_M},
    {"Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1},
    {"Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},
    {"MXFP4_MOE", LLAMA_FTYPE_MOSTLY_MXFP4_MOE},
    {"IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL},
    {"IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS},
    {"Q3_K_L", LLAMA_FTYPE_MOSTLY_Q3_K_L},
    {"Q3_K_M", LLAMA_FTYPE_MOSTLY_Q3_K_M},
    {"Q3_K_S", LLAMA_FTYPE_MOSTLY_Q3_K_S},
    {"Q3_K", LLAMA_FTYPE_MOSTLY_Q3_K_M},
    {"IQ3_M", LLAMA_FTYPE_MOSTLY_IQ3_M},
    {"IQ3_S", LLAMA_FTYPE_MOSTLY_IQ3_S},
    {"IQ3_XS", LLAMA_FTYPE_MOSTLY_IQ3_XS},
    {"IQ3_XXS", LLAMA_FTYPE_MOSTLY_IQ3_XXS},
    {"Q2_K", LLAMA_FTYPE_MOSTLY_Q2_K},
    {"Q2_K_S", LLAMA_FTYPE_MOSTLY_Q2_K_S},
    {"Q2_0", LLAMA_FTYPE_MOSTLY_Q2_0},
    {"IQ2_M", LLAMA_FTYPE_MOSTLY_IQ2_M},
    {"IQ2_S", LLAMA_FTYPE_MOSTLY_IQ2_S},
    {"IQ2_XS", LLAMA_FTYPE_MOSTLY_IQ2_XS},
    {"IQ2_XXS", LLAMA_FTYPE_MOSTLY_IQ2_XXS},
    {"IQ1_M", LLAMA_FTYPE_MOSTLY_IQ1_M},
    {"IQ1_S", LLAMA_FTYPE_MOSTLY_IQ1_S},
    {"Q1_0", LLAMA_FTYPE_MOSTLY_Q1_0},
    {"TQ2_0", LLAMA_FTYPE_MOSTLY_TQ2_0},
    {"TQ1_0", LLAMA_FTYPE_MOSTLY_TQ1_0},
};

// Those whose few values fit nothing without knowing which of them matter; llama.cpp fails in the middle.
constexpr llama_ftype kNeedImportance[] = {
    LLAMA_FTYPE_MOSTLY_IQ2_XXS, LLAMA_FTYPE_MOSTLY_IQ2_XS, LLAMA_FTYPE_MOSTLY_IQ2_S,
    LLAMA_FTYPE_MOSTLY_IQ1_S,   LLAMA_FTYPE_MOSTLY_IQ1_M,  LLAMA_FTYPE_MOSTLY_Q2_K_S,
};

struct Cancelled : std::exception {
    const char* what() const noexcept override { return "cancelled"; }
};

std::string upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

ggml_type tensor_type(const char* option, const std::string& name) {
    if (name.empty()) {
        return GGML_TYPE_COUNT;
    }
    Choices<ggml_type> known;
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const auto type = static_cast<ggml_type>(i);
        if (ggml_type_name(type) != nullptr && ggml_blck_size(type) > 0) {
            known.emplace_back(ggml_type_name(type), type);
        }
    }
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto exact = std::find_if(known.begin(), known.end(),
                                    [&](const auto& one) { return upper(one.first) == upper(name); });
    return exact != known.end() ? exact->second : choose(known, option, lower);
}

llama_model_kv_override entry(const char* key) {
    llama_model_kv_override made{};
    std::strncpy(made.key, key, sizeof(made.key) - 1);
    return made;
}

llama_model_kv_override text_entry(const char* key, const std::string& text) {
    llama_model_kv_override made = entry(key);
    made.tag = LLAMA_KV_OVERRIDE_TYPE_STR;
    const std::string_view most = std::string_view(text).substr(0, sizeof(made.val_str) - 1);
    std::memcpy(made.val_str, most.data(), valid_utf8_prefix(most));
    return made;
}

llama_model_kv_override number_entry(const char* key, int64_t number) {
    llama_model_kv_override made = entry(key);
    made.tag = LLAMA_KV_OVERRIDE_TYPE_INT;
    made.val_i64 = number;
    return made;
}

// What llama.cpp's own tool notes in the file, in its order.
std::vector<llama_model_kv_override> notes_of(const Importance& importance) {
    std::vector<llama_model_kv_override> notes;
    notes.push_back(text_entry("quantize.imatrix.file", importance.file));
    if (!importance.dataset.empty()) {
        notes.push_back(text_entry("quantize.imatrix.dataset", importance.dataset));
    }
    notes.push_back(
        number_entry("quantize.imatrix.entries_count", static_cast<int64_t>(importance.values.size())));
    if (importance.n_chunks > 0) {
        notes.push_back(number_entry("quantize.imatrix.chunks_count", importance.n_chunks));
    }
    notes.push_back(entry("")); // ends the array
    return notes;
}

std::vector<llama_model_imatrix_data> data_of(const Importance& importance) {
    std::vector<llama_model_imatrix_data> data;
    for (const auto& [name, values] : importance.values) {
        data.push_back({name.c_str(), values.data(), values.size()});
    }
    data.push_back({nullptr, nullptr, 0}); // ends the array
    return data;
}

// "[  12/ 290] blk.0.ffn_up.weight - [...". There is no other sign of life.
void note_line(const char* line, const std::function<bool(int, int)>& progress) {
    int done = 0;
    int all = 0;
    if (std::sscanf(line, "[%d/%d]", &done, &all) == 2 && !progress(done - 1, all)) {
        throw Cancelled();
    }
}

} // namespace

void quantize(const std::string& source, const std::string& target, const QuantizeParams& params) {
    llama_model_quantize_params native = llama_model_quantize_default_params();
    native.ftype = choose(kTypes, "type", upper(params.type));
    native.nthread = params.n_threads;
    native.output_tensor_type = tensor_type("output_type", params.output_type);
    native.token_embedding_type = tensor_type("token_embedding_type", params.token_embedding_type);
    native.allow_requantize = params.allow_requantize;
    native.quantize_output_tensor = params.quantize_output;
    native.pure = params.pure;
    const bool has_importance = !params.importance.values.empty();
    const auto* needing = std::find(std::begin(kNeedImportance), std::end(kNeedImportance), native.ftype);
    if (needing != std::end(kNeedImportance) && !has_importance) {
        throw Error(ErrorKind::InvalidRequestError,
                    "type is '" + params.type + "', which needs an importance matrix; give imatrix")
            .with("option", std::string("type"));
    }
    const std::vector<llama_model_imatrix_data> data = data_of(params.importance);
    const std::vector<llama_model_kv_override> notes = notes_of(params.importance);
    if (has_importance) {
        native.imatrix = data.data();
        native.kv_overrides = notes.data();
    }
    check_gguf_file(source);
    check_gguf_tokens(source); // which llama.cpp does not load here
    start_backend();
    ErrorCapture errors;
    int n_tensors = 0;
    const LogTap tap([&](const char* line) {
        note_line(line, [&](int done, int all) {
            n_tensors = all;
            return !params.progress || params.progress(done, all);
        });
    });
    bool is_cancelled = false;
    uint32_t status = 1;
    try {
        status = llama_model_quantize(source.c_str(), target.c_str(), &native);
    } catch (const Cancelled&) {
        is_cancelled = true;
    } catch (const std::exception& error) {
        throw load_error(source, error.what());
    }
    is_cancelled = is_cancelled || tap.has_thrown();
    if (status != 0) {
        throw load_error(source,
                         is_cancelled ? "progress stopped it" : errors.reason("llama.cpp gave no reason"))
            .with("cancelled", is_cancelled);
    }
    if (params.progress) {
        params.progress(n_tensors, n_tensors);
    }
}

std::vector<std::string> quantization_types() {
    std::vector<std::string> names;
    for (const auto& [name, type] : kTypes) {
        names.emplace_back(name);
    }
    return names;
}

} // namespace inllama
