#include "core/llama/chat_template.h"

#include "bind/arrays.h"
#include "bind/call.h"
#include "bind/model.h"
#include "bind/module.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

namespace inllama {

namespace {

std::string text(const nb::handle& value) {
    return std::string(utf8(value));
}

std::optional<std::string> optional_text(const nb::handle& value) {
    return value.is_none() ? std::nullopt : std::optional<std::string>(text(value));
}

ChatInputs chat_inputs(const nb::dict& from) {
    ChatInputs inputs;
    inputs.messages = text(from["messages"]);
    inputs.tools = optional_text(from["tools"]);
    inputs.tool_choice = text(from["tool_choice"]);
    inputs.parallel_tool_calls = nb::cast<bool>(from["parallel_tool_calls"]);
    inputs.add_generation_prompt = nb::cast<bool>(from["add_generation_prompt"]);
    inputs.continue_final_message = nb::cast<bool>(from["continue_final_message"]);
    inputs.enable_thinking = nb::cast<std::optional<bool>>(from["enable_thinking"]);
    inputs.reasoning = nb::cast<bool>(from["reasoning"]);
    for (const auto& [name, value] : nb::cast<nb::dict>(from["kwargs"])) {
        inputs.kwargs[text(name)] = text(value);
    }
    inputs.documents = optional_text(from["documents"]);
    inputs.json_schema = optional_text(from["json_schema"]);
    inputs.parse_special_content = nb::cast<bool>(from["parse_special_content"]);
    return inputs;
}

nb::tuple to_tuple(const std::vector<std::string>& texts) {
    nb::list items;
    for (const std::string& item : texts) {
        items.append(text_of(item));
    }
    return nb::tuple(items);
}

nb::object to_python(OpenText open) {
    switch (open) {
    case OpenText::content:
        return nb::str("content");
    case OpenText::reasoning:
        return nb::str("reasoning");
    default:
        return nb::none();
    }
}

nb::object to_python(const std::optional<ParsedChat>& parsed) {
    if (!parsed) {
        return nb::none();
    }
    nb::list calls;
    for (const ToolCall& call : parsed->tool_calls) {
        calls.append(nb::make_tuple(text_of(call.name), text_of(call.arguments), text_of(call.id)));
    }
    return nb::make_tuple(text_of(parsed->content), text_of(parsed->reasoning), nb::tuple(calls),
                          to_python(parsed->open));
}

nb::list to_python(const std::vector<ChatTrigger>& triggers) {
    nb::list items;
    for (const ChatTrigger& trigger : triggers) {
        items.append(nb::make_tuple(trigger.kind, nb::cast(trigger.value)));
    }
    return items;
}

void bind_chat_parser(nb::module_& m) {
    nb::class_<ChatParser>(m, "ChatParser",
                           "Splits an answer into content, reasoning and tool calls. Immutable; any thread.")
        .def(
            "parse",
            [](const ChatParser& self, nb::str answer, bool is_partial) {
                const std::string_view view = utf8(answer);
                return to_python(call_native([&] { return self.parse(view, is_partial); }));
            },
            "text"_a, "is_partial"_a,
            nb::sig("def parse(self, text: str, is_partial: bool) -> "
                    "tuple[str, str, tuple[tuple[str, str, str], ...], "
                    "typing.Literal['content', 'reasoning'] | None] | None"),
            R"doc(Return content, reasoning, the name, arguments and id of each tool call, and what is open.

``None``: the text is not in the format of the template. All of the answer so far is to be given each time, unless it
ends inside of what is open: what follows makes that longer then, as long as none of the ``marks`` is in it.
)doc")
        .def_prop_ro(
            "marks",
            [](const ChatParser& self) {
                nb::list marks;
                for (const std::string& mark : self.marks()) {
                    marks.append(text_of(mark));
                }
                return nb::frozenset(marks);
            },
            nb::sig("def marks(self) -> frozenset[str]"),
            "Characters with which begins all that may end content or reasoning that is open.")
        .def_prop_ro("definition", &ChatParser::definition,
                     "llama.cpp's description of the parser; for tests.")
        .def("__repr__", [](const ChatParser&) { return "ChatParser()"; });
}

void bind_chats(nb::module_& m) {
    nb::class_<RenderedChat>(m, "RenderedChat", "A conversation as a prompt.")
        .def_prop_ro(
            "text", [](const RenderedChat& self) { return text_of(self.text); }, "The prompt as text.")
        .def_prop_ro(
            "token_ids", [](const RenderedChat& self) { return to_array(std::vector<Token>(self.tokens)); },
            nb::rv_policy::move,
            "The prompt as tokens, int32, with the beginning token if the model asks for it.");
    nb::class_<PreparedChat, RenderedChat>(m, "PreparedChat", "A prompt, and how answers to it are written.")
        .def_prop_ro(
            "parser",
            [](const PreparedChat& self) { return std::const_pointer_cast<ChatParser>(self.parser); },
            nb::sig("def parser(self) -> ChatParser"), "Reads answers.")
        .def_ro("grammar", &PreparedChat::grammar,
                "GBNF of the answer, or of what follows a trigger. If it is not lazy it begins with "
                "``generation_prompt``, which is to be fed to it first.")
        .def_ro("is_grammar_lazy", &PreparedChat::is_grammar_lazy, "Whether the grammar waits for a trigger.")
        .def_prop_ro(
            "triggers", [](const PreparedChat& self) { return to_python(self.triggers); },
            nb::sig("def triggers(self) -> list[tuple[str, str | int]]"),
            "What a lazy grammar waits for: ``word``, ``pattern``, ``pattern_full`` or ``token``, and its "
            "value.")
        .def_ro("preserved_tokens", &PreparedChat::preserved_tokens,
                "Tokens whose spelling must be in the text that the parser reads.")
        .def_ro("stops", &PreparedChat::stops, "Texts that end an answer.")
        .def_prop_ro(
            "generation_prompt", [](const PreparedChat& self) { return text_of(self.generation_prompt); },
            "The end of the prompt, with which answers begin for the parser.")
        .def_ro("supports_thinking", &PreparedChat::supports_thinking, "Whether answers may have reasoning.")
        .def_ro("thinking_start_tag", &PreparedChat::thinking_start_tag,
                "What begins reasoning; may be empty.")
        .def_ro("thinking_end_tags", &PreparedChat::thinking_end_tags, "What ends reasoning.")
        .def_ro("thinking_closing", &PreparedChat::thinking_closing,
                "One of them, with the white space that belongs to it.");
}

constexpr const char* kTemplateDoc =
    R"doc(A chat template: a model's own, or one that is given. Immutable; any thread.

Args:
    model: Whose vocabulary and templates are used.
    source: A Jinja template, in place of the model's.
    name: One of the model's named templates.

Raises:
    TemplateError: The template cannot be parsed; ``.line`` says where, if that is known.
    UnsupportedError: The model has no such template.
)doc";

} // namespace

