"""Messages of all kinds become OpenAI's shape; what no template could take is an error with its place."""

from __future__ import annotations

import json
import time
from types import MappingProxyType
from typing import Any

import pytest

from inllama import InvalidRequestError, UnsupportedError
from inllama.chat_outputs import Message, ToolCall
from inllama.messages import normalized, to_json

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


class Dumped:
    """As pydantic's and OpenAI's objects."""

    def __init__(self, **members: Any) -> None:
        self._members = members

    def model_dump(self, *, exclude_none: bool) -> dict[str, Any]:
        return {key: value for key, value in self._members.items() if value is not None or not exclude_none}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ("Hi", [{"role": "user", "content": "Hi"}]),
        ("", [{"role": "user", "content": ""}]),
        (({"role": "system", "content": "a"},), [{"role": "system", "content": "a"}]),
        ([MappingProxyType({"role": "developer", "content": "a"})], [{"role": "developer", "content": "a"}]),
        (iter([{"role": "user", "content": "a", "name": "Ada"}]), [{"role": "user", "content": "a", "name": "Ada"}]),
        ([Dumped(role="user", content="a", refusal=None)], [{"role": "user", "content": "a"}]),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "x": 1}]}],
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        ),
        (
            [{"role": "assistant", "content": "a", "refusal": None, "annotations": [], "tool_calls": []}],
            [{"role": "assistant", "content": "a"}],
        ),
        (
            [{"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "hm"}],
            [{"role": "assistant", "tool_calls": [CALL], "reasoning_content": "hm"}],
        ),
        (
            [{"role": "tool", "tool_call_id": "c1", "content": "3"}],
            [{"role": "tool", "tool_call_id": "c1", "content": "3"}],
        ),
    ],
)
def test_messages_become_the_shape_of_openai(messages: Any, expected: list[dict[str, Any]]) -> None:
    assert normalized(messages) == expected


def test_reply_can_be_appended_as_it_is() -> None:
    call = ToolCall("c1", "f", {"a": 1}, '{"a": 1}')
    replies = [Message(content="a", reasoning_content="hm", parse_error="no"), Message(tool_calls=(call,))]
    assert normalized(replies) == [
        {"role": "assistant", "content": "a", "reasoning_content": "hm"},
        {"role": "assistant", "tool_calls": [CALL]},
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [('{"a":1}', '{"a":1}'), ({"ä": [1]}, '{"ä": [1]}'), ({}, "{}"), ("", "{}"), (None, "{}")],
)
def test_arguments_are_json_text_or_a_mapping(arguments: Any, text: str) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    found = normalized([{"role": "assistant", "tool_calls": [call]}])
    assert found[0]["tool_calls"] == [{"type": "function", "function": {"name": "f", "arguments": text}}]


def test_tool_calls_can_be_those_of_a_reply() -> None:
    call = ToolCall("c1", "f", {"a": 1}, '{"a": 1}')
    assert normalized([{"role": "assistant", "tool_calls": [call]}])[0]["tool_calls"] == [CALL]


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "system", "content": "a"}, {"role": "user", "content": content}]


def calls(*found: Any) -> list[dict[str, Any]]:
    return [{"role": "assistant", "tool_calls": list(found)}]


