#include "core/llama/chat_parser.h"

#include "core/error.h"

#include <chat-peg-parser.h>
#include <chat.h>

#include <exception>

namespace inllama {

namespace {

constexpr size_t kMaxAnswerBytes = size_t{64} << 20;

std::unique_ptr<common_chat_peg_mapper> mapper_for(int format, common_chat_msg& message) {
    switch (static_cast<common_chat_format>(format)) {
    case COMMON_CHAT_FORMAT_PEG_GEMMA4:
        return std::make_unique<common_chat_peg_gemma4_mapper>(message);
    case COMMON_CHAT_FORMAT_PEG_MINIMAX_M3:
        return std::make_unique<common_chat_peg_minimax_m3_mapper>(message);
    default:
        return std::make_unique<common_chat_peg_mapper>(message);
    }
}

void remove_prefix(std::string& text, const std::string& prefix) {
    if (text.compare(0, prefix.size(), prefix) == 0) {
        text.erase(0, prefix.size());
    }
}

} // namespace

ChatParser::ChatParser(std::shared_ptr<const common_peg_arena> arena, int format,
                       std::string generation_prompt, bool continues)
    : arena_(std::move(arena)), marks_(*arena_), format_(format),
      generation_prompt_(std::move(generation_prompt)) {
    if (continues) {
        before_ = parse_all("", true).value_or(ParsedChat());
    }
}

std::optional<ParsedChat> ChatParser::parse(std::string_view text, bool is_partial) const {
    if (text.size() > kMaxAnswerBytes) {
        throw Error(ErrorKind::InvalidRequestError, "the text has " + std::to_string(text.size()) +
                                                        " bytes but at most " +
                                                        std::to_string(kMaxAnswerBytes) + " can be parsed")
            .with("n_bytes", text.size())
            .with("limit", kMaxAnswerBytes);
    }
    std::optional<ParsedChat> parsed = parse_all(text, is_partial);
    if (parsed) {
        remove_prefix(parsed->content, before_.content);
        remove_prefix(parsed->reasoning, before_.reasoning);
    }
    return parsed;
}

std::optional<ParsedChat> ChatParser::parse_all(std::string_view answer, bool is_partial) const {
    common_chat_msg message;
    OpenText open = OpenText::none;
    try {
        std::string input = generation_prompt_;
        input += answer;
        common_peg_parse_context context(input, COMMON_PEG_PARSE_FLAG_LENIENT);
        const common_peg_parse_result result = arena_->parse(context);
        if (result.fail() && !(is_partial && result.end > 0)) {
            return std::nullopt;
        }
        mapper_for(format_, message)->from_ast(context.ast, result);
        open = is_partial ? marks_.open_text(context, result) : open;
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const std::exception&) {
        return std::nullopt; // nested too deeply, or a value that is no JSON
    }
    ParsedChat parsed;
    // Reasoning that is white space only is left out until there is more.
    const std::string& text = open == OpenText::reasoning ? message.reasoning_content : message.content;
    parsed.open = text.empty() ? OpenText::none : open;
    parsed.content = std::move(message.content);
    parsed.reasoning = std::move(message.reasoning_content);
    for (common_chat_tool_call& call : message.tool_calls) {
        parsed.tool_calls.push_back({std::move(call.name), std::move(call.arguments), std::move(call.id)});
    }
    return parsed;
}

std::string ChatParser::definition() const {
    return arena_->save();
}

} // namespace inllama
