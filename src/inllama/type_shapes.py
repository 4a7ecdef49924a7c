"""From annotations to shapes: which Python types can be the type of an output or of a tool's parameter."""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import datetime
import enum
import re
import types
import typing
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal, NamedTuple, NoReturn

from inllama import docstrings
from inllama.errors import UnsupportedError
from inllama.shapes import (
    LIMITS,
    Constants,
    Described,
    Either,
    Items,
    Member,
    Members,
    Record,
    Row,
    Scalar,
    Shape,
    as_float,
)
from inllama.validation import is_number

_ANYTHING = Scalar({}, lambda value: value)
# Text, since everybody reads a number of JSON as a binary one; pydantic writes decimals so too.
_DECIMAL = Scalar({"type": "string", "pattern": r"^-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?$"}, Decimal)
_SCALARS: dict[Any, Shape] = {
    str: Scalar({"type": "string"}, str, "string"),
    int: Scalar({"type": "integer"}, int, "integer"),
    float: Scalar({"type": "number"}, as_float, "number"),
    bool: Scalar({"type": "boolean"}, bool),
    type(None): Scalar({"type": "null"}, lambda value: value),
    None: Scalar({"type": "null"}, lambda value: value),
    Any: _ANYTHING,
    object: _ANYTHING,
    datetime.datetime: Scalar({"type": "string", "format": "date-time"}, datetime.datetime.fromisoformat),
    datetime.date: Scalar({"type": "string", "format": "date"}, datetime.date.fromisoformat),
    datetime.time: Scalar({"type": "string", "format": "time"}, datetime.time.fromisoformat),
    uuid.UUID: Scalar({"type": "string", "format": "uuid"}, uuid.UUID),
    Decimal: _DECIMAL,
}
_ARRAYS = (list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable)
_OBJECTS = (dict, abc.Mapping, abc.MutableMapping)
_REMEDIES: dict[Any, str] = {
    set: "use list, since nothing keeps a model from repeating an item",
    frozenset: "use tuple[..., ...], since nothing keeps a model from repeating an item",
    abc.Set: "use list, since nothing keeps a model from repeating an item",
    bytes: "use str",
    datetime.timedelta: "use float and say in its description that it means seconds",
}
_KNOWN = "use a dataclass, TypedDict, Enum, Literal, list, dict[str, ...] or a type of pydantic"
# What only pydantic can read.
_PYDANTIC = ("__pydantic_core_schema__", "__get_pydantic_core_schema__", "__pydantic_validator__")


class Part(NamedTuple):
    """A field of a record, or a parameter of a function.

    Attributes:
        hint: Its annotation.
        is_required: Whether it must be given.
        default: What it is otherwise; anything without a JSON form stays unsaid.
        description: For the model, if its annotation has none.
    """

    hint: Any
    is_required: bool
    default: Any = dataclasses.MISSING
    description: str = ""


class PydanticNeeded(Exception):
    """A type that pydantic describes; all that holds it is pydantic's then."""


class Typed(NamedTuple):
    """A type as JSON.

    Attributes:
        shape: What builds its values.
        names: The records of the shape that stand under ``$defs``.
        schema: The whole schema.
    """

    shape: Shape
    names: dict[Record, str]
    schema: dict[str, Any]


def typed(hint: Any) -> Typed:
    """Return a type as JSON.

    Raises:
        PydanticNeeded: A part of it is a type of pydantic.
        UnsupportedError: A part of it has no JSON that can be enforced; ``.place`` says which.
    """
    shapes = _Shapes()
    return shapes.typed(shapes.of(hint, hint.__name__ if isinstance(hint, type) and _is_record(hint) else "the type"))


def typed_parameters(name: str, parameters: Mapping[str, Part]) -> Typed:
    """Return the parameters of a function as JSON, whose value is a ``dict`` of those that were given.

    Raises:
        PydanticNeeded: A part of one is a type of pydantic.
        UnsupportedError: A part of one has no JSON that can be enforced; ``.place`` says which.
    """
    shapes, record = _Shapes(), Record(name, "", dict)
    for parameter, part in parameters.items():
        record.members[parameter] = shapes.member(part, f"{name}.{parameter}")
    return shapes.typed(record)