void bind_chat_template(nb::module_& m) {
    bind_chat_parser(m);
    bind_chats(m);
    nb::class_<ChatTemplate>(m, "ChatTemplate", kTemplateDoc)
        .def(
            "__init__",
            [](ChatTemplate* self, const PyModel& model, nb::object source, nb::object name) {
                const std::optional<std::string> given = optional_text(source);
                const std::optional<std::string> named = optional_text(name);
                const std::shared_ptr<const Tokenizer> tokenizer = model.tokenizer();
                call_native([&] { new (self) ChatTemplate(tokenizer, given, named); });
            },
            "model"_a, "source"_a = nb::none(), "name"_a = nb::none(),
            nb::sig("def __init__(self, model: Model, source: str | None = None, name: str | None = None) -> "
                    "None"))
        .def_prop_ro(
            "source", [](const ChatTemplate& self) { return text_of(self.source()); }, "Its text.")
        .def_prop_ro(
            "capabilities", &ChatTemplate::capabilities,
            "What it can do, as llama.cpp found out; ``enable_thinking``: whether that changes anything.")
        .def_prop_ro(
            "variants", [](const ChatTemplate& self) { return to_tuple(self.variants()); },
            nb::sig("def variants(self) -> tuple[str, ...]"),
            "Names of the model's templates beside the default.")
        .def(
            "render",
            [](const ChatTemplate& self, const nb::dict& inputs) {
                const ChatInputs native = chat_inputs(inputs);
                return call_native([&] { return self.render(native); });
            },
            "inputs"_a, nb::sig("def render(self, inputs: dict[str, object]) -> RenderedChat"),
            "Return the prompt of a conversation.")
        .def(
            "prepare",
            [](const ChatTemplate& self, const nb::dict& inputs) {
                const ChatInputs native = chat_inputs(inputs);
                return call_native([&] { return self.prepare(native); });
            },
            "inputs"_a, nb::sig("def prepare(self, inputs: dict[str, object]) -> PreparedChat"),
            "Return the prompt of a conversation, and how answers to it are written.")
        .def(
            "reference",
            [](const ChatTemplate& self, const nb::dict& inputs) {
                const ChatInputs native = chat_inputs(inputs);
                return call_native([&] { return self.reference(native); });
            },
            "inputs"_a, nb::sig("def reference(self, inputs: dict[str, object]) -> PreparedChat"),
            "Return what llama.cpp's own function gives, without tokens; for tests.")
        .def("__repr__", [](const ChatTemplate& self) {
            return "ChatTemplate(" + std::to_string(self.source().size()) + " bytes)";
        });
}

} // namespace inllama
