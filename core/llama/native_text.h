// Reading the texts that llama.cpp writes into a caller's buffer.
#pragma once

#include <cstddef>
#include <string>

namespace inllama {

// Calls `read(buffer, size)` until the text fits. `read` gives the text's full length, or a negative number
// if there is none, which becomes an empty text.
template<class Read> std::string read_text(Read read) {
    std::string text(128, '\0');
    for (;;) {
        const int length = read(text.data(), text.size());
        if (length < 0) {
            return {};
        }
        const bool fits = static_cast<size_t>(length) < text.size();
        text.resize(static_cast<size_t>(length) + (fits ? 0 : 1));
        if (fits) {
            return text;
        }
    }
}

} // namespace inllama
