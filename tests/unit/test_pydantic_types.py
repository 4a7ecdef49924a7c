"""Types of pydantic are pydantic's: its schema, its instances, its refusals, within our errors."""

from __future__ import annotations

import datetime
import enum
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

import annotated_types
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings, strategies
from pydantic import BaseModel, ConfigDict, Field

from inllama import InvalidRequestError, UnsupportedError
from inllama.output_types import OutputType
from inllama.structure import grammar_of
from inllama.structure.keywords import FORMATS
from inllama.tools import Tool
from inllama.validation import validate


class Color(enum.Enum):
    RED = "red"


class Address(BaseModel):
    """Where somebody lives."""

    street: str = Field(description="With number.", min_length=1)


class Person(BaseModel):
    name: str
    born: datetime.date
    color: Color = Color.RED
    homes: list[Address] = []

    @pydantic.field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        if not name:
            raise ValueError("nobody has no name")
        return name


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    born: datetime.date
    pair: tuple[int, int]


class Tree(BaseModel):
    children: list[Tree] = []


@pydantic.dataclasses.dataclass
class Point:
    x: int


@dataclass
class Holder:
    person: Person
    age: Annotated[int, Field(ge=0)]


def greet(person: Person, times: int = 1, words: list[str] = []) -> str:  # noqa: B006 - users write it
    """Greet somebody.

    Args:
        person: Whom.
        times: How often.
    """
    return f"{type(person).__name__} {person.name} {times} {words}"


def test_model_has_its_own_schema_with_closed_objects() -> None:
    schema = OutputType.of(Person).schema
    assert schema["required"] == ["name", "born"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Address"]["additionalProperties"] is False
    assert schema["$defs"]["Address"]["properties"]["street"]["description"] == "With number."
    assert schema["properties"]["born"]["format"] == "date"


def test_model_that_takes_other_members_stays_open() -> None:
    assert OutputType.of(Open).schema["additionalProperties"] is True


def test_decimal_is_a_number() -> None:
    class Bill(BaseModel):
        total: Annotated[Decimal, Field(ge=0)]
        tip: Decimal | None = None

    output = OutputType.of(Bill)
    total = output.schema["properties"]["total"]
    assert (total["type"], total["minimum"]) == ("number", 0)
    assert output.parse('{"total": 12.50}') == Bill(total=Decimal("12.50"))
    validate({"total": 1, "tip": 2.5}, output.schema)


URLS = [
    *(pydantic.AnyUrl, pydantic.AnyHttpUrl, pydantic.HttpUrl, pydantic.WebsocketUrl, pydantic.FileUrl, pydantic.FtpUrl),
    *(pydantic.AmqpDsn, pydantic.CockroachDsn, pydantic.RedisDsn, pydantic.MySQLDsn, pydantic.ClickHouseDsn),
]


class Nap(BaseModel):
    length: datetime.timedelta


@pytest.mark.parametrize("type_", URLS)
@settings(max_examples=100, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=strategies.data())
def test_whatever_is_generated_for_a_url_is_taken_by_pydantic(data: strategies.DataObject, type_: Any) -> None:
    output = OutputType.of(type_)
    grammar_of("json_schema", output.schema)  # it can be enforced
    pattern = output.schema.get("pattern") or FORMATS[output.schema["format"]]
    text = data.draw(strategies.from_regex(re.compile(pattern.strip("^$"), re.ASCII), fullmatch=True))
    output.parse(json.dumps(text))
    validate(text, output.schema)


@settings(max_examples=300, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=strategies.from_regex(re.compile(FORMATS["duration"], re.ASCII), fullmatch=True))
def test_whatever_is_generated_for_a_duration_is_taken_by_pydantic(text: str) -> None:
    output = OutputType.of(Nap)
    assert output.schema["properties"]["length"]["format"] == "duration"
    output.parse(json.dumps({"length": text}))
    validate({"length": text}, output.schema)


@pytest.mark.parametrize("text", ["P99999999W", "P99999999DT999999H999999M", "PT999999H", "PT999999M", "PT999999S"])
def test_the_longest_durations_are_taken_by_pydantic(text: str) -> None:
    assert re.fullmatch(FORMATS["duration"], text)
    assert OutputType.of(Nap).parse(json.dumps({"length": text})).length > datetime.timedelta()


def test_a_url_with_a_limit_of_its_own_is_left_to_pydantic() -> None:
    short = Annotated[pydantic.AnyUrl, pydantic.UrlConstraints(max_length=100, allowed_schemes=["https"])]
    assert OutputType.of(short).schema["maxLength"] == 100


def test_property_that_is_called_like_a_keyword_is_a_property() -> None:
    class Names(BaseModel):
        properties: dict[str, int]
        items: list[int]

    schema = OutputType.of(Names).schema
    assert schema["properties"]["properties"]["additionalProperties"] == {"type": "integer"}
    assert set(schema["properties"]) == {"properties", "items"}


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (
            Person,
            '{"name": "Ada", "born": "1815-12-10", "homes": [{"street": "a"}]}',
            Person(name="Ada", born=datetime.date(1815, 12, 10), homes=[Address(street="a")]),
        ),
        (list[Address], '[{"street": "a"}]', [Address(street="a")]),
        (Address | None, "null", None),
        (Point, '{"x": 3}', Point(3)),
        (Strict, '{"born": "2024-02-29", "pair": [1, 2]}', Strict(born=datetime.date(2024, 2, 29), pair=(1, 2))),
        (Tree, '{"children": [{"children": []}]}', Tree(children=[Tree()])),
        (
            Holder,
            '{"person": {"name": "Ada", "born": "1815-12-10"}, "age": 3}',
            Holder(Person(name="Ada", born=datetime.date(1815, 12, 10)), 3),
        ),
        (Annotated[int, pydantic.AfterValidator(lambda n: n + 1)], "3", 4),
        (pydantic.PositiveInt, "3", 3),
    ],
)
def test_text_becomes_an_instance(type_: Any, text: str, value: Any) -> None:
    output = OutputType.of(type_)
    assert output.parse(text) == value
    validate(pydantic.TypeAdapter(Any).validate_json(text), output.schema)


