"""What all bodies of requests have in common: strict types, and what becomes of fields that are not ours."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import Field as OptionField
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from inllama.options import Options
from inllama.params import RequestOptions, SamplingParams
from inllama.server.failures import Failure

_SHOWN_PROBLEMS = 3
_MANY_PROBLEMS = 1000

T = TypeVar("T")
# A list is read up to the first item that does not fit: a million of them would be a million errors, in each of the
# types that it might have.
Items: TypeAlias = Annotated[list[T], Field(fail_fast=True)]


class Body(BaseModel):
    """The body of a request. A field that is ``null`` is not given.

    Attributes:
        HINTS: Fields that ask for nothing that could be done or not: names of users, tags, places to cache at.
        UNSUPPORTED: Fields of the API that are not there, with the values that ask for nothing.
        model: Which one.
    """

    model_config = ConfigDict(extra="allow", strict=True, protected_namespaces=())
    HINTS: ClassVar[frozenset[str]] = frozenset()
    UNSUPPORTED: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    model: str | None = Field(None, description="Name of the model; /v1/models lists them.")

    def given(self, names: Collection[str]) -> dict[str, Any]:
        """Return the fields of these names that are given."""
        return {
            name: value
            for name in type(self).model_fields
            if name in names and (value := getattr(self, name)) is not None
        }

    def unknown(self) -> list[str]:
        """Return the fields that nobody knows.

        Raises:
            Failure: One is known, and not there.
        """
        found = []
        for name, value in (self.model_extra or {}).items():
            if name in self.UNSUPPORTED:
                if value is not None and value not in self.UNSUPPORTED[name]:
                    raise unsupported_field(name, self.UNSUPPORTED[name])
            elif name not in self.HINTS and value is not None:
                found.append(name)
        return found


AnyBody = TypeVar("AnyBody", bound=Body)


def unsupported_field(name: str, possible: Iterable[Any] = ()) -> Failure:
    """Return the failure of a field that asks for something that is not there."""
    allowed = " or ".join(repr(value) for value in possible)
    remedy = f"leave it out, or give {allowed}" if allowed else "leave it out"
    return Failure(400, f"{name} is not supported here; {remedy}", code="unsupported_field", param=name)


def read_body(cls: type[AnyBody], value: Mapping[str, Any]) -> AnyBody:
    """Return what a JSON object asks for; raises ``Failure`` for what does not fit."""
    try:
        return cls.model_validate(value)
    except ValidationError as problem:
        if problem.error_count() > _MANY_PROBLEMS:
            raise Failure(400, f"{problem.error_count()} values have a wrong type", code="invalid_value") from None
        errors = problem.errors(include_url=False, include_context=False, include_input=False)
    places = [_place(error["loc"]) for error in errors]
    texts = [f"{place}: {error['msg']}" for place, error in zip(places, errors, strict=True)]
    more = f" (and {len(texts) - _SHOWN_PROBLEMS} more)" if len(texts) > _SHOWN_PROBLEMS else ""
    shown = "; ".join(dict.fromkeys(texts[:_SHOWN_PROBLEMS]))
    raise Failure(
        400, f"{shown}{more}", code="invalid_value", param=str(errors[0]["loc"][0]) if errors[0]["loc"] else None
    )


def _place(parts: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")[:200]


def option_fields(cls: type[Options], *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return declared options as fields of a body; their values are checked where they are used."""
    hints = typing.get_type_hints(cls, globalns={**cls._namespace, "Mapping": Mapping})
    return {item.name: _field(item, hints[item.name]) for item in fields(cls) if item.name not in without}


def _field(item: OptionField[Any], hint: Any) -> tuple[Any, Any]:
    rules = item.metadata
    limits = {"minimum": rules["low"], "maximum": rules["high"], "enum": list(rules["words"]) or None}
    shown: dict[str, Any] = {name: limit for name, limit in limits.items() if limit is not None}
    unit = f" [{rules['unit']}]" if rules["unit"] else ""
    return _json_type(hint) | None, Field(None, description=f"{rules['text']}{unit}", json_schema_extra=shown)


def _json_type(hint: Any) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        made = _json_type(parts[0])
        for part in parts[1:]:
            made = made | _json_type(part)
        return made
    if origin is tuple:
        return Items[_json_type(parts[0])]  # type: ignore[misc]
    if origin is not None and issubclass(origin, Mapping):
        return dict[str, _json_type(parts[1])]  # type: ignore[misc]
    return hint


SAMPLING = frozenset(item.name for item in fields(SamplingParams))
# Those with a meaning over HTTP. Nobody may go before others; logprobs have another shape in each API.
REQUEST = frozenset({"n", "timeout_s", "reproducible", "priority", "cache_salt", "adapters"})

if TYPE_CHECKING:

    class SamplingBody(Body):
        """A request with the options of ``SamplingParams``, and what every generating request may ask for."""

        temperature: float | None
        top_p: float | None
        max_tokens: int | None
        n: int | None
        priority: int | None
        timeout_s: float | None
        cache_salt: str | None

else:
    SamplingBody = create_model(
        "SamplingBody",
        __base__=Body,
        **option_fields(SamplingParams),
        **option_fields(RequestOptions, without={item.name for item in fields(RequestOptions)} - REQUEST),
    )
