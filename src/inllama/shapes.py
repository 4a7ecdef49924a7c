"""A Python type as JSON: the schema of its text, and how a value is made of what was read."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from inllama.json_text import child
from inllama.validation import Violation, equal, is_number

# How each limit is called in ``Annotated`` (the names of annotated-types) and in the schema of each type.
_OF_NUMBERS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
KEYWORDS: dict[str, dict[str, str]] = {
    "integer": {**_OF_NUMBERS, "multiple_of": "multipleOf"},
    "number": _OF_NUMBERS,
    "string": {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "object": {"min_length": "minProperties", "max_length": "maxProperties"},
}
LIMITS = tuple(dict.fromkeys(name for names in KEYWORDS.values() for name in names))

# Whether a value fits a shape.
Fits: TypeAlias = "Callable[[Any, Shape], bool]"
# The records that stand under ``$defs``, with their names there.
Names: TypeAlias = "Mapping[Record, str]"


class Refused(Exception):
    """A value fits the schema, but its type does not take it; the type's exception is the cause."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.problem)
        self.violation = violation


class Shape(ABC):
    """What one Python type looks like in JSON. ``build`` gets values that fit the schema."""

    __slots__ = ()

    @abstractmethod
    def schema(self, names: Names) -> dict[str, Any]:
        """Return its JSON schema."""

    @abstractmethod
    def build(self, value: Any, at: str, fits: Fits) -> Any:
        """Return the Python value; ``at`` is the JSON pointer of ``value``."""

    def limited(self, name: str, limit: Any) -> Shape | None:
        """Return it with one of ``LIMITS``, or ``None`` if it cannot have that."""
        return None


def _keyword(kind: str, name: str, limit: Any) -> dict[str, Any] | None:
    keyword = KEYWORDS.get(kind, {}).get(name)
    if name == "pattern":
        # A flag changes what the pattern means, and a schema has no place for it.
        if isinstance(limit, re.Pattern) and not limit.flags & ~re.UNICODE:
            limit = limit.pattern
        return {keyword: limit} if keyword and isinstance(limit, str) else None
    return {keyword: limit} if keyword and is_number(limit) else None


@dataclass(frozen=True, slots=True)
class Scalar(Shape):
    """A value without parts.

    Attributes:
        keywords: Its schema.
        make: From the value that was read to the Python value; raises ``ValueError`` or ``OverflowError``.
        kind: The type whose limits it takes.
    """

    keywords: Mapping[str, Any]
    make: Callable[[Any], Any]
    kind: str = ""

    def schema(self, names: Names) -> dict[str, Any]:
        return dict(self.keywords)

    def build(self, value: Any, at: str, fits: Fits) -> Any:
        return _made(self.make, value, at)

    def limited(self, name: str, limit: Any) -> Shape | None:
        found = _keyword(self.kind, name, limit)
        return None if found is None else replace(self, keywords={**self.keywords, **found})


@dataclass(frozen=True, slots=True)
class Constants(Shape):
    """One of some values: a ``Literal`` or an ``Enum``.

    Attributes:
        pairs: Each value in JSON, and the Python value that it stands for.
        description: Of all together.
    """

    pairs: tuple[tuple[Any, Any], ...]
    description: str = ""

    def schema(self, names: Names) -> dict[str, Any]:
        values = [value for value, _ in self.pairs]
        kinds = {_KINDS.get(type(value), "") for value in values}
        described = {"description": self.description} if self.description else {}
        return {**({"type": kinds.pop()} if len(kinds) == 1 else {}), "enum": values, **described}

    def build(self, value: Any, at: str, fits: Fits) -> Any:
        return next(found for one, found in self.pairs if equal(one, value))


_KINDS: dict[type, str] = {str: "string", bool: "boolean", int: "integer", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Items(Shape):
    """Any number of items of one shape.

    Attributes:
        item: Their shape.
        make: ``list`` or ``tuple``.
        limits: Keywords of its schema.
    """

    item: Shape
    make: Callable[[Iterator[Any]], Any] = list
    limits: Mapping[str, Any] = field(default_factory=dict)

    def schema(self, names: Names) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(names), **self.limits}

    def build(self, value: Any, at: str, fits: Fits) -> Any:
        return self.make(self.item.build(one, child(at, i), fits) for i, one in enumerate(value))

    def limited(self, name: str, limit: Any) -> Shape | None:
        found = _keyword("array", name, limit)
        return None if found is None else replace(self, limits={**self.limits, **found})


