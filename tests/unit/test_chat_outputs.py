"""What a chat gives back: OpenAI's shapes, the first answer's attributes, events that tell themselves apart."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, fields
from typing import Any, get_args

import pytest

from inllama import InvalidRequestError, Timings, TokenLogprob, Usage
from inllama.chat_outputs import (
    ChatChoice,
    ChatCompletion,
    ChatEvent,
    Finished,
    Message,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

CALL = ToolCall("call_1", "get_weather", {"city": "Oulu"}, '{"city": "Oulu"}')
MESSAGE = Message(content="Hi", reasoning_content="hm")
CHOICE = ChatChoice(0, MESSAGE, "stop", "\n", 7, None, (1, 2), "<think>hm</think>Hi")
COMPLETION: ChatCompletion[int] = ChatCompletion(
    "chatcmpl-1", "demo", (CHOICE,), Usage(5, 2, 3), Timings(0.1, 0.2, 0.3), (42,)
)


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        (Message(), {"role": "assistant", "content": ""}),
        (MESSAGE, {"role": "assistant", "content": "Hi", "reasoning_content": "hm"}),
        (
            Message(tool_calls=(CALL,)),
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": '{"city": "Oulu"}'},
                    }
                ],
            },
        ),
        (Message(content="a", parse_error="no end of a call"), {"role": "assistant", "content": "a"}),
    ],
)
def test_message_has_the_shape_of_openai(message: Message, plain: dict[str, Any]) -> None:
    assert message.to_dict() == plain


def test_content_stays_beside_tool_calls() -> None:
    assert Message(content="Wait.", tool_calls=(CALL,)).to_dict()["content"] == "Wait."


def test_completion_has_the_attributes_of_its_first_answer() -> None:
    assert COMPLETION.message is MESSAGE
    assert (COMPLETION.content, COMPLETION.text) == ("Hi", "<think>hm</think>Hi")
    assert (COMPLETION.finish_reason, COMPLETION.stop, COMPLETION.seed) == ("stop", "\n", 7)
    assert (COMPLETION.token_ids, COMPLETION.logprobs) == ((1, 2), None)


def test_completion_has_the_shape_of_openai() -> None:
    assert json.loads(json.dumps(COMPLETION.to_dict())) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "demo",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "reasoning_content": "hm"},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 2,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
    }


def test_output_that_could_not_be_read_says_so_beside_the_message() -> None:
    choice = ChatChoice(0, Message(content="{", parse_error="no end of a call"), "stop", None, 1)
    completion: ChatCompletion[Any] = ChatCompletion("a", "b", (choice,), Usage(1, 1), Timings(0, 0, 0))
    assert completion.to_dict()["choices"][0]["parse_error"] == "no end of a call"


def test_logprobs_have_the_shape_of_openai() -> None:
    half = TokenLogprob(5, b"\xc3", -0.5)
    choice = ChatChoice(0, MESSAGE, "stop", None, 1, (TokenLogprob(4, "é".encode(), -0.25, (half,)),))
    completion: ChatCompletion[Any] = ChatCompletion("a", "b", (choice,), Usage(1, 1), Timings(0, 0, 0))
    assert completion.to_dict()["choices"][0]["logprobs"] == {
        "content": [
            {
                "token": "é",
                "bytes": [195, 169],
                "logprob": -0.25,
                "top_logprobs": [{"token": "\ufffd", "bytes": [195], "logprob": -0.5}],
            }
        ]
    }


def test_parsed_is_the_instance_of_the_first_answer() -> None:
    assert COMPLETION.parsed == 42


def test_parsed_without_an_output_type_is_an_error() -> None:
    completion: ChatCompletion[Any] = ChatCompletion("a", "b", (CHOICE,), Usage(1, 1), Timings(0, 0, 0))
    with pytest.raises(InvalidRequestError, match="the request had no output type; give output="):
        _ = completion.parsed


def test_completion_can_be_made_for_a_type() -> None:
    assert ChatCompletion[int]("a", "b", (CHOICE,), Usage(1, 1), Timings(0, 0, 0), (1,)).parsed == 1


EVENTS: list[tuple[Any, str]] = [
    (TextDelta("a", 1), "text"),
    (ReasoningDelta("a", 1), "reasoning"),
    (ToolCallDelta(1, 0, "call_1", "f"), "tool_call"),
    (Finished(1, "stop"), "finished"),
]


@pytest.mark.parametrize(("event", "kind"), EVENTS)
def test_event_says_what_it_is_and_of_which_answer(event: Any, kind: str) -> None:
    assert (event.type, event.index) == (kind, 1)
    assert type(event) in get_args(ChatEvent)


def test_every_event_is_told_apart() -> None:
    assert {type(event) for event, _ in EVENTS} == set(get_args(ChatEvent))
    assert len({kind for _, kind in EVENTS}) == len(EVENTS)


def test_events_can_be_matched() -> None:
    match EVENTS[2][0]:
        case ToolCallDelta(index=index, name=name):
            assert (index, name) == (1, "f")
        case _:
            pytest.fail("it is a tool call")


@pytest.mark.parametrize("value", [CALL, MESSAGE, CHOICE, COMPLETION, *(event for event, _ in EVENTS)])
def test_results_do_not_change_and_survive_pickling(value: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(value)[0].name, None)
    assert pickle.loads(pickle.dumps(value)) == value == copy.deepcopy(value)
