#include "core/llama/chat_format.h"

#include <chat-auto-parser-helpers.h>

#include <algorithm>
#include <stdexcept>
#include <variant>

namespace inllama {

namespace {

using Params = autoparser::generation_params;

Params small_conversation() {
    Params params;
    params.messages = common_json::array();
    params.messages.push_back({{"role", "user"}, {"content", "Hello"}});
    params.reasoning_format = COMMON_REASONING_FORMAT_NONE;
    params.add_generation_prompt = true;
    params.extra_context = common_json::object();
    return params;
}

// What `longer` has behind the beginning that both share.
std::string rest(const std::string& shorter, const std::string& longer) {
    const size_t most = std::min(shorter.size(), longer.size());
    size_t n = 0;
    while (n < most && shorter[n] == longer[n]) {
        n++;
    }
    return longer.substr(n);
}

// A parser makes a node of each rule that it goes through: six of them for a small object in JSON. Only the
// mapper of gemma's format reads them.
void drop_nodes_of_rules(common_peg_arena& arena) {
    for (common_peg_parser_id id = 0; id < arena.size(); id++) {
        if (const auto* rule = std::get_if<common_peg_rule_parser>(&arena.get(id))) {
            arena.get(id) = common_peg_gbnf_parser{rule->child, ""}; // hands on what its child gives
        }
    }
}

} // namespace

ChatFormat::ChatFormat(const std::string& source, const std::string& bos, const std::string& eos)
    : native_(source, bos, eos), is_specialized_(is_specialized()),
      has_thinking_switch_(changes_with_thinking()) {}

// Which it is depends on the source alone, and only the code for a family can fail.
bool ChatFormat::is_specialized() const {
    Params params = small_conversation();
    try {
        return common_chat_try_specialized_template(native_, native_.source(), params).has_value();
    } catch (const std::exception&) {
        return true;
    }
}

bool ChatFormat::changes_with_thinking() const {
    Params params = small_conversation();
    try {
        const std::string with = common_chat_template_direct_apply(native_, params);
        params.enable_thinking = false;
        return common_chat_template_direct_apply(native_, params) != with;
    } catch (const std::exception&) {
        return false; // it wants more than one message
    }
}

void ChatFormat::analyse() const {
    if (is_specialized_) {
        return;
    }
    std::call_once(analysed_, [&] {
        autoparser::autoparser found;
        found.analyze_template(native_);
        analysis_ = std::move(found);
        is_analysed_ = true;
    });
}

common_chat_params ChatFormat::compute(Params params) const {
    if (auto special = common_chat_try_specialized_template(native_, native_.source(), params)) {
        return std::move(*special);
    }
    common_chat_params computed = autoparser::peg_generator::generate_parser(native_, params, analysis_);
    computed.supports_thinking = analysis_.reasoning.mode != autoparser::reasoning_mode::NONE;
    if (computed.supports_thinking) {
        computed.thinking_start_tag = trim_whitespace(analysis_.reasoning.start);
        const std::string end = trim_whitespace(analysis_.reasoning.end);
        if (!end.empty()) {
            computed.thinking_end_tags = {end};
        }
    }
    return computed;
}

ChatFormat::Prompt ChatFormat::prompt(const Params& params, bool with_generation_prompt) const {
    if (is_specialized_ || params.has_continuation()) {
        // The prompt does not depend on it, and without a choice of tools there is little else to compute.
        Params without_choice = params;
        without_choice.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;
        common_chat_params computed = compute(std::move(without_choice));
        return {std::move(computed.prompt), std::move(computed.generation_prompt)};
    }
    Prompt prompt;
    prompt.text = common_chat_template_direct_apply(native_, params);
    if (with_generation_prompt) {
        Params other = params;
        other.add_generation_prompt = !params.add_generation_prompt;
        const std::string other_text = common_chat_template_direct_apply(native_, other);
        prompt.generation_prompt =
            params.add_generation_prompt ? rest(other_text, prompt.text) : rest(prompt.text, other_text);
    }
    return prompt;
}

ChatAnswers ChatFormat::answers(const Params& params) const {
    ChatAnswers answers = describe(compute(params));
    if (!is_specialized_) {
        answers.thinking_closing = analysis_.reasoning.end;
    }
    return answers;
}

ChatAnswers ChatFormat::describe(common_chat_params params) {
    ChatAnswers answers;
    auto arena = std::make_shared<common_peg_arena>();
    arena->load(params.parser);
    if (params.format == COMMON_CHAT_FORMAT_PEG_NATIVE) {
        drop_nodes_of_rules(*arena);
    }
    answers.arena = std::move(arena);
    answers.params = std::move(params);
    answers.params.parser.clear();
    return answers;
}

} // namespace inllama
