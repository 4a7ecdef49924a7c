"""Python types as the types of outputs: the schema that a model is held to, and how its text becomes an instance."""

from __future__ import annotations

import dataclasses
import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, overload

from inllama.errors import InvalidRequestError, UnsupportedError
from inllama.json_text import child, loads
from inllama.shapes import Refused
from inllama.type_shapes import Part, PydanticNeeded, Typed, typed, typed_parameters
from inllama.validation import Validation

T = TypeVar("T")


class OutputType(ABC, Generic[T]):
    """A type that an output can have.

    These: dataclasses, ``TypedDict``, ``NamedTuple``, ``Enum``, ``Literal``, unions, ``list``, ``tuple``,
    ``dict[str, ...]``, ``str``, ``int``, ``float``, ``bool``, ``None``, ``Any`` (plain data), ``Decimal`` (as text),
    ``UUID``, ``date``, and ``time`` and ``datetime`` with an offset from UTC; in each other, also in themselves; with
    texts, and the limits of annotated-types, in ``Annotated``. Whatever pydantic describes is left to it. Of a union, a
    value becomes the first member that it fits.

    Attributes:
        schema: Its JSON schema, of draft 2020-12.
    """

    schema: dict[str, Any]

    @overload
    @staticmethod
    def of(type_: type[T]) -> OutputType[T]: ...
    @overload
    @staticmethod
    def of(type_: Any) -> OutputType[Any]: ...
    @staticmethod
    def of(type_: Any) -> OutputType[Any]:
        """Return the output type of a Python type.

        Raises:
            UnsupportedError: A part of it has no JSON that can be enforced; ``.place`` and ``.type`` say which.
        """
        try:
            return _OwnType(typed(type_))
        except PydanticNeeded:
            return _PydanticType(type_)

    @staticmethod
    def of_parameters(name: str, parameters: Mapping[str, Part]) -> OutputType[dict[str, Any]]:
        """Return the type of the arguments of the function ``name``: a ``dict`` of those that were given.

        Raises:
            UnsupportedError: A part of one has no JSON that can be enforced; ``.place`` and ``.type`` say which.
        """
        try:
            return _OwnType(typed_parameters(name, parameters))
        except PydanticNeeded:
            return _PydanticParameters(name, parameters)

    def parse(self, text: str) -> T:
        """Return the instance that a JSON text stands for.

        Raises:
            InvalidRequestError: The text does not fit the schema, or the type refuses a value; ``.pointer`` says where.
        """
        return self.build(loads(text, "the output", is_strict=False), "the output")

    @abstractmethod
    def build(self, value: Any, what: str = "the value") -> T:
        """Return the instance for a value as ``json.loads`` gives it; raises as ``parse`` does.

        Args:
            value: The value.
            what: Its name in errors.
        """


class _OwnType(OutputType[Any]):
    def __init__(self, parts: Typed) -> None:
        self.schema = parts.schema
        self._parts = parts

    def build(self, value: Any, what: str = "the value") -> Any:
        validation, names = Validation(self.schema), self._parts.names
        violation = validation.violation(value)
        if violation is not None:
            raise violation.error(what)
        try:
            return self._parts.shape.build(
                value, "", lambda part, shape: validation.violation(part, shape.schema(names)) is None
            )
        except Refused as refused:
            raise refused.violation.error(what) from refused.__cause__


class _PydanticType(OutputType[Any]):
    def __init__(self, type_: Any) -> None:
        # Whoever has such a type has pydantic.
        self._pydantic = pydantic = importlib.import_module("pydantic")
        try:
            self._adapter = pydantic.TypeAdapter(type_)
            self.schema = _narrowed(self._adapter.json_schema(schema_generator=_generator()))
        except (pydantic.PydanticUserError, pydantic.errors.PydanticUndefinedAnnotation) as problem:
            raise UnsupportedError(
                f"{type_} has no JSON schema: {problem.message}", place="", type=str(type_)
            ) from problem

    def parse(self, text: str) -> Any:
        return self._validated(text, "the output")

    def build(self, value: Any, what: str = "the value") -> Any:
        # As text, since pydantic reads dates, tuples and enums from JSON even where it is strict.
        return self._validated(json.dumps(value), what)

    def _validated(self, text: str, what: str) -> Any:
        try:
            return self._adapter.validate_json(text)
        except self._pydantic.ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            pointer = ""
            for key in first["loc"]:
                pointer = child(pointer, key)
            place = f"{what} at {pointer}" if pointer else what
            raise InvalidRequestError(f"{place} is refused: {first['msg']}", pointer=pointer) from problem


class _PydanticParameters(_PydanticType):
    """As a dataclass, which pydantic takes without anything else."""

    def __init__(self, name: str, parameters: Mapping[str, Part]) -> None:
        members = [(parameter, part.hint, _field(part)) for parameter, part in parameters.items()]
        cls = dataclasses.make_dataclass(name if name.isidentifier() else "Parameters", members, kw_only=True)
        super().__init__(cls)
        self.schema.pop("title", None)
        for parameter, schema in self.schema["properties"].items():
            if parameters[parameter].description:
                schema.setdefault("description", parameters[parameter].description)

    def build(self, value: Any, what: str = "the value") -> Any:
        built = super().build(value, what)
        return {name: getattr(built, name) for name in value}


def _generator() -> Any:
    """Return what makes schemas of pydantic's types, where its own allow more than the types do.

    A ``Decimal`` is a number, as texts can be no number at all. A URL has a scheme of its type's.
    """
    from inllama.structure.keywords import MAX_URL_LENGTH, url_pattern  # with the first type: it takes a while

    base: Any = importlib.import_module("pydantic.json_schema").GenerateJsonSchema

    class Narrower(base):  # type: ignore[misc]
        def decimal_schema(self, schema: Any) -> Any:
            made = super().decimal_schema(schema)
            numbers = [part for part in made.get("anyOf", ()) if part.get("type") == "number"]
            return numbers[0] if numbers else made

        def url_schema(self, schema: Any) -> Any:
            schemes, limit = schema.get("allowed_schemes"), schema.get("max_length")
            if not schemes or (limit is not None and limit < MAX_URL_LENGTH):
                return super().url_schema(schema)
            return {"type": "string", "pattern": url_pattern(schemes)}

    return Narrower


def _field(part: Part) -> Any:
    if part.is_required:
        return dataclasses.field()
    # A dataclass takes no mutable default. Its value is never used: a default that was not given stays the function's.
    if type(part.default).__hash__ is None:
        return dataclasses.field(default_factory=lambda: part.default)
    return dataclasses.field(default=part.default)


def _narrowed(schema: Any) -> Any:
    """Return a schema of pydantic's that allows less, all of which pydantic takes.

    Members that no schema names go, unless it says that it wants them: pydantic ignores them, so a model would write
    them for nothing.
    """
    if not isinstance(schema, dict):
        return schema
    narrowed = dict(schema)
    for keyword in ("properties", "patternProperties", "$defs"):
        if keyword in schema:
            narrowed[keyword] = {name: _narrowed(part) for name, part in schema[keyword].items()}
    for keyword in ("prefixItems", "anyOf", "oneOf", "allOf"):
        if keyword in schema:
            narrowed[keyword] = [_narrowed(part) for part in schema[keyword]]
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            narrowed[keyword] = _narrowed(schema[keyword])
    if "properties" in schema:
        narrowed.setdefault("additionalProperties", False)
    return narrowed
