"""Whether values can be checked against a schema, before there are any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inllama import formats
from inllama.errors import UnsupportedError
from inllama.patterns import compiled
from inllama.validation import UNEVALUATED, Schema, rules_of


def check_schema(schema: Schema) -> None:
    """Raise if values cannot be checked against a schema, whatever they are.

    Raises:
        UnsupportedError: It has something that is not checked; the text says what.
    """
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, Mapping):
            continue
        rules_of(part, "")
        for pattern in (part.get("pattern"), *part.get("patternProperties", ())):
            if pattern is not None:
                compiled(pattern)
        if part.get("format", "date") not in formats.PATTERNS:
            raise UnsupportedError(f"the format {part['format']!r} is not supported", format=part["format"])
        for keyword in ("properties", "patternProperties", "$defs", "definitions"):
            waiting.extend(part.get(keyword, {}).values())
        for keyword in ("prefixItems", "allOf", "anyOf", "oneOf"):
            waiting.extend(part.get(keyword, ()))
        for keyword in ("items", "additionalProperties", "propertyNames", *UNEVALUATED):
            waiting.append(part.get(keyword))
