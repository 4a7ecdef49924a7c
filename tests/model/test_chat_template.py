"""Chat templates render as llama.cpp renders them, and no template or message harms the process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
from chats import CALL, CLOCK, NO_TREE, QUESTION, RESULT, TALK, TEMPLATES, WEATHER, inputs, user

from inllama import InvalidRequestError, Model, TemplateError, UnsupportedError
from inllama._core import ChatTemplate
from inllama.model import demo_path

SIMPLE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"

SCENARIOS: dict[str, dict[str, Any]] = {
    "talk": inputs(TALK),
    "no_prompt": inputs(TALK, add_generation_prompt=False),
    "no_thinking": inputs(TALK, enable_thinking=False),
    "inline_reasoning": inputs(TALK, reasoning=False),
    "tools": inputs([QUESTION], tools=[WEATHER, CLOCK]),
    "required": inputs([QUESTION], tools=[WEATHER, CLOCK], tool_choice="required", parallel_tool_calls=True),
    "result": inputs([QUESTION, CALL, RESULT], tools=[WEATHER]),
    "none": inputs([QUESTION], tools=[WEATHER], tool_choice="none"),
    "parts": inputs([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]),
    "developer": inputs([{"role": "developer", "content": "Be brief."}, QUESTION]),
    "reasoned": inputs([QUESTION, {"role": "assistant", "content": "Fine.", "reasoning_content": "Hm."}, QUESTION]),
    "continued": inputs([QUESTION, {"role": "assistant", "content": "It is"}], continue_final_message=True),
    "schema": inputs([QUESTION], json_schema={"type": "object", "properties": {"a": {"type": "integer"}}}),
}


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Model(demo_path(), vocab_only=True) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def demo(model: Model) -> ChatTemplate:
    return ChatTemplate(model)


# ------------------------------------------------------------------------------------------------ as llama.cpp does


def described(chat: Any) -> dict[str, Any]:
    """Return everything that the two ways to prepare a chat must agree on."""
    names = [
        "text",
        "grammar",
        "is_grammar_lazy",
        "triggers",
        "preserved_tokens",
        "stops",
        "generation_prompt",
        "supports_thinking",
        "thinking_start_tag",
        "thinking_end_tags",
    ]
    return {name: getattr(chat, name) for name in names} | {"parser": chat.parser.definition}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_every_template_gives_what_llama_cpp_gives(model: Model, path: Path) -> None:
    template = ChatTemplate(model, path.read_text(encoding="utf-8"))
    n_rendered = 0
    for name, scenario in SCENARIOS.items():
        try:
            expected = described(template.reference(scenario))
        except TemplateError:
            with pytest.raises((TemplateError, InvalidRequestError)):
                template.prepare(scenario)
            continue
        assert described(template.prepare(scenario)) == expected, name
        assert described(template.prepare(scenario)) == expected, f"{name}, from the cache"
        assert template.render(scenario).text == expected["text"], name
        n_rendered += 1
    assert n_rendered >= 5


def test_there_are_templates_to_compare_with() -> None:
    if not TEMPLATES:
        pytest.skip(NO_TREE)
    assert len(TEMPLATES) > 50


def test_a_conversation_renders_in_the_models_own_format(demo: ChatTemplate) -> None:
    assert demo.render(user("Hello")).text.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")


def test_the_tokens_are_those_of_the_text_at_once(model: Model, demo: ChatTemplate) -> None:
    chat = demo.render(inputs(TALK))
    expected = model.tokenizer.encode(chat.text, add_special=True, parse_special=True)
    np.testing.assert_array_equal(chat.token_ids, expected)
    assert chat.token_ids.dtype == np.int32


def test_the_beginning_token_is_never_there_twice(llama: Model) -> None:
    bos = llama.tokenizer.bos
    assert llama.tokenizer.adds_bos
    for source in ("{{ bos_token }}{{ messages[0].content }}", "{{ messages[0].content }}"):
        tokens = ChatTemplate(llama, source).render(user("Hi")).token_ids.tolist()
        assert tokens.count(bos) == 1
        assert tokens[0] == bos


def test_capabilities_say_what_the_template_can_do(model: Model, demo: ChatTemplate) -> None:
    assert demo.capabilities["supports_tools"]
    assert demo.capabilities["supports_tool_calls"]
    assert demo.capabilities["enable_thinking"]
    simple = ChatTemplate(model, SIMPLE).capabilities
    assert not simple["enable_thinking"]
    assert not simple["supports_tools"]


def test_a_template_can_be_given(model: Model) -> None:
    template = ChatTemplate(model, SIMPLE)
    assert template.source == SIMPLE
    assert template.render(user("Hi")).text == "<|im_start|>user\nHi<|im_end|>\n"
    assert template.variants == ()


@pytest.fixture(scope="module")
def named(model_folder: Path) -> Iterator[Model]:
    """A model with three templates."""
    templates = {"": "plain" + SIMPLE, ".tool_use": "tools" + SIMPLE, ".rag": "rag" + SIMPLE}
    path = tiny.llama(
        model_folder / "named.gguf",
        metadata={f"tokenizer.chat_template{name}": text for name, text in templates.items()},
    )
    with Model(path, vocab_only=True) as loaded:
        yield loaded


def test_requests_with_tools_use_the_template_for_them(named: Model) -> None:
    template = ChatTemplate(named)
    with_tools = inputs([QUESTION], tools=[WEATHER])
    assert template.render(inputs([QUESTION])).text.startswith("plain")
    assert template.render(with_tools).text.startswith("tools")
    for chat in (inputs([QUESTION]), with_tools):
        assert described(template.prepare(chat)) == described(template.reference(chat))


def test_a_template_can_be_named(named: Model) -> None:
    template = ChatTemplate(named, name="rag")
    assert template.render(inputs([QUESTION], tools=[WEATHER])).text.startswith("rag")
    assert template.variants == ("rag", "tool_use")
    with pytest.raises(UnsupportedError, match="it has rag, tool_use"):
        ChatTemplate(named, name="other")


def test_kwargs_and_documents_are_variables(model: Model) -> None:
    template = ChatTemplate(model, "{{ style }} {{ documents[0].title }} {{ enable_thinking }}")
    chat = template.render(user("", kwargs={"style": "short", "enable_thinking": False}, documents=[{"title": "T"}]))
    assert chat.text == "short T False"


def test_a_continued_message_ends_the_prompt(demo: ChatTemplate) -> None:
    messages = [QUESTION, {"role": "assistant", "content": "It is"}]
    chat = demo.prepare(inputs(messages, continue_final_message=True))
    assert chat.text.endswith("assistant\n<think>\n\n</think>\n\nIt is") or chat.text.endswith("It is")
    parsed = chat.parser.parse(" sunny.", False)
    assert parsed is not None
    assert parsed[0].strip() == "sunny."


def test_many_threads_share_a_template(model: Model) -> None:
    template = ChatTemplate(model)
    chats = [SCENARIOS[name] for name in ("talk", "tools", "result", "reasoned")]
    expected = [described(template.prepare(chat)) for chat in chats]
    fresh = ChatTemplate(model)  # analysed by whoever comes first

    def work(i: int) -> bool:
        return described(fresh.prepare(chats[i % 4])) == expected[i % 4]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(80)))


# --------------------------------------------------------------------------------------------------------- templates

BAD_TEMPLATES = {
    "recursive_macro": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "two_recursive_macros": "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
    "long_range": "{{ range(10**9) if false else range(1000000000) | length }}",
    "nested_ranges": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "deep_ranges": "".join("{% for a in range(99) %}" for _ in range(9)) + "{% endfor %}" * 9,
    "repeated_string": "{{ 'a' * 1000000000 }}",
    "repeated_long_string": "{{ ('a' * 100000) * 100000 }}",
    "doubling": "{% set ns = namespace(x='a') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
    "{{ ns.x }}",
    "doubling_array": "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "shared_arrays": "{% set ns = namespace(x=[]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
    "{{ ns.x | tojson }}",
    "equal_arrays": "{% set ns = namespace(x=(), y=()) %}{% for i in range(90) %}{% set ns.x = (ns.x, ns.x) %}"
    "{% set ns.y = (ns.y, ns.y) %}{% endfor %}{{ ns.x == ns.y }}",
    "circle": "{% set a = [] %}{% set _ = a.append(a) %}{{ a | tojson }}",
    "circle_as_text": "{% set a = [] %}{% set _ = a.append(a) %}{{ a | string }}",
    "circle_in_namespace": "{% set n = namespace() %}{% set n.n = n %}{{ n | tojson }}",
    "printed_circle": "{% set a = [] %}{% set _ = a.append(a) %}{{ a }}",
    "replaced_by_longer": "{% set x = 'a' * 9999 %}{{ x.replace('a', x).replace('a', x) }}",
    "replaced_nothing": "{% set x = 'a' * 9999 %}{{ x.replace('', x).replace('', x) }}",
    "joined": "{% set x = 'a' * 9999 %}{{ (range(9999) | list) | join(x) }}",
    "indented": "{{ 'a\nb' | indent(2000000000) }}",
    "indented_json": "{{ [[[[1]]]] | tojson(indent=1000000000) }}",
    "slow_split": "{{ ('a' * 400000).split('a') | length }}",
    "slow_search": "{{ ('a' * 100000 + 'b') * 20 in ('a' * 100000) * 30 }}",
    "zero_division": "{{ 1 is divisibleby(0) }}",
    "slice_backwards": "{{ 'ab' * 3000000 }}{{ ('ab' * 30)[0::(-9223372036854775807 - 1)] * 100000000 }}",
    "raise": "{{ raise_exception('no system message, please') }}",
    "undefined_call": "{{ nothing() }}",
    "unknown_filter": "{{ messages | nothing }}",
    "break_outside": "{% break %}",
    "parentheses": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "lists": "{{ " + "[" * 20000 + "]" * 20000 + " }}",
    "objects": "{{ " + "{1:" * 20000 + "1" + "}" * 20000 + " }}",
    "ifs": "{% if x %}" * 20000 + "{% endif %}" * 20000,
    "elifs": "{% if x %}" + "{% elif x %}" * 20000 + "{% endif %}",
    "fors": "{% for x in y %}" * 20000 + "{% endfor %}" * 20000,
    "macros": "{% macro f() %}" * 20000 + "{% endmacro %}" * 20000,
    "nots": "{{ " + "not " * 20000 + "x }}",
    "minuses": "{{ " + "- " * 20000 + "x }}",
    "sums": "{{ " + "x + " * 20000 + "x }}",
    "ands": "{{ " + "x and " * 20000 + "x }}",
    "filters": "{{ x" + " | trim" * 20000 + " }}",
    "members": "{{ x" + ".y" * 20000 + " }}",
    "calls": "{{ x" + "()" * 20000 + " }}",
    "ternaries": "{{ " + "x if x else " * 20000 + "x }}",
    "tests": "{{ x" + " is defined" * 20000 + " }}",
    "unclosed": "{{ messages",
    "unclosed_block": "{% if x %}",
    "unclosed_comment": "{{ 1 }}{# never",
    "unknown_block": "{% include 'secret' %}{{ 1 }}",
    "no_template": "chatml",
    "long": "{{ 1 }}" + "a" * 10_000_000,
    "private_characters": "{{ 1 }}\U000f0000",
}


@pytest.mark.parametrize("name", BAD_TEMPLATES)
def test_bad_templates_are_refused_in_bounded_time(model: Model, demo: ChatTemplate, name: str) -> None:
    started = time.monotonic()
    with pytest.raises(TemplateError) as error:
        ChatTemplate(model, BAD_TEMPLATES[name]).render(inputs(TALK))
    assert time.monotonic() - started < 20
    assert error.value.reason
    assert demo.render(user("still here")).text.endswith("assistant\n")


HARMLESS_TEMPLATES = {
    "long_chain": "{% set ns = namespace(x=[]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}{% endfor %}ok",
    "chain_of_arguments": "{% set ns = namespace(x=1) %}{% for i in range(2000) %}"
    "{% set ns.x = nothing | default(a=ns.x) %}{% endfor %}ok",
    "circle_that_nobody_walks": "{% set a = [] %}{% set _ = a.append(a) %}ok",
    "namespace_of_itself": "{% set n = namespace() %}{% set n.n = n %}ok",
    "sorted_without_an_order": "{{ ([9, 10, '5', '1', 3.5] * 1) | length if false }}"
    "{% set ns = namespace(x=[]) %}{% for i in range(50) %}{% set ns.x = ns.x + [i, i ~ '', 9, 10, '5'] %}{% endfor %}"
    "{{ (ns.x | sort | length) and 'ok' }}",
    "smallest_number_modulo_minus_one": "{{ 'ok' if (-9223372036854775807 - 1) is divisibleby(-1) }}",
    "step_that_overflows": "{{ 'xok'[1:3:9223372036854775807] | length and 'ok' }}",
}


@pytest.mark.parametrize("name", HARMLESS_TEMPLATES)
def test_odd_templates_render(model: Model, name: str) -> None:
    template = ChatTemplate(model, HARMLESS_TEMPLATES[name])
    assert template.render(user("Hi")).text == "ok"


def test_circles_of_values_are_freed(model: Model) -> None:
    resource = pytest.importorskip("resource")
    template = ChatTemplate(
        model, "{% for i in range(200) %}{% set a = ['x' * 200] %}{% set _ = a.append(a) %}{% endfor %}ok"
    )
    for _ in range(3):
        template.render(user("Hi"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(30):
        template.render(user("Hi"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB; leaked, it were 80,000


def test_raised_exceptions_show_their_text_and_line(model: Model) -> None:
    template = ChatTemplate(model, "\n\n{{ raise_exception('roles must alternate') }}")
    with pytest.raises(TemplateError, match=r"failed in line 3: roles must alternate$") as error:
        template.render(user("Hi"))
    assert error.value.line == 3
    assert error.value.reason == "roles must alternate"


def test_syntax_errors_name_the_line(model: Model) -> None:
    with pytest.raises(TemplateError) as error:
        ChatTemplate(model, "{{ 1 }}\n{{ 2 }}\n{% if x %}\n{{ 3 ) }}\n{% endif %}")
    assert error.value.line == 4


def test_memory_of_a_template_is_bounded(model: Model) -> None:
    resource = pytest.importorskip("resource")
    for name in ("repeated_long_string", "doubling", "replaced_by_longer", "joined"):
        with pytest.raises(TemplateError):
            ChatTemplate(model, BAD_TEMPLATES[name]).render(user("Hi"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 3_000_000  # KiB, of the whole test process


def test_a_model_without_a_template_says_so(llama: Model) -> None:
    with pytest.raises(UnsupportedError, match="the model file has no chat template"):
        ChatTemplate(llama)


def test_an_unknown_name_of_a_template_is_refused(model: Model) -> None:
    with pytest.raises(UnsupportedError, match="no chat template 'rag'"):
        ChatTemplate(model, name="rag")


# ------------------------------------------------------------------------------------------------------------- inputs

BAD_MESSAGES: dict[str, tuple[Any, str]] = {
    "no_list": ({"role": "user", "content": ""}, "messages"),
    "empty": ([], "messages"),
    "no_object": (["Hi"], "messages[0]"),
    "no_role": ([{"content": "Hi"}], "messages[0].role"),
    "role_of_number": ([{"role": 1, "content": "Hi"}], "messages[0].role"),
    "role_with_marker": ([{"role": "user|>", "content": "Hi"}], "messages[0].role"),
    "no_content": ([QUESTION, {"role": "user"}], "messages[1].content"),
    "content_of_number": ([{"role": "user", "content": 1}], "messages[0].content"),
    "part_without_type": ([{"role": "user", "content": [{"text": "Hi"}]}], "messages[0].content[0].type"),
    "part_without_text": ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
    "calls_without_list": ([CALL | {"tool_calls": {}}], "messages[0].tool_calls"),
    "call_without_name": (
        [CALL | {"tool_calls": [{"type": "function", "function": {"arguments": "{}"}}]}],
        "messages[0].tool_calls[0].function.name",
    ),
    "arguments_of_list": (
        [CALL | {"tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "[]"}}]}],
        "messages[0].tool_calls[0].function.arguments",
    ),
    "reasoning_of_number": ([QUESTION | {"reasoning_content": 1}], "messages[0].reasoning_content"),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_bad_messages_are_refused_with_a_pointer(demo: ChatTemplate, name: str) -> None:
    messages, pointer = BAD_MESSAGES[name]
    for call in (demo.render, demo.prepare):
        with pytest.raises(InvalidRequestError) as error:
            call(inputs(messages))
        assert error.value.pointer == pointer


def test_parts_that_are_no_text_name_what_is_missing(demo: ChatTemplate) -> None:
    with pytest.raises(UnsupportedError, match="'image_url'"):
        demo.render(inputs([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]))


@pytest.mark.parametrize("name", ["messages", "tools", "bos_token", "add_generation_prompt", "range", "loop", "a b"])
def test_kwargs_cannot_shadow_what_templates_are_given(demo: ChatTemplate, name: str) -> None:
    with pytest.raises(InvalidRequestError, match="chat_template_kwargs"):
        demo.render(user("Hi", kwargs={name: "x"}))


def test_contradicting_thinking_switches_are_refused(demo: ChatTemplate) -> None:
    with pytest.raises(InvalidRequestError, match="enable_thinking"):
        demo.render(user("Hi", enable_thinking=True, kwargs={"enable_thinking": False}))


@pytest.mark.parametrize("text", ["[", "[1,]", "nul", "", "[" * 60000, '[{"role": "user", "content": "\\ud800"}]'])
def test_what_is_no_json_is_refused(demo: ChatTemplate, text: str) -> None:
    with pytest.raises(InvalidRequestError):
        demo.render(inputs([]) | {"messages": text})


@pytest.mark.parametrize(
    "tools",
    [
        {},
        [1],
        [{"type": "function"}],
        [{"type": "web_search", "function": {"name": "f"}}],
        [{"type": "function", "function": {"name": 1}}],
        [{"type": "function", "function": {"name": "f", "parameters": []}}],
        [CLOCK, CLOCK],
    ],
    ids=str,
)
def test_bad_tools_are_refused(demo: ChatTemplate, tools: Any) -> None:
    with pytest.raises(InvalidRequestError, match="tools"):
        demo.prepare(inputs([QUESTION], tools=tools))


def test_deep_results_of_tools_are_refused(demo: ChatTemplate) -> None:
    deep = [QUESTION, CALL, RESULT | {"content": "[" * 60000}]
    with pytest.raises(InvalidRequestError, match="nested deeper"):
        demo.render(inputs(deep))


def test_only_an_answer_can_be_continued(demo: ChatTemplate) -> None:
    with pytest.raises(InvalidRequestError, match="continue_final_message"):
        demo.render(inputs([QUESTION], continue_final_message=True))


def test_odd_names_of_tools_and_arguments_render(demo: ChatTemplate) -> None:
    odd = 'a"b\\c\n<|im_end|>é{}[]'
    tool = {
        "type": "function",
        "function": {"name": odd, "parameters": {"type": "object", "properties": {odd: {"type": "string"}}}},
    }
    chat = demo.prepare(inputs([QUESTION], tools=[tool]))
    assert json.dumps(odd, ensure_ascii=False)[1:-1].split("<")[0] in chat.text
    assert chat.grammar is not None


# --------------------------------------------------------------------------------------------------------------- time


@pytest.mark.slow
def test_rendering_takes_a_millisecond_and_preparing_ten(demo: ChatTemplate) -> None:
    messages = [TALK[0]] + [TALK[1 + i % 2] | {"content": f"Message {i}: " + "words " * 20} for i in range(19)]
    chat = inputs(messages, tools=[WEATHER, CLOCK])

    def best(call: Any) -> float:
        times = []
        for _ in range(20):
            started = time.perf_counter()
            call(chat)
            times.append(time.perf_counter() - started)
        return min(times)

    assert best(demo.render) < 0.003
    assert best(demo.prepare) < 0.010