@dataclass(frozen=True, slots=True)
class Row(Shape):
    """A tuple with a shape for each place."""

    items: tuple[Shape, ...]

    def schema(self, names: Names) -> dict[str, Any]:
        n = len(self.items)
        first = {"prefixItems": [item.schema(names) for item in self.items]} if n else {}
        return {"type": "array", **first, "items": False, "minItems": n, "maxItems": n}

    def build(self, value: Any, at: str, fits: Fits) -> Any:
        return tuple(
            item.build(one, child(at, i), fits) for i, (item, one) in enumerate(zip(self.items, value, strict=True))
        )


@dataclass(frozen=True, slots=True)
class Members(Shape):
    """A ``dict`` from text to values of one shape."""

    member: Shape
    limits: Mapping[str, Any] = field(default_factory=dict)

    def schema(self, names: Names) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.member.schema(names), **self.limits}

    def build(self, value: Any, at: str, fits: Fits) -> Any:
        return {name: self.member.build(one, child(at, name), fits) for name, one in value.items()}

    def limited(self, name: str, limit: Any) -> Shape | None:
        found = _keyword("object", name, limit)
        return None if found is None else replace(self, limits={**self.limits, **found})


@dataclass(frozen=True, slots=True)
class Either(Shape):
    """A union: the first member that the value fits, in the order in which they are written."""

    members: tuple[Shape, ...]

    def schema(self, names: Names) -> dict[str, Any]:
        return {"anyOf": [member.schema(names) for member in self.members]}

    def build(self, value: Any, at: str, fits: Fits) -> Any:
        return next(member for member in self.members if fits(value, member)).build(value, at, fits)

    def limited(self, name: str, limit: Any) -> Shape | None:
        # Ge(0) of `int | None` means the integer.
        found = [member.limited(name, limit) for member in self.members]
        if not any(found):
            return None
        return Either(tuple(new or old for new, old in zip(found, self.members, strict=True)))


@dataclass(frozen=True, slots=True)
class Described(Shape):
    """A shape with a text for the model."""

    inner: Shape
    description: str

    def schema(self, names: Names) -> dict[str, Any]:
        return {**self.inner.schema(names), "description": self.description}

    def build(self, value: Any, at: str, fits: Fits) -> Any:
        return self.inner.build(value, at, fits)

    def limited(self, name: str, limit: Any) -> Shape | None:
        found = self.inner.limited(name, limit)
        return None if found is None else replace(self, inner=found)


@dataclass(frozen=True, slots=True)
class Member:
    """A named part of a record.

    Attributes:
        shape: Of its value.
        is_required: Whether it must be there.
        annotations: Keywords that stand beside the shape's, such as its default.
    """

    shape: Shape
    is_required: bool
    annotations: Mapping[str, Any] = field(default_factory=dict)


class Record(Shape):
    """An object with named members: a dataclass, ``TypedDict`` or ``NamedTuple``.

    Its members are set after it was made, since they may hold it.
    """

    def __init__(self, name: str, description: str, make: Callable[[dict[str, Any]], Any]) -> None:
        self.name = name
        self.members: dict[str, Member] = {}
        self._description = description
        self._make = make

    def schema(self, names: Names) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{names[self]}"} if self in names else self.body(names)

    def body(self, names: Names) -> dict[str, Any]:
        """Return its schema as it stands under ``$defs``."""
        return {
            "type": "object",
            **({"description": self._description} if self._description else {}),
            "properties": {
                name: {**member.shape.schema(names), **member.annotations} for name, member in self.members.items()
            },
            "required": [name for name, member in self.members.items() if member.is_required],
            "additionalProperties": False,
        }

    def build(self, value: Any, at: str, fits: Fits) -> Any:
        values = {name: self.members[name].shape.build(one, child(at, name), fits) for name, one in value.items()}
        return _made(self._make, values, at)


def _made(make: Callable[[Any], Any], value: Any, at: str) -> Any:
    # ArithmeticError: a number that is too large. TypeError and ValueError: what __post_init__ of users raises.
    try:
        return make(value)
    except (ArithmeticError, TypeError, ValueError) as problem:
        raise Refused(Violation(at, "type", f"is refused: {problem}")) from problem


def as_float(value: Any) -> float:
    """Return a number of JSON as ``float``; raises ``OverflowError`` for one that is too large."""
    number = float(value)
    if math.isinf(number):
        raise OverflowError(f"{value} is too large for a float")
    return number
