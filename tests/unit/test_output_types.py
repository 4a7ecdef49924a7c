"""Python types become schemas, and JSON text becomes their instances."""

from __future__ import annotations

import datetime
import enum
import json
import re
import typing
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, Required, TypedDict

import pytest

from inllama import InvalidRequestError, UnsupportedError
from inllama.output_types import OutputType
from inllama.validation import validate


class Limit:
    """A limit, as annotated_types, msgspec and others spell it."""

    def __init__(self, **limits: Any) -> None:
        self.__dict__.update(limits)


class Doc:
    """A text, as typing_extensions spells it."""

    documentation = "as a document"


class Color(enum.Enum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


class Permission(enum.Flag):
    READ = 1


class Odd(enum.Enum):
    PAIR = (1, 2)


@dataclass
class Address:
    """Where somebody lives.

    Attributes:
        street: With number.
    """

    street: str
    country: str = "Finland"


@dataclass(frozen=True, kw_only=True)
class Person:
    name: Annotated[str, "first and last"]
    born: datetime.date
    home: Address | None = None
    color: Color = Color.RED
    tags: list[str] = field(default_factory=list)
    id: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("nobody has no name")


@dataclass
class Node:
    value: int
    children: list[Node] = field(default_factory=list)
    parent: typing.Optional[Node] = None  # noqa: UP045 - that is what is tested


@dataclass
class Couple:
    one: Address
    other: Address


class Movie(TypedDict, total=False):
    """A film."""

    title: Required[str]
    year: int


class Sequel(Movie):
    part: int
    note: NotRequired[str]


class Point(NamedTuple):
    x: float
    y: float = 0.0


@dataclass
class WithSet:
    tags: set[str]


@dataclass
class Deep:
    items: list[dict[str, WithSet]]


@dataclass
class WithInitVar:
    secret: InitVar[int]


@dataclass
class Unknown:
    value: Nowhere  # type: ignore[name-defined]  # noqa: F821


UserId = NewType("UserId", int)

SCHEMAS: list[tuple[Any, dict[str, Any]]] = [
    (str, {"type": "string"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (None, {"type": "null"}),
    (Any, {}),
    (UserId, {"type": "integer"}),
    (datetime.datetime, {"type": "string", "format": "date-time"}),
    (datetime.date, {"type": "string", "format": "date"}),
    (datetime.time, {"type": "string", "format": "time"}),
    (uuid.UUID, {"type": "string", "format": "uuid"}),
    (list[int], {"type": "array", "items": {"type": "integer"}}),
    (list, {"type": "array", "items": {}}),
    (typing.List, {"type": "array", "items": {}}),  # noqa: UP006 - as users of older code write it
    (Sequence[str], {"type": "array", "items": {"type": "string"}}),
    (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    (
        tuple[int, str],
        {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "items": False,
            "minItems": 2,
            "maxItems": 2,
        },
    ),
    (tuple[()], {"type": "array", "items": False, "minItems": 0, "maxItems": 0}),
    (dict[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
    (dict, {"type": "object", "additionalProperties": {}}),
    (Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    (typing.Union[str, int], {"anyOf": [{"type": "string"}, {"type": "integer"}]}),  # noqa: UP007
    (Literal["yes", "no"], {"type": "string", "enum": ["yes", "no"]}),
    (Literal["a", 1, None, True], {"enum": ["a", 1, None, True]}),
    (Literal[Color.BLUE], {"type": "string", "enum": ["blue"]}),
    (Color, {"type": "string", "enum": ["red", "blue"], "description": "A colour."}),
    (Level, {"type": "integer", "enum": [1, 2]}),
    (Mixed, {"enum": [1, "two"]}),
    (Annotated[int, "how many"], {"type": "integer", "description": "how many"}),
    (Annotated[int, Doc()], {"type": "integer", "description": "as a document"}),
    (Annotated[int, Limit(ge=0, lt=10)], {"type": "integer", "minimum": 0, "exclusiveMaximum": 10}),
    (Annotated[float, Limit(gt=Decimal("0.5"), le=1)], {"type": "number", "exclusiveMinimum": 0.5, "maximum": 1}),
    (Annotated[int, Limit(multiple_of=5)], {"type": "integer", "multipleOf": 5}),
    (Annotated[str, Limit(min_length=0, max_length=3)], {"type": "string", "maxLength": 3}),
    (Annotated[str, Limit(pattern="^a")], {"type": "string", "pattern": "^a"}),
    (Annotated[list[int], Limit(min_length=1)], {"type": "array", "items": {"type": "integer"}, "minItems": 1}),
    (Annotated[int | None, Limit(ge=0)], {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]}),
    (Annotated[Annotated[int, "text"], Limit(ge=0)], {"type": "integer", "minimum": 0, "description": "text"}),
    (Annotated[int, object(), 3, int], {"type": "integer"}),
]


@pytest.mark.parametrize(("type_", "schema"), SCHEMAS)
def test_type_has_a_schema(type_: Any, schema: dict[str, Any]) -> None:
    assert OutputType.of(type_).schema == schema


def test_dataclass_is_an_object_with_its_fields() -> None:
    assert OutputType.of(Person).schema == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "first and last"},
            "born": {"type": "string", "format": "date"},
            "home": {
                "anyOf": [
                    {
                        "type": "object",
                        "description": "Where somebody lives.",
                        "properties": {
                            "street": {"type": "string", "description": "With number."},
                            "country": {"type": "string", "default": "Finland"},
                        },
                        "required": ["street"],
                        "additionalProperties": False,
                    },
                    {"type": "null"},
                ],
                "default": None,
            },
            "color": {"type": "string", "enum": ["red", "blue"], "description": "A colour.", "default": "red"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["name", "born"],
        "additionalProperties": False,
    }


def test_properties_stand_in_the_order_of_the_fields() -> None:
    assert list(OutputType.of(Person).schema["properties"]) == ["name", "born", "home", "color", "tags"]


def test_recursive_type_refers_to_itself() -> None:
    schema = OutputType.of(Node).schema
    assert schema["$ref"] == "#/$defs/Node"
    assert schema["$defs"]["Node"]["properties"]["children"] == {"type": "array", "items": {"$ref": "#/$defs/Node"}}


def test_type_that_stands_in_several_places_is_defined_once() -> None:
    schema = OutputType.of(Couple).schema
    assert schema["properties"] == {"one": {"$ref": "#/$defs/Address"}, "other": {"$ref": "#/$defs/Address"}}
    assert list(schema["$defs"]) == ["Address"]


def test_types_of_one_name_are_told_apart() -> None:
    @dataclass
    class Address:
        zip: int

    other = Address
    schema = OutputType.of(tuple[Couple, other, other]).schema  # type: ignore[valid-type]
    assert set(schema["$defs"]) == {"Address", "Address_2"}
    assert schema["$defs"]["Address_2"]["required"] == ["zip"]


def test_typed_dict_knows_what_is_required() -> None:
    schema = OutputType.of(Sequel).schema
    assert schema["required"] == ["title", "part"]
    assert list(schema["properties"]) == ["title", "year", "part", "note"]
    assert OutputType.of(Movie).schema["description"] == "A film."


def test_class_inside_a_function_can_name_itself() -> None:
    @dataclass
    class Link:
        next: Link | None = None

    assert OutputType.of(Link).parse('{"next": {"next": null}}') == Link(Link(None))


VALUES: list[tuple[Any, str, Any]] = [
    (str, '"é\\n"', "é\n"),
    (int, "3", 3),
    (int, "3.0", 3),
    (float, "3", 3.0),
    (bool, "true", True),
    (None, "null", None),
    (Any, '{"a": [1, 2.5]}', {"a": [1, 2.5]}),
    (Decimal, '"12.50"', Decimal("12.50")),
    (Decimal, '"-0.1234567890123456789"', Decimal("-0.1234567890123456789")),
    (datetime.date, '"1815-12-10"', datetime.date(1815, 12, 10)),
    (
        datetime.datetime,
        '"2024-02-29T12:30:00.5Z"',
        datetime.datetime(2024, 2, 29, 12, 30, 0, 500_000, tzinfo=datetime.timezone.utc),  # noqa: UP017
    ),
    (datetime.time, '"12:30:00+00:00"', datetime.time(12, 30, tzinfo=datetime.timezone.utc)),  # noqa: UP017
    (uuid.UUID, '"123e4567-e89b-12d3-a456-426614174000"', uuid.UUID("123e4567-e89b-12d3-a456-426614174000")),
    (list[float], "[1, 2.5]", [1.0, 2.5]),
    (tuple[int, ...], "[1, 2]", (1, 2)),
    (tuple[int, str], '[1, "a"]', (1, "a")),
    (dict[str, list[int]], '{"a": [1]}', {"a": [1]}),
    (int | str | None, '"3"', "3"),
    (int | None, "null", None),
    (Literal["a", 1, True], "true", True),
    (Literal["a", True, 1], "1", 1),
    (Literal[Color.BLUE], '"blue"', Color.BLUE),
    (Color, '"red"', Color.RED),
    (Level, "2", Level.HIGH),
    (list[Color], '["red"]', [Color.RED]),
    (Movie, '{"title": "a", "year": 1}', {"title": "a", "year": 1}),
    (Point, '{"x": 1}', Point(1.0, 0.0)),
    (Address, '{"street": "a"}', Address("a", "Finland")),
    (Address | Movie, '{"title": "a"}', {"title": "a"}),
    (Node, '{"value": 1, "children": [{"value": 2}]}', Node(1, [Node(2)])),
    (
        Person,
        '{"name": "Ada", "born": "1815-12-10", "home": {"street": "a"}, "color": "blue", "tags": ["x"]}',
        Person(name="Ada", born=datetime.date(1815, 12, 10), home=Address("a"), color=Color.BLUE, tags=["x"]),
    ),
    (list[Person], "[]", []),
]


@pytest.mark.parametrize(("type_", "text", "value"), VALUES)
def test_text_becomes_an_instance(type_: Any, text: str, value: Any) -> None:
    found = OutputType.of(type_).parse(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("type_", "text", "value"), VALUES)
def test_text_of_an_instance_fits_the_schema(type_: Any, text: str, value: Any) -> None:
    validate(json.loads(text), OutputType.of(type_).schema)


@pytest.mark.parametrize(
    ("type_", "text", "pointer", "problem"),
    [
        (int, '"3"', "", "the output is"),
        (int, "true", "", "which is no integer"),
        (float, "1" + "0" * 400, "", "int too large"),
        (Address, '{"street": 3}', "/street", "which is no string"),
        (Address, "{}", "", "has no 'street'"),
        (Address, '{"street": "a", "x": 1}', "", "has 'x', which is not allowed there"),
        (Node, '{"value": 1, "children": [{"value": "a"}]}', "/children/0/value", "which is no integer"),
        (tuple[int, str], "[1]", "", "must have at least 2"),
        (Color, '"green"', "", "which is none of"),
        (datetime.date, '"2023-02-29"', "", "which is no date"),
        (Person, '{"name": "", "born": "1815-12-10"}', "", "is refused: nobody has no name"),
        (list[Person], '[{"name": "", "born": "1815-12-10"}]', "/0", "is refused: nobody has no name"),
        (Annotated[str, Limit(max_length=2)], '"abc"', "", "must have at most 2"),
    ],
)
def test_text_that_does_not_fit_is_an_error_with_its_place(type_: Any, text: str, pointer: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        OutputType.of(type_).parse(text)
    assert problem in str(caught.value)
    assert caught.value.pointer == pointer


def test_error_of_the_type_itself_is_the_cause() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        OutputType.of(Person).parse('{"name": "", "born": "1815-12-10"}')
    assert str(caught.value.__cause__) == "nobody has no name"


@pytest.mark.parametrize("text", ["", '{"street": "a"', "[NaN]", "[" * 100_000])
def test_text_that_is_no_json_is_an_error(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="the output is"):
        OutputType.of(Address).parse(text)


def test_of_a_name_that_comes_twice_the_last_one_counts() -> None:
    # A structure of free names cannot keep a model from writing one again.
    assert OutputType.of(dict[str, int]).parse('{"a": 1, "a": 2}') == {"a": 2}


def test_value_that_is_too_deep_is_an_error() -> None:
    text = '{"value": 1, "children": [' * 2_000 + "]}" * 2_000
    with pytest.raises(InvalidRequestError, match="deep"):
        OutputType.of(Node).parse(text)


@pytest.mark.parametrize(
    ("type_", "place", "problem"),
    [
        (set[int], "the type", "set[int], which has no JSON form; use list"),
        (bytes, "the type", "bytes, which has no JSON form; use str"),
        (complex, "the type", "complex, which has no JSON form; use a dataclass"),
        (datetime.timedelta, "the type", "use float"),
        (dict[int, str], "the key of the type", "int, which is no name in JSON; use dict[str, ...]"),
        ("Person", "the type", "give the type and not its name"),
        (list["Person"], "the type[]", "give the type and not its name"),
        (WithSet, "WithSet.tags", "set[str], which has no JSON form"),
        (Deep, "Deep.items[]{}.tags", "set[str], which has no JSON form"),
        (WithInitVar, "WithInitVar.secret", "make it a field"),
        (Unknown, "Unknown", "name 'Nowhere' is not defined"),
        (Permission, "the type", "Permission, which has no JSON form"),
        (Odd, "the type", "Odd, which has the member PAIR = (1, 2)"),
        (Literal[b"a"], "the type", "a Literal can hold str"),
        (typing.TypeVar("T"), "the type", "~T, which has no JSON form"),
        (Annotated[bool, Limit(ge=0)], "the type", "bool, which cannot have the limit ge=0"),
        (Annotated[str, Limit(ge="a")], "the type", "str, which cannot have the limit ge='a'"),
        (Annotated[str, Limit(pattern=re.compile("a", re.IGNORECASE))], "the type", "cannot have the limit pattern="),
        (Annotated[datetime.date, Limit(ge=datetime.date(2000, 1, 1))], "the type", "cannot have the limit ge="),
    ],
)
def test_type_without_a_json_form_is_refused_with_its_place(type_: Any, place: str, problem: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        OutputType.of(type_)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(f"{place} is ")
    assert caught.value.place == place