class _Shapes:
    """The shapes of one type and of all its parts."""

    def __init__(self) -> None:
        self._records: dict[type, Record] = {}
        self._uses: Counter[Record] = Counter()

    def typed(self, shape: Shape) -> Typed:
        """Return what was made with its whole schema."""
        names = self._shared()
        schema = shape.schema(names)
        if names:
            schema["$defs"] = {name: record.body(names) for record, name in names.items()}
        return Typed(shape, names, schema)

    def _shared(self) -> dict[Record, str]:
        # Those that stand in several places, within themselves for instance.
        names: dict[Record, str] = {}
        for record, n_uses in self._uses.items():
            if n_uses > 1:
                taken = set(names.values())
                name, n = record.name, 1
                while name in taken:
                    n += 1
                    name = f"{record.name}_{n}"
                names[record] = name
        return names

    def of(self, hint: Any, at: str) -> Shape:
        """Return the shape of an annotation; ``at`` is its place in errors."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is None or not hasattr(hint, "__args__"):  # typing.List alone has an origin too
            return self._plain(origin or hint, at)
        if origin is typing.Annotated:
            return self._annotated(arguments[0], arguments[1:], at)
        if origin in (typing.Union, types.UnionType):
            return Either(tuple(self.of(one, at) for one in arguments))
        if origin is Literal:
            return self._literal(arguments, at)
        if origin in _ARRAYS:
            return Items(self.of(arguments[0], f"{at}[]"))
        if origin is tuple:
            return self._tuple(arguments, at)
        if origin in _OBJECTS:
            return self._mapping(arguments, at)
        _refuse(hint, at, _REMEDIES.get(origin, _KNOWN))

    def member(self, part: Part, at: str) -> Member:
        """Return a part of a record, its description and default beside its shape's schema."""
        shape = self.of(part.hint, at)
        annotations = _default(part.default)
        # The text in an annotation is about this place; the docstring of a class, which may be there already, is not.
        if part.description and not isinstance(shape, Described):
            annotations = {"description": part.description, **annotations}
        return Member(shape, part.is_required, annotations)

    def _plain(self, hint: Any, at: str) -> Shape:
        if isinstance(hint, abc.Hashable) and hint in _SCALARS:
            return _SCALARS[hint]
        inner = getattr(hint, "__supertype__", None) or getattr(hint, "__value__", None)
        if inner is not None and not isinstance(hint, type):  # NewType, and `type X = ...`
            return self.of(inner, at)
        if any(hasattr(hint, name) for name in _PYDANTIC):
            raise PydanticNeeded
        if not isinstance(hint, type):
            remedy = "give the type and not its name" if isinstance(hint, (str, typing.ForwardRef)) else _KNOWN
            _refuse(hint, at, remedy)
        if issubclass(hint, enum.Enum):
            return self._enum(hint, at)
        if _is_record(hint):
            return self._record(hint, at)
        if hint in _ARRAYS or hint is tuple:
            return Items(_ANYTHING, tuple if hint is tuple else list)
        if hint in _OBJECTS:
            return Members(_ANYTHING)
        _refuse(hint, at, _REMEDIES.get(hint, _KNOWN))

    def _annotated(self, inner: Any, metadata: tuple[Any, ...], at: str) -> Shape:
        shape = self.of(inner, at)
        description = ""
        for entry in metadata:
            if isinstance(entry, str):
                description = entry
                continue
            module = type(entry).__module__.partition(".")[0]
            if module.startswith("pydantic"):
                raise PydanticNeeded
            text = getattr(entry, "documentation", None) or getattr(entry, "description", None)
            description = text if isinstance(text, str) else description
            limits = list(_limits_of(entry))
            if not limits and module == "annotated_types":
                _refuse(entry, at, "check it afterwards", problem="a model cannot be held to")
            for name, limit in limits:
                found = shape.limited(name, limit)
                if found is None:
                    problem = f"cannot have the limit {name}={limit!r}"
                    _refuse(inner, at, "leave it out and check it afterwards", problem=problem)
                shape = found
        return Described(shape, description) if description else shape

    def _literal(self, values: tuple[Any, ...], at: str) -> Shape:
        pairs = [(value.value if isinstance(value, enum.Enum) else value, value) for value in values]
        for plain, value in pairs:
            if plain is not None and not isinstance(plain, (str, int)):
                _refuse(value, at, "a Literal can hold str, int, bool, None and members of an Enum")
        return Constants(tuple(pairs))

    def _enum(self, cls: type[enum.Enum], at: str) -> Shape:
        members = list(cls)
        if issubclass(cls, enum.Flag) or not members:
            _refuse(cls, at, "use an Enum with members, or a list of them")
        for member in members:
            if not isinstance(member.value, (str, int)):
                problem = f"has the member {member.name} = {member.value!r}"
                _refuse(cls, at, "give all members texts or integers", problem=problem)
        return Constants(tuple((member.value, member) for member in members), _own_docstring(cls).summary)

    def _tuple(self, items: tuple[Any, ...], at: str) -> Shape:
        if len(items) == 2 and items[1] is ...:
            return Items(self.of(items[0], f"{at}[]"), tuple)
        return Row(tuple(self.of(one, f"{at}[{i}]") for i, one in enumerate(items)))

    def _mapping(self, arguments: tuple[Any, ...], at: str) -> Shape:
        key, value = arguments
        if key is not str:
            _refuse(key, f"the key of {at}", "use dict[str, ...]", problem="is no name in JSON")
        return Members(self.of(value, f"{at}{{}}"))

    def _record(self, cls: type, at: str) -> Shape:
        record = self._records.get(cls)
        if record is None:
            texts = _own_docstring(cls)
            record = self._records[cls] = Record(cls.__name__, texts.summary, _maker(cls))
            for name, part in _parts(cls, at).items():
                described = part._replace(description=texts.parameters.get(name, ""))
                record.members[name] = self.member(described, f"{at}.{name}")
        self._uses[record] += 1
        return record


