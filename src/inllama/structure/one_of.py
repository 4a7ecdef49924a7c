"""Whether the schemas of ``oneOf`` exclude each other, so that it is the same as ``anyOf``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from inllama.structure.place import Place

_MAX_HOPS = 32

Find: TypeAlias = Callable[[str, Place], Any]


def require_disjoint(options: list[Any], place: Place, find: Find) -> None:
    """Raise ``GrammarError`` unless no value fits two of ``options``.

    Each two differ in their types, in the values of their ``const`` or ``enum``, or in those of a property that all of
    the same type require.
    """
    resolved = [_resolved(option, place / index, find) for index, option in enumerate(options)]
    of_type: dict[str, list[int]] = {}
    for index, option in enumerate(resolved):
        for name in _types(option):
            of_type.setdefault(name, []).append(index)
    for name, indices in of_type.items():
        same = [resolved[index] for index in indices]
        if len(same) > 1 and not (
            _differ(map(_values, same)) or (name == "object" and _are_told_apart(same, place, find))
        ):
            place.fail(
                f"the schemas {indices[0]} and {indices[1]} may allow the same {name}; use 'anyOf', or give each a "
                "required property with a 'const' of its own"
            )


def _resolved(option: Any, place: Place, find: Find) -> dict[str, Any]:
    for _ in range(_MAX_HOPS):
        if not isinstance(option, dict) or not isinstance(option.get("$ref"), str):
            break
        target = option["$ref"]
        if not target.startswith("#"):
            break
        option = find(target[1:], place)
    return option if isinstance(option, dict) else {}


def _types(option: dict[str, Any]) -> set[str]:
    values = _values(option)
    if values is not None:
        return {_type_of(value) for value in values}
    kind = option.get("type")
    names = [name for name in (kind if isinstance(kind, list) else [kind]) if isinstance(name, str)]
    if not names:
        return {"null", "boolean", "number", "string", "array", "object"}
    return {"number" if name == "integer" else name for name in names}


def _type_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _values(option: dict[str, Any]) -> list[Any] | None:
    if "const" in option:
        return [option["const"]]
    values = option.get("enum")
    return values if isinstance(values, list) else None


def _differ(values: Iterator[list[Any] | None]) -> bool:
    seen: set[str] = set()
    for some in values:
        keys = None if some is None else {_key(value) for value in some}
        if keys is None or keys & seen:
            return False
        seen |= keys
    return True


def _key(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    """Return a value in which equal numbers are written alike."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _are_told_apart(options: list[dict[str, Any]], place: Place, find: Find) -> bool:
    def tags(option: dict[str, Any], name: str) -> list[Any] | None:
        properties, required = option.get("properties"), option.get("required")
        if not isinstance(properties, dict) or not isinstance(required, list) or name not in required:
            return None
        return _values(_resolved(properties.get(name), place, find))

    first = options[0].get("required")
    names = first if isinstance(first, list) else []
    return any(_differ(tags(option, name) for option in options) for name in names if isinstance(name, str))
