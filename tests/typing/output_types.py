"""Types that users see of outputs and events; checked by mypy, never run."""

from dataclasses import dataclass
from typing import Any, Literal, TypedDict, assert_type

from inllama.chat_outputs import ChatCompletion, ChatEvent
from inllama.output_types import OutputType


@dataclass
class Person:
    name: str


class Movie(TypedDict):
    title: str


def check_output_types() -> None:
    assert_type(OutputType.of(Person), OutputType[Person])
    assert_type(OutputType.of(Person).parse("{}"), Person)
    assert_type(OutputType.of(list[Person]).parse("[]"), list[Person])
    assert_type(OutputType.of(Movie).parse("{}"), Movie)
    assert_type(OutputType.of(int).parse("3"), int)
    assert_type(OutputType.of(Literal["a", "b"]), OutputType[Any])


def check_completion(completion: ChatCompletion[Person]) -> None:
    assert_type(completion.parsed, Person)
    assert_type(completion.message.content, str)
    assert_type(completion.message.tool_calls[0].arguments, dict[str, Any])


def check_events(event: ChatEvent) -> None:
    if event.type == "text":
        assert_type(event.text, str)
    elif event.type == "tool_call":
        assert_type(event.name, str | None)
    elif event.type == "finished":
        assert_type(event.completion, ChatCompletion[Any] | None)
    else:
        assert_type(event.type, Literal["reasoning"])
