// The text of one output: bytes of tokens become characters, and stop strings are looked for.
#pragma once

#include "core/stop_matcher.h"
#include "core/types.h"
#include "core/utf8_stream.h"
#include "core/vocab.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace inllama {

// One thread at a time. The vocabulary outlives it.
class OutputText {
  public:
    // `spelled` is ascending: control tokens whose spelling is part of the text.
    OutputText(const Vocab& vocab, std::vector<std::string> stops, std::vector<Token> spelled = {})
        : vocab_(vocab), stops_(std::move(stops)), spelled_(std::move(spelled)) {}

    // The text that `token` completes, and the stop string that it completes, if any.
    StopMatcher::Step push(Token token);
    // The text that waited for more.
    std::string finish();

  private:
    const Vocab& vocab_;
    Utf8Stream characters_;
    StopMatcher stops_;
    std::vector<Token> spelled_;
    std::string bytes_;
};

} // namespace inllama
