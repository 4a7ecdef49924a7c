"""Functions and schemas become tools; arguments of a model become arguments of Python."""

from __future__ import annotations

import asyncio
import datetime
import enum
import functools
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pytest

from inllama import InvalidRequestError, UnsupportedError
from inllama.tools import Tool, ToolChoice, result_text, tools_of


class Unit(enum.Enum):
    CELSIUS = "c"
    KELVIN = "k"


@dataclass
class Place:
    """Somewhere.

    Attributes:
        name: In English.
    """

    name: str
    country: str | None = None


class Pair(NamedTuple):
    a: int
    b: int


def get_weather(
    place: Place,
    day: datetime.date,
    unit: Unit = Unit.CELSIUS,
    *,
    hours: Annotated[list[int], "of the day"] = [],  # noqa: B006 - users write it
    style: Literal["short", "long"] | None = None,
) -> tuple[Any, ...]:
    """Return the weather
    of a place.

    It may be wrong.

    Args:
        place: Where.
        day: When.
        hours: Not this text.
    """
    return place, day, unit, hours, style


async def sleep(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(0)
    return f"slept {seconds}"


class Shop:
    """A shop."""

    def __init__(self) -> None:
        self.sold: list[str] = []

    def sell(self, item: str, n: int = 1) -> int:
        """Sell something.

        :param item: what
        :param int n: how many
        """
        self.sold += [item] * n
        return len(self.sold)

    @staticmethod
    def close(reason: str) -> str:
        return reason

    @classmethod
    def open(cls, name: str) -> str:
        return cls.__name__ + name

    def __call__(self, item: str) -> None: ...


def positional_only(a: int, /) -> None: ...
def any_arguments(*a: int) -> None: ...
def any_names(**a: int) -> None: ...
def untyped(a, b: int) -> None: ...  # type: ignore[no-untyped-def]
def unknown(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def holds_a_set(a: list[set[int]]) -> None: ...
def takes_nothing() -> str:
    return "done"


SCHEMA: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look-up.v2",
        "description": "Look it up.",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
        "strict": True,
    },
}


# ------------------------------------------------------------------------------------------------------- functions


def test_function_becomes_a_schema() -> None:
    place = {
        "type": "object",
        "description": "Where.",
        "properties": {
            "name": {"type": "string", "description": "In English."},
            "country": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["name"],
        "additionalProperties": False,
    }
    assert Tool.of(get_weather).to_dict() == {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Return the weather of a place.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": place,
                    "day": {"type": "string", "format": "date", "description": "When."},
                    "unit": {"type": "string", "enum": ["c", "k"], "default": "c"},
                    "hours": {"type": "array", "items": {"type": "integer"}, "description": "of the day"},
                    "style": {
                        "anyOf": [{"type": "string", "enum": ["short", "long"]}, {"type": "null"}],
                        "default": None,
                    },
                },
                "required": ["place", "day"],
                "additionalProperties": False,
            },
        },
    }


def test_arguments_become_what_the_function_asks_for() -> None:
    arguments = {"place": {"name": "Oulu"}, "day": "2024-02-29", "unit": "k", "hours": [1], "style": "long"}
    expected = (Place("Oulu"), datetime.date(2024, 2, 29), Unit.KELVIN, [1], "long")
    assert Tool.of(get_weather).call(arguments) == expected


def test_arguments_that_are_not_given_are_the_defaults_of_the_function() -> None:
    found = Tool.of(get_weather).call({"place": {"name": "Oulu"}, "day": "2024-02-29"})
    assert found[2:] == (Unit.CELSIUS, [], None)
    assert found[3] is get_weather.__kwdefaults__["hours"]


def test_function_without_parameters_takes_none() -> None:
    tool = Tool.of(takes_nothing)
    assert tool.parameters == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert tool.to_dict()["function"].keys() == {"name", "parameters"}
    assert tool.call({}) == "done"


def test_coroutine_function_returns_what_is_awaited() -> None:
    assert asyncio.run(Tool.of(sleep).call({"seconds": 2})) == "slept 2.0"


def test_bound_method_belongs_to_its_object() -> None:
    shop = Shop()
    tool = Tool.of(shop.sell)
    assert list(tool.parameters["properties"]) == ["item", "n"]
    assert tool.parameters["properties"]["item"]["description"] == "what"
    assert tool.call({"item": "tea", "n": 2}) == 2
    assert shop.sold == ["tea", "tea"]