@pytest.mark.parametrize(
    ("type_", "text", "pointer", "problem"),
    [
        (Person, '{"name": "", "born": "1815-12-10"}', "/name", "nobody has no name"),
        (Person, '{"name": "a", "born": "1815-12-10", "homes": [{"street": ""}]}', "/homes/0/street", "at least 1"),
        (Holder, '{"person": {"name": "a", "born": "1815-12-10"}, "age": -1}', "/age", "greater than or equal to 0"),
        (Person, '{"name": ', "", "JSON"),
    ],
)
def test_text_that_does_not_fit_is_an_error_with_its_place(type_: Any, text: str, pointer: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        OutputType.of(type_).parse(text)
    assert str(caught.value).startswith(f"the output at {pointer} is refused" if pointer else "the output is refused")
    assert problem in str(caught.value)
    assert caught.value.pointer == pointer
    assert isinstance(caught.value.__cause__, pydantic.ValidationError)


def test_type_without_a_schema_is_refused() -> None:
    class Holds(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        value: subprocess.Popen[bytes]

    with pytest.raises(UnsupportedError, match="has no JSON schema"):
        OutputType.of(Holds)


def test_limits_of_annotated_types_need_no_pydantic() -> None:
    limited = Annotated[int, annotated_types.Interval(ge=0, lt=10)]
    assert OutputType.of(limited).schema == {"type": "integer", "minimum": 0, "exclusiveMaximum": 10}
    text = Annotated[str, annotated_types.Len(1, 3)]
    assert OutputType.of(text).schema == {"type": "string", "minLength": 1, "maxLength": 3}


def test_condition_that_a_schema_cannot_say_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="a model cannot be held to; check it afterwards"):
        OutputType.of(Annotated[str, annotated_types.Predicate(str.islower)])


def test_parameters_of_a_tool_can_be_models() -> None:
    tool = Tool.of(greet)
    assert tool.parameters["required"] == ["person"]
    assert tool.parameters["properties"]["person"] == {"$ref": "#/$defs/Person", "description": "Whom."}
    assert tool.parameters["properties"]["times"]["description"] == "How often."
    assert "title" not in tool.parameters
    arguments = {"person": {"name": "Ada", "born": "1815-12-10"}, "times": 2}
    assert tool.call(arguments) == "Person Ada 2 []"
    with pytest.raises(InvalidRequestError, match="the arguments of greet at /person/name is refused"):
        tool.call({"person": {"name": "", "born": "1815-12-10"}})
    with pytest.raises(InvalidRequestError, match="greet has no parameter 'x'"):
        tool.call({"person": {"name": "a", "born": "1815-12-10"}, "x": 1})


def test_pydantic_is_imported_for_its_own_types_only() -> None:
    code = (
        "import sys, dataclasses, inllama.tools as t\n"
        "def f(a: int): ...\n"
        "t.OutputType.of(dataclasses.make_dataclass('D', [('a', int)])).parse('{\"a\": 1}'); t.Tool.of(f)\n"
        "sys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_literal_of_a_model_discriminates_a_union() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"]

    class Dog(BaseModel):
        kind: Literal["dog"]

    class Home(BaseModel):
        pet: Annotated[Cat | Dog, Field(discriminator="kind")]

    output = OutputType.of(Home)
    assert output.parse('{"pet": {"kind": "dog"}}') == Home(pet=Dog(kind="dog"))
    validate({"pet": {"kind": "dog"}}, output.schema)
