"""Answers with a structure: after reasoning, as instances, on every face; and calls that follow their grammar."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import pydantic
import pytest

from inllama import LLM, AsyncLLM, GrammarError, IncompleteOutputError, InvalidRequestError, UnsupportedError


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Pet:
    name: str
    color: Color


class Owner(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=12)
    age: int = pydantic.Field(ge=0, le=120)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.parametrize("reasoning", [None, True, False])
def test_an_answer_is_an_instance_whether_or_not_the_model_reasons(llm: LLM, reasoning: bool | None) -> None:
    for seed in range(3):
        reply = llm.chat("Hello!", output=Literal["yes", "no"], reasoning=reasoning, seed=seed)
        assert reply.parsed in ("yes", "no")
        assert json.loads(reply.message.content) == reply.parsed
        assert bool(reply.message.reasoning_content) == (reasoning is not False)


def test_types_of_all_kinds(llm: LLM) -> None:
    options: dict[str, Any] = {"reasoning": False, "max_tokens": 300, "seed": 1}
    owner = llm.chat("Hello!", output=Owner, **options).parsed
    assert isinstance(owner, Owner)
    assert llm.chat("Hello!", output=Color, **options).parsed in Color
    assert isinstance(llm.chat("Hello!", output=bool, **options).parsed, bool)
    pair = llm.chat("Hello!", output=tuple[int, bool], **options).parsed
    assert [type(part) for part in pair] == [int, bool]


def test_generate_and_its_twins_have_output_too(llm: LLM) -> None:
    assert llm.generate("Answer: ", output=Literal["a", "b"]).parsed in ("a", "b")
    assert llm.stream("Answer: ", output=Literal["a", "b"]).result().parsed in ("a", "b")
    rows = list(llm.map(["Answer: "] * 3, output=Color))
    assert all(row.parsed in Color for row in rows)
    with pytest.raises(InvalidRequestError, match="no output type"):
        _ = llm.generate("Answer: ", max_tokens=1).parsed

    async def main() -> None:
        async with AsyncLLM() as aio:
            assert (await aio.generate("Answer: ", output=Color)).parsed in Color
            assert (await aio.chat("Hello!", output=Color)).parsed in Color
            stream = aio.stream_chat("Hello!", output=Color)
            assert (await stream.result()).parsed in Color

    asyncio.run(main())


@pytest.mark.parametrize(
    ("option", "fits"),
    [
        ({"json_schema": {"type": "integer", "minimum": 1, "maximum": 9}}, lambda text: 1 <= json.loads(text) <= 9),
        ({"regex": "[a-c]{3}"}, lambda text: len(text) == 3 and set(text) <= set("abc")),
        ({"choices": ["left", "right"]}, lambda text: text in ("left", "right")),
        ({"grammar": 'root ::= "x" [0-9]'}, lambda text: text[0] == "x" and text[1:].isdigit()),
    ],
)
def test_structure_options_work_in_chats_and_their_streams(llm: LLM, option: dict[str, Any], fits: Any) -> None:
    for reasoning in (True, False):
        assert fits(llm.chat("Hello!", reasoning=reasoning, seed=2, **option).message.content)
        assert fits(llm.stream_chat("Hello!", reasoning=reasoning, seed=2, **option).result().message.content)


def test_an_answer_that_is_cut_off_raises_with_what_there_is(llm: LLM) -> None:
    with pytest.raises(IncompleteOutputError) as caught:
        llm.chat("Hello!", output=list[Pet], reasoning=False, max_tokens=2)
    assert caught.value.completion.finish_reason == "length"
    stream = llm.stream_chat("Hello!", output=list[Pet], reasoning=False, max_tokens=2)
    with pytest.raises(IncompleteOutputError):
        stream.result()
    cut = llm.chat("Hello!", json_schema={"type": "array", "minItems": 9}, reasoning=False, max_tokens=2)
    assert cut.finish_reason == "length"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"output": Color, "regex": "a"}, InvalidRequestError, "both given"),
        ({"output": Color, "ignore_eos": True}, InvalidRequestError, "ignore_eos"),
        ({"output": set[str]}, UnsupportedError, "set"),
        ({"output": Color, "tools": [add], "tool_choice": "required"}, InvalidRequestError, "leaves no answer"),
        ({"json_schema": {"type": "string", "not": {}}}, GrammarError, "not"),
    ],
)
def test_what_cannot_be_enforced_raises_before_anything_is_computed(
    llm: LLM, options: dict[str, Any], error: type, text: str
) -> None:
    n_before = llm.stats().submitted
    with pytest.raises(error, match=text):
        llm.chat("Hello!", **options)
    assert llm.stats().submitted == n_before


def test_required_calls_have_arguments_of_their_schema(llm: LLM) -> None:
    n_called = 0
    for seed in range(10):
        reply = llm.chat("Hello!", tools=[add], tool_choice="required", seed=seed, temperature=1.5, max_tokens=300)
        assert reply.finish_reason in ("tool_calls", "length")
        for call in reply.message.tool_calls:
            assert isinstance(add(**call.arguments), int)
            n_called += 1
    assert n_called > 0


def test_a_reasoning_budget_and_a_structure(llm: LLM) -> None:
    reply = llm.chat("Hello!", output=Color, reasoning=True, reasoning_budget=2, seed=1)
    assert reply.parsed in Color
    assert len(llm.engine.encode(reply.message.reasoning_content or "", add_special=False)) <= 3


def get_weather(city: str) -> str:
    """Get the weather in a city.

    Args:
        city: The city.
    """
    return "sunny"


@pytest.mark.parametrize("reasoning", [True, False])
def test_with_tools_and_a_structure_an_answer_is_a_call_or_has_the_structure(llm: LLM, reasoning: bool) -> None:
    seen: set[str] = set()
    for seed in range(6):
        for said in ("What is the weather in Paris?", "Hello! My name is Ada."):
            reply = llm.chat(
                said, tools=[get_weather], json_schema={"enum": [1, 2]}, reasoning=reasoning, seed=seed, max_tokens=300
            )
            seen.add(reply.finish_reason)
            if reply.finish_reason == "stop":
                assert json.loads(reply.message.content) in (1, 2)
                assert not reply.message.tool_calls
            elif reply.finish_reason == "tool_calls":
                assert reply.message.tool_calls[0].name == "get_weather"
    # Behind its reasoning this small model prefers a call to a number.
    assert ({"tool_calls"} if reasoning else {"stop", "tool_calls"}) <= seen


def test_an_instance_is_made_of_an_answer_and_not_of_a_call(llm: LLM) -> None:
    reply = llm.chat("What is the weather in Paris?", tools=[get_weather], output=Color, temperature=0)
    assert reply.finish_reason == "tool_calls"
    with pytest.raises(InvalidRequestError, match="calls tools"):
        _ = reply.parsed