def test_static_and_class_methods_are_functions() -> None:
    assert Tool.of(Shop.close).call({"reason": "night"}) == "night"
    assert Tool.of(Shop.open).call({"name": "!"}) == "Shop!"


def test_arguments_of_a_partial_are_fixed() -> None:
    tool = Tool.of(functools.partial(get_weather, Place("Oulu"), unit=Unit.KELVIN))
    assert tool.name == "get_weather"
    assert list(tool.parameters["properties"]) == ["day", "hours", "style"]
    assert tool.call({"day": "2024-01-01"})[:3] == (Place("Oulu"), datetime.date(2024, 1, 1), Unit.KELVIN)


def test_decorated_function_has_the_signature_of_the_inner_one() -> None:
    @functools.wraps(takes_nothing)
    def outer(*arguments: Any, **names: Any) -> str:
        return "outer " + takes_nothing(*arguments, **names)

    assert Tool.of(outer).call({}) == "outer done"


def test_tool_stays_what_it_is() -> None:
    tool = Tool.of(takes_nothing)
    assert Tool.of(tool) is tool


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (positional_only, "the parameter a of positional_only is positional only, but arguments come by name; remove"),
        (
            any_arguments,
            "the parameter a of any_arguments takes any number of arguments, which have no names",
        ),
        (any_names, "the parameter a of any_names takes any names, which a model does not know; name its parameters"),
        (untyped, "the parameter a of untyped has no type; write a: str"),
        (unknown, "the signature of unknown cannot be read: name 'Nowhere' is not defined; import what"),
        (holds_a_set, "holds_a_set.a[] is set[int], which has no JSON form; use list"),
    ],
)
def test_function_that_no_model_can_call_is_refused(function: Callable[..., Any], problem: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        Tool.of(function)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("tool", "problem"),
    [
        (Place, "a tool must be a function or a JSON schema, not the class Place"),
        ("get_weather", "a tool must be a function or a JSON schema, not str"),
        (None, "not NoneType"),
        (Shop(), "a tool must be a function, not Shop; give its method"),
    ],
)
def test_what_is_no_function_is_a_type_error(tool: Any, problem: str) -> None:
    with pytest.raises(TypeError) as caught:
        Tool.of(tool)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "the arguments of get_weather has no 'place'"),
        (
            {"place": {"name": 3}, "day": "2024-01-01"},
            "the arguments of get_weather at /place/name is 3, which is no string",
        ),
        ({"place": {"name": "a"}, "day": "soon"}, 'at /day is "soon", which is no date'),
        ({"plaec": 1}, "get_weather has no parameter 'plaec'; it has place, day, unit, hours, style"),
    ],
)
def test_arguments_that_do_not_fit_are_an_error(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Tool.of(get_weather).call(arguments)
    assert problem in str(caught.value)


def test_exception_of_the_function_is_its_own() -> None:
    def fail(a: int) -> None:
        raise ZeroDivisionError(a)

    with pytest.raises(ZeroDivisionError):
        Tool.of(fail).call({"a": 1})


# --------------------------------------------------------------------------------------------------------- schemas


def test_schema_becomes_a_tool() -> None:
    tool = Tool.of(SCHEMA)
    assert (tool.name, tool.description, tool.function) == ("look-up.v2", "Look it up.", None)
    assert tool.to_dict()["function"] == {key: value for key, value in SCHEMA["function"].items() if key != "strict"}


@pytest.mark.parametrize("parameters", [{}, {"parameters": None}, {"parameters": {}}])
def test_schema_without_parameters_takes_none(parameters: dict[str, Any]) -> None:
    tool = Tool.of({"type": "function", "function": {"name": "f", **parameters}})
    assert tool.parameters == {"type": "object", "properties": {}}


def test_schema_has_nothing_to_call() -> None:
    with pytest.raises(InvalidRequestError, match=r"the tool 'look-up.v2' is a schema without a function"):
        Tool.of(SCHEMA).call({"q": "a"})


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({}, "a tool's schema must look like"),
        ({"name": "f", "parameters": {}}, "a tool's schema must look like"),
        ({"type": "function", "function": "f"}, "a tool's schema must look like"),
        ({"type": "function", "function": {}}, "a tool's schema has no name"),
        ({"type": "function", "function": {"name": 3}}, "name of the tool 3 must be text, not int"),
        (
            {"type": "function", "function": {"name": "f", "parameters": "x"}},
            "of the tool 'f' must be an object",
        ),
        (
            {"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}},
            "have the type 'array' but must have 'object'",
        ),
        ({"type": "function", "function": {"name": "f", "paramters": {}}}, "has the key 'paramters'; known are name"),
    ],
)
def test_schema_that_is_none_is_an_error(schema: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Tool.of(schema)
    assert problem in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a\n", "é", "x" * 65, "f()", "<|im_start|>", "../a", "a\0"])
def test_odd_name_is_an_error(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="is not made of 1 to 64 letters"):
        Tool(name, "", {"type": "object"})


def test_lambda_has_no_name_for_a_model() -> None:
    with pytest.raises(InvalidRequestError, match=r"the tool name '<lambda>'"):
        Tool.of(lambda: 1)


# ----------------------------------------------------------------------------------------------------------- lists


def test_tools_are_functions_and_schemas_in_order() -> None:
    assert [tool.name for tool in tools_of([sleep, SCHEMA, Tool.of(takes_nothing)])] == [
        "sleep",
        "look-up.v2",
        "takes_nothing",
    ]
    assert tools_of(None) == tools_of([]) == ()


def test_two_tools_of_one_name_are_an_error() -> None:
    with pytest.raises(InvalidRequestError, match="2 tools have the name 'sleep'; rename one"):
        tools_of([sleep, takes_nothing, sleep])


@pytest.mark.parametrize("tools", [sleep, SCHEMA, "sleep", 3, Tool.of(sleep)])
def test_single_tool_is_a_type_error(tools: Any) -> None:
    with pytest.raises(TypeError, match="tools must be a list of functions or JSON schemas"):
        tools_of(tools)


TOOLS = tools_of([sleep, takes_nothing])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("sleep", ToolChoice("required", "sleep")),
        ({"type": "function", "function": {"name": "sleep"}}, ToolChoice("required", "sleep")),
        (ToolChoice("required", "sleep"), ToolChoice("required", "sleep")),
    ],
)
def test_choice_is_a_word_or_a_name(choice: Any, expected: ToolChoice) -> None:
    assert ToolChoice.of(choice, TOOLS) == expected


