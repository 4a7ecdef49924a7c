"""References inside of JSON schemas, in the spelling that llama.cpp's chat layer can follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inllama.validation import Validation

# Whose members are schemas by name, and what holds values and no schemas.
_NAMED = ("properties", "patternProperties", "$defs", "definitions")
_VALUES = ("enum", "const", "default", "examples", "example")


def plain_references(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that means the same, in which each ``$ref`` names its place without escapes.

    llama.cpp knows neither ``#`` nor the escapes of JSON pointers: what these refer to gets a name in ``$defs``.

    Raises:
        UnsupportedError: A reference names nothing.
    """
    references = _References(schema)
    plain = references.part(schema)
    defined = references.defined()
    return {**plain, "$defs": {**plain.get("$defs", {}), **defined}} if defined else schema


class _References:
    def __init__(self, schema: dict[str, Any]) -> None:
        self._validation = Validation(schema)
        self._taken = set(schema.get("$defs", {}))
        self._names: dict[str, str] = {}

    def part(self, part: Any, *, is_named: bool = False) -> Any:
        """Return a part of the schema; ``is_named``: a mapping from names to schemas."""
        if isinstance(part, list):
            return [self.part(one) for one in part]
        if not isinstance(part, Mapping):
            return part
        if is_named:
            return {name: self.part(one) for name, one in part.items()}
        made = {key: one if key in _VALUES else self.part(one, is_named=key in _NAMED) for key, one in part.items()}
        reference = part.get("$ref")
        if isinstance(reference, str) and (reference == "#" or set("~%") & set(reference)):
            made["$ref"] = f"#/$defs/{self._name_of(reference)}"
        return made

    def defined(self) -> dict[str, Any]:
        """Return what the new names mean, those within each other too."""
        found: dict[str, Any] = {}
        while len(found) < len(self._names):
            reference, name = list(self._names.items())[len(found)]
            target = self._validation.resolve(reference)
            found[name] = self.part(target)
            if reference == "#":
                found[name] = {key: one for key, one in found[name].items() if key not in ("$defs", "definitions")}
        return found

    def _name_of(self, reference: str) -> str:
        if reference not in self._names:
            name = "whole" if reference == "#" else f"part{len(self._names)}"
            while name in self._taken:
                name += "_"
            self._taken.add(name)
            self._names[reference] = name
        return self._names[reference]
