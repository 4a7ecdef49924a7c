#include "core/output_text.h"

namespace inllama {

StopMatcher::Step OutputText::push(Token token) {
    bytes_.clear();
    vocab_.append_bytes(token, bytes_);
    return stops_.push(characters_.push(bytes_));
}

std::string OutputText::finish() {
    StopMatcher::Step last = stops_.push(characters_.flush());
    return last.text + stops_.flush();
}

} // namespace inllama