def _is_typed_dict(cls: type) -> bool:
    # The one of typing_extensions too, which typing.is_typeddict does not know.
    return issubclass(cls, dict) and hasattr(cls, "__total__") and hasattr(cls, "__required_keys__")


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields") and hasattr(cls, "_field_defaults")


def _is_record(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) or _is_typed_dict(cls) or _is_named_tuple(cls)


def _maker(cls: type) -> Callable[[dict[str, Any]], Any]:
    return dict if _is_typed_dict(cls) else lambda values: cls(**values)


def _parts(cls: type, at: str) -> dict[str, Part]:
    hints = _hints(cls, at)
    if dataclasses.is_dataclass(cls):
        for name, hint in hints.items():
            if isinstance(hint, dataclasses.InitVar):
                _refuse(hint, f"{at}.{name}", "make it a field", problem="is no part of the instance")
        return {
            item.name: Part(hints[item.name], item.default is item.default_factory is dataclasses.MISSING, item.default)
            for item in dataclasses.fields(cls)
            if item.init
        }
    if _is_typed_dict(cls):
        # With `from __future__ import annotations` the class does not know which of them have a qualifier.
        required = cls.__required_keys__  # type: ignore[attr-defined]
        return {name: _unqualified(hint, name in required) for name, hint in hints.items()}
    defaults = cls._field_defaults  # type: ignore[attr-defined]
    for name in cls._fields:  # type: ignore[attr-defined]
        if name not in hints:
            _refuse(cls, f"the class of {at}.{name}", "use typing.NamedTuple", problem="has no annotations")
    return {
        name: Part(hint, name not in defaults, defaults.get(name, dataclasses.MISSING)) for name, hint in hints.items()
    }


def _unqualified(hint: Any, is_required: bool) -> Part:
    """Return a member of a ``TypedDict`` without ``Required``, ``NotRequired`` and ``ReadOnly``."""
    while str(typing.get_origin(hint)).rpartition(".")[2] in ("Required", "NotRequired", "ReadOnly"):
        origin = typing.get_origin(hint)
        is_required = {typing.Required: True, typing.NotRequired: False}.get(origin, is_required)
        hint = typing.get_args(hint)[0]
    return Part(hint, is_required)


def _hints(cls: type, at: str) -> dict[str, Any]:
    try:
        # A class inside a function can still name itself.
        return typing.get_type_hints(cls, localns={cls.__name__: cls}, include_extras=True)
    except NameError as problem:
        _refuse(cls, at, "define it in the module", problem=f"has annotations that cannot be read: {problem}")


def _own_docstring(cls: type) -> docstrings.Docstring:
    text = vars(cls).get("__doc__")
    # Those that dataclasses and named tuples write themselves say nothing more than the members do.
    is_signature = isinstance(text, str) and re.match(rf"{re.escape(cls.__name__)}\(", text)
    return docstrings.read(None if is_signature or text == "An enumeration." else text)


def _limits_of(entry: Any) -> Iterator[tuple[str, Any]]:
    for name in LIMITS:
        limit = None if isinstance(entry, type) else getattr(entry, name, None)
        if limit is None or callable(limit) or (name == "min_length" and limit == 0):
            continue
        yield name, float(limit) if isinstance(limit, Decimal) else limit


def _default(value: Any) -> dict[str, Any]:
    plain = value.value if isinstance(value, enum.Enum) else value
    return {"default": plain} if plain is None or isinstance(plain, (str, bool)) or is_number(plain) else {}


def _refuse(hint: Any, at: str, remedy: str, *, problem: str = "has no JSON form") -> NoReturn:
    name = hint.__qualname__ if isinstance(hint, type) else str(hint)
    text = f"{at} is {name}, which {problem}; {remedy}"
    raise UnsupportedError(text, place=at, type=name)
