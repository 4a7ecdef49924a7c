"""Options as frozen dataclasses: one declaration gives type, range, unit and text, and all checks come from it."""

from __future__ import annotations

import difflib
import math
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Self, cast

from inllama.errors import InvalidRequestError


def option(
    text: str,
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    words: tuple[str, ...] = (),
    each: type | tuple[type, ...] | None = None,
    key: type = str,
    unset: bool = False,
) -> Any:
    """Declare an option.

    Args:
        text: One sentence for documentation and help.
        default: Its value if nobody sets it.
        low: Smallest value.
        high: Largest value.
        unit: Of the value.
        words: The texts that are possible.
        each: Type of the items of a tuple or of the values of a mapping.
        unset: The field is ``None`` until somebody sets it; ``default`` is what then counts in the end.
        key: Type of the keys of a mapping; integers are 32 bits and not negative.
    """
    rules = {"text": text, "default": default, "low": low, "high": high, "unit": unit, "words": words}
    metadata = rules | {"each": each, "key": key}
    if unset:
        return field(default=None, metadata=metadata)
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


def types_of(cls: type[Options]) -> Mapping[str, tuple[type, ...]]:
    """Return the types that each option can have; of a generic one, its origin."""
    # Of this very class, not of the one it derives from.
    known = vars(cls).get("_types")
    if known is not None:
        return cast("dict[str, tuple[type, ...]]", known)
    found: dict[str, tuple[type, ...]] = {}
    for name, hint in typing.get_type_hints(cls, globalns={**globals(), **cls._namespace}).items():
        parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
        found[name] = tuple(typing.get_origin(part) or part for part in parts)
    cls._types = found
    return found


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of option classes: checks every field and knows unknown names."""

    # Where the annotations of the class can be evaluated: its __module__ is later set to the public one.
    _namespace: typing.ClassVar[dict[str, Any]] = {}
    _types: typing.ClassVar[dict[str, tuple[type, ...]]] = {}

    def __init_subclass__(cls) -> None:
        cls._namespace = vars(sys.modules[cls.__module__])

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is item.default:  # a test checks those
                continue
            if value is not None or type(None) not in types_of(type(self))[item.name]:
                object.__setattr__(self, item.name, self._checked(item, value))

    @classmethod
    def error(cls, name: str, value: object, problem: str) -> InvalidRequestError:
        """Return the error for a value that is not possible."""
        return InvalidRequestError(f"{name} {problem}", option=name, value=value)

    @classmethod
    def from_keywords(cls, keywords: Mapping[str, Any]) -> Self:
        """Return the options in ``keywords``; raises ``TypeError`` with a near name for an unknown one."""
        known = [item.name for item in fields(cls)]
        for name in keywords:
            if name not in known:
                raise unknown_option(name, known)
        return cls(**keywords)

    def updated(self, keywords: Mapping[str, Any]) -> Self:
        """Return a copy with the options in ``keywords`` replaced."""
        return replace(self, **keywords)

    def to_dict(self) -> dict[str, Any]:
        """Return the options that are set as plain data."""
        plain: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None:
                plain[item.name] = list(value) if isinstance(value, tuple) else value
        return plain

    def _checked(self, item: Field[Any], value: Any) -> Any:
        name, rules = item.name, item.metadata
        allowed = types_of(type(self))[name]
        if isinstance(value, (list, set)) and tuple in allowed:
            value = tuple(value)
        if float in allowed and type(value) is int and int not in allowed:
            value = self._as_float(name, value)
        is_flag = isinstance(value, bool)
        if (is_flag and bool not in allowed) or not isinstance(value, allowed):
            raise TypeError(f"{name} must be {_names(allowed)}, not {type(value).__name__}")
        if isinstance(value, Mapping):
            value = dict(value)
        if isinstance(value, str) and rules["words"] and value not in rules["words"]:
            raise self.error(name, value, f"is {value!r}; use one of {', '.join(rules['words'])}")
        if isinstance(value, (int, float)) and not is_flag:
            self._check_range(item, value)
        if isinstance(value, str):
            self._check_text(name, value)
        if isinstance(value, Mapping):
            self._check_keys(name, value, rules["key"])
        if rules["each"] is not None:
            self._check_each(name, value, rules["each"])
        return value

    def _check_text(self, name: str, value: str) -> None:
        try:
            value.encode()
        except UnicodeEncodeError as problem:
            found = f"has a lone surrogate at character {problem.start}, which is no Unicode text"
            raise self.error(name, value, found) from None

    def _check_keys(self, name: str, value: Mapping[Any, Any], kind: type) -> None:
        for entry in value:
            if not isinstance(entry, kind) or isinstance(entry, bool):
                raise TypeError(f"each key of {name} must be {kind.__name__}, not {type(entry).__name__}")
            if isinstance(entry, str):
                self._check_text(name, entry)
            elif isinstance(entry, int) and not 0 <= entry < 2**31:
                raise self.error(name, value, f"has the key {entry}, which is no token")

    def _as_float(self, name: str, value: int) -> float:
        try:
            return float(value)
        except OverflowError:
            raise self.error(name, value, "is larger than any floating point number") from None

    def _check_range(self, item: Field[Any], value: float) -> None:
        low, high = item.metadata["low"], item.metadata["high"]
        unit = f" {item.metadata['unit']}" if item.metadata["unit"] else ""
        is_number = isinstance(value, int) or math.isfinite(value)
        if not is_number or (low is not None and value < low) or (high is not None and value > high):
            limits = f"at least {low}" if high is None else f"{low} to {high}"
            raise self.error(item.name, value, f"is {value} but must be {limits}{unit}")

    def _check_each(self, name: str, value: Iterable[Any], kind: type | tuple[type, ...]) -> None:
        kinds = kind if isinstance(kind, tuple) else (kind,)
        items = value.values() if isinstance(value, Mapping) else value
        for entry in items:
            is_number = float in kinds and type(entry) is int
            if not is_number and type(entry) is not bool and not isinstance(entry, kinds):
                raise TypeError(f"each of {name} must be {_names(kinds)}, not {type(entry).__name__}")
            if isinstance(entry, bool) and bool not in kinds:
                raise TypeError(f"each of {name} must be {_names(kinds)}, not bool")
            if isinstance(entry, float) and math.isnan(entry):
                raise self.error(name, value, "has an entry that is not a number")
            if isinstance(entry, str):
                self._check_text(name, entry)


# What a type takes in the words of a user.
_SPOKEN: dict[type, str] = {type(None): "None", tuple: "list or tuple"}


def _names(kinds: Iterable[type]) -> str:
    return " or ".join(_SPOKEN.get(kind, kind.__name__) for kind in kinds)


def unknown_option(name: str, known: Iterable[str]) -> TypeError:
    """Return the error for an option that nobody knows, with the nearest name that somebody does."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return TypeError(f"unknown option {name!r}{hint}")


def split_keywords(keywords: Mapping[str, Any], *classes: type[Options]) -> list[dict[str, Any]]:
    """Return the keywords of each class, in order; raises ``TypeError`` for one that none of them knows."""
    names = [{item.name for item in fields(cls)} for cls in classes]
    parts: list[dict[str, Any]] = [{} for _ in classes]
    for name, value in keywords.items():
        owner = next((i for i, known in enumerate(names) if name in known), None)
        if owner is None:
            raise unknown_option(name, sorted(set().union(*names)))
        parts[owner][name] = value
    return parts
