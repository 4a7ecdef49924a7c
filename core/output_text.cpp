#include "core/output_text.h"

#include <algorithm>

namespace inllama {

StopMatcher::Step OutputText::push(Token token) {
    bytes_.clear();
    if (std::binary_search(spelled_.begin(), spelled_.end(), token)) {
        vocab_.append_spelling(token, bytes_);
    } else {
        vocab_.append_bytes(token, bytes_);
    }
    return stops_.push(characters_.push(bytes_));
}

std::string OutputText::finish() {
    StopMatcher::Step last = stops_.push(characters_.flush());
    return last.text + stops_.flush();
}

} // namespace inllama