@pytest.mark.parametrize(
    ("choice", "tools", "problem"),
    [
        ("slep", TOOLS, "tool_choice is 'slep', but the tools are: sleep, takes_nothing"),
        ("sleep", (), "tool_choice is 'sleep', but the tools are: none"),
        ("required", (), "tool_choice is 'required' but there are no tools"),
        ({"type": "function"}, TOOLS, "must look like"),
        ({"function": {"name": "sleep"}}, TOOLS, "must look like"),
        ({"type": "function", "function": {"name": 3}}, TOOLS, "must look like"),
    ],
)
def test_choice_of_nothing_is_an_error(choice: Any, tools: tuple[Tool, ...], problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ToolChoice.of(choice, tools)
    assert problem in str(caught.value)
    assert caught.value.option == "tool_choice"


def test_choice_of_another_kind_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="tool_choice must be text or a mapping, not bool"):
        ToolChoice.of(True, TOOLS)  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------- results


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("sunny ☀", "sunny ☀"),
        ("", ""),
        (None, "null"),
        (3, "3"),
        ({"é": [1, True]}, '{"é": [1, true]}'),
        (Place("Oulu"), '{"name": "Oulu", "country": null}'),
        ([Place("Oulu")], '[{"name": "Oulu", "country": null}]'),
        (Unit.KELVIN, '"k"'),
        (Pair(1, 2), "[1, 2]"),
        (datetime.date(2024, 2, 29), '"2024-02-29"'),
        ({"at": datetime.datetime(2024, 2, 29, 1)}, '{"at": "2024-02-29T01:00:00"}'),
        (Decimal("1.50"), '"1.50"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (PurePosixPath("/a"), '"/a"'),
        ({3}, "[3]"),
        (MappingProxyType({"a": 1}), '{"a": 1}'),
        (np.float32(0.5), "0.5"),
        (np.array([[1, 2]]), "[[1, 2]]"),
    ],
)
def test_result_is_text(value: Any, text: str) -> None:
    assert result_text(value) == text


def test_result_of_pydantic_is_its_data() -> None:
    class Model:
        def model_dump(self, *, mode: str) -> dict[str, str]:
            return {"mode": mode}

    assert json.loads(result_text([Model()])) == [{"mode": "json"}]


@pytest.mark.parametrize("value", [object(), b"a", [object()], 1j])
def test_result_without_a_json_form_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="a tool's result must have a JSON form"):
        result_text(value)
