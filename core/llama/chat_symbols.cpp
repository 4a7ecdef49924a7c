// What llama.cpp's chat layer needs of its common.cpp and log.cpp. They are not built: they would bring
// files, threads and a log that writes to stderr.
#include "core/llama/backend.h"

#include <common.h>
#include <llama.h>
#include <log.h>

#include <cstdarg>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

// The errors of the chat layer join llama.cpp's log; its warnings repeat what the model said.
int common_log_get_verbosity_thold() {
    return LOG_LEVEL_ERROR;
}

common_log* common_log_main() {
    return nullptr;
}

void common_log_add(common_log*, ggml_log_level level, const char* format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    inllama::log_ring().push(static_cast<int>(level), text);
}

std::string string_format(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    const int length = std::vsnprintf(nullptr, 0, format, arguments);
    va_end(arguments);
    std::string text(length > 0 ? static_cast<size_t>(length) : 0, '\0');
    std::vsnprintf(text.data(), text.size() + 1, format, again);
    va_end(again);
    return text;
}

std::string string_join(const std::vector<std::string>& values, const std::string& separator) {
    std::string joined;
    for (size_t i = 0; i < values.size(); i++) {
        joined += (i > 0 ? separator : "") + values[i];
    }
    return joined;
}

std::vector<std::string> string_split(const std::string& text, const std::string& delimiter) {
    std::vector<std::string> parts;
    size_t begin = 0;
    for (size_t end = text.find(delimiter); end != std::string::npos; end = text.find(delimiter, begin)) {
        parts.push_back(text.substr(begin, end - begin));
        begin = end + delimiter.size();
    }
    parts.push_back(text.substr(begin));
    return parts;
}

std::string string_repeat(const std::string& text, size_t n) {
    std::string repeated;
    for (; n > 0; n--) {
        repeated += text;
    }
    return repeated;
}

void string_replace_all(std::string& text, const std::string& search, const std::string& replacement) {
    if (search.empty()) {
        return;
    }
    for (size_t at = text.find(search); at != std::string::npos;
         at = text.find(search, at + replacement.size())) {
        text.replace(at, search.size(), replacement);
    }
}

std::vector<llama_token> common_tokenize(const llama_vocab* vocab, const std::string& text, bool add_special,
                                         bool parse_special) {
    std::vector<llama_token> tokens(text.size() + 8);
    const int32_t n = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                                     static_cast<int32_t>(tokens.size()), add_special, parse_special);
    if (n < 0) {
        throw std::runtime_error("a marker of the chat format has more tokens than characters");
    }
    tokens.resize(static_cast<size_t>(n));
    return tokens;
}

std::string common_token_to_piece(const llama_vocab* vocab, llama_token token, bool special) {
    std::string piece(64, '\0');
    int32_t n =
        llama_token_to_piece(vocab, token, piece.data(), static_cast<int32_t>(piece.size()), 0, special);
    if (n < 0) {
        piece.resize(static_cast<size_t>(-n));
        n = llama_token_to_piece(vocab, token, piece.data(), static_cast<int32_t>(piece.size()), 0, special);
    }
    piece.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return piece;
}