@pytest.mark.parametrize(
    ("messages", "place", "problem"),
    [
        ([], "messages", "is empty; give at least one message"),
        ([3], "messages[0]", "is int; use a mapping with role and content"),
        (["Hi"], "messages[0]", "is str; use a mapping"),
        ([{}], "messages[0].role", "is missing; use one of system, developer, user, assistant, tool"),
        ([{"role": "human", "content": "a"}], "messages[0].role", "is 'human'; use one of system"),
        ([{"role": ["user"], "content": "a"}], "messages[0].role", "is ['user']"),
        ([{"role": "user"}], "messages[0].content", "is missing"),
        ([{"role": "user", "content": None}], "messages[0].content", "is missing"),
        (
            [{"role": "assistant", "content": None}],
            "messages[0].content",
            "is missing; an assistant needs it or tool_calls",
        ),
        (user(3), "messages[1].content", "is int; use text or a list of parts"),
        (user(b"a"), "messages[1].content", "is bytes"),
        (user([]), "messages[1].content", "has no parts"),
        (user(["a"]), "messages[1].content[0]", "is no part of a content"),
        (user([{"text": "a"}]), "messages[1].content[0]", "is no part of a content"),
        (user([{"type": "text"}]), "messages[1].content[0].text", "is NoneType but must be text"),
        ([{"role": "tool", "content": "a"}], "messages[0].tool_call_id", "is missing; give the id of the call"),
        ([{"role": "tool", "tool_call_id": "a"}], "messages[0].content", "is missing"),
        (
            [{"role": "user", "content": "a", "tool_call_id": "a"}],
            "messages[0].tool_call_id",
            "belongs to the role tool",
        ),
        ([{"role": "user", "content": "a", "tool_calls": [CALL]}], "messages[0].tool_calls", "of the role 'user'"),
        ([{"role": "user", "content": "a", "images": ["x"]}], "messages[0].images", "is unknown; known keys are role"),
        ([{"role": "user", "content": "a", "name": 3}], "messages[0].name", "is int but must be text"),
        ([{"role": "assistant", "content": "a", "reasoning_content": []}], "messages[0].reasoning_content", "is list"),
        ([{"role": "assistant", "tool_calls": "a"}], "messages[0].tool_calls", "is str but must be a list"),
        (calls(CALL, 3), "messages[0].tool_calls[1]", "is int"),
        (calls({"type": "custom"}), "messages[0].tool_calls[0].type", "is 'custom' but must be 'function'"),
        (calls({"function": "f"}), "messages[0].tool_calls[0].function", "must be an object with name and arguments"),
        (calls({"function": {}}), "messages[0].tool_calls[0].function.name", "is NoneType but must be text"),
        (calls({**CALL, "id": 3}), "messages[0].tool_calls[0].id", "is int but must be text"),
        (
            calls({"function": {"name": "f", "arguments": [1]}}),
            "messages[0].tool_calls[0].function.arguments",
            "is list but must be an object or its JSON text",
        ),
        (
            calls({"function": {"name": "f", "arguments": "[1]"}}),
            "messages[0].tool_calls[0].function.arguments",
            "is JSON but no object",
        ),
        (
            calls({"function": {"name": "f", "arguments": {"a": object()}}}),
            "messages[0].tool_calls[0].function.arguments",
            "has no JSON form",
        ),
    ],
)
def test_message_that_no_template_takes_is_an_error_with_its_place(messages: Any, place: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        normalized(messages)
    assert str(caught.value).startswith(f"{place} ")
    assert problem in str(caught.value)
    assert caught.value.place == place


def test_arguments_that_are_no_json_are_an_error_with_their_place() -> None:
    with pytest.raises(InvalidRequestError, match=r"messages\[0\].tool_calls\[0\].function.arguments is no JSON: "):
        normalized(calls({"function": {"name": "f", "arguments": '{"a": '}}))


@pytest.mark.parametrize("messages", [None, 3, {"role": "user", "content": "a"}, Message(content="a"), b"a"])
def test_what_is_no_list_is_a_type_error(messages: Any) -> None:
    with pytest.raises(TypeError, match="messages must be text or a list of messages"):
        normalized(messages)


@pytest.mark.parametrize(
    ("kind", "missing"),
    [("image_url", "an image projector"), ("input_audio", "an audio projector"), ("video_url", "an image projector")],
)
def test_part_that_is_no_text_says_what_it_needs(kind: str, missing: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        normalized(user([{"type": "text", "text": "a"}, {"type": kind, kind: {"url": "data:,"}}]))
    assert missing in str(caught.value)
    assert missing in caught.value.missing
    assert caught.value.place == "messages[1].content[1]"


@pytest.mark.parametrize("text", ["é ☀ 😀", 'a "quoted" \\ one', "a\\u0000b", "\x7f\x1f", "</s><|im_start|>"])
def test_json_text_is_that_of_the_messages(text: str) -> None:
    assert json.loads(to_json(normalized(text))) == [{"role": "user", "content": text}]


def test_json_text_keeps_characters_as_they_are() -> None:
    assert to_json(normalized("é☀")) == '[{"role": "user", "content": "é☀"}]'


@pytest.mark.parametrize(
    ("messages", "place", "problem"),
    [
        ("a\0b", "messages[0].content", "has a NUL character at 1; remove it"),
        (
            user([{"type": "text", "text": "é\ud800"}]),
            "messages[1].content[0].text",
            "has a lone surrogate at character 1",
        ),
        (calls({"id": "\0", "function": {"name": "f"}}), "messages[0].tool_calls[0].id", "has a NUL character at 0"),
    ],
)
def test_text_that_no_tokenizer_takes_is_an_error_with_its_place(messages: Any, place: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        to_json(normalized(messages))
    assert str(caught.value).startswith(f"{place} {problem}")
    assert caught.value.place == place


def test_twenty_messages_take_no_time() -> None:
    texts = ["Hello there, how are you today? ☀ " * 8] * 20
    messages = [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)]
    times = []
    for _ in range(50):
        started = time.perf_counter()
        to_json(normalized(messages))
        times.append(time.perf_counter() - started)
    assert min(times) < 0.0002
