"""References become plain ones, and the schema means the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inllama import InvalidRequestError
from inllama.references import plain_references
from inllama.structure import grammar_of
from inllama.validation import validate

TREE = {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#"}}, "required": ["v"]}
CASES: dict[str, tuple[dict[str, Any], list[Any], list[Any]]] = {
    "whole": (TREE, [{"v": 1}, {"v": 1, "next": {"v": 2}}], [{}, {"v": 1, "next": {"next": {"v": 1}}}]),
    "whole_with_definitions": (
        {**TREE, "$defs": {"whole": {"type": "null"}, "list": {"type": "array", "items": {"$ref": "#"}}}},
        [{"v": 1, "next": {"v": 2}}],
        [{"v": 1, "next": None}],
    ),
    "escapes": (
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/x~1y"}, "b": {"$ref": "#/$defs/p%25q"}},
            "$defs": {"x/y": {"type": "array", "items": {"$ref": "#/$defs/p%25q"}}, "p%q": {"$ref": "#/$defs/t~0"}}
            | {"t~": {"type": "integer"}},
        },
        [{"a": [1, 2], "b": 3}],
        [{"a": ["x"]}, {"b": "x"}],
    ),
    "named_like_keywords": (
        {
            "type": "object",
            "properties": {"enum": {"$ref": "#"}, "default": {"type": "object"}, "$ref": {"const": "#"}},
        },
        [{"enum": {"$ref": "#"}}, {}],
        [{"enum": 3}, {"$ref": "x"}],
    ),
}


def references(part: Any) -> list[str]:
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    found = [part["$ref"]] if isinstance(part, dict) and isinstance(part.get("$ref"), str) else []
    return [*found, *(one for value in inner for one in references(value))]


@pytest.mark.parametrize("name", CASES)
def test_plain_references_mean_the_same(name: str) -> None:
    schema, good, bad = CASES[name]
    before = json.dumps(schema)
    plain = plain_references(schema)
    assert json.dumps(schema) == before
    used = references(plain)
    assert used
    assert all(one.startswith("#/") and not set("~%") & set(one) for one in used)
    grammar_of("json_schema", plain)
    for value in good:
        validate(value, schema)
        validate(value, plain)
    for value in bad:
        for one in (schema, plain):
            with pytest.raises(InvalidRequestError):
                validate(value, one)


def test_what_is_plain_already_stays() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "integer"}}}
    assert plain_references(schema) is schema


def test_values_that_look_like_references_stay() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [{"$ref": "#"}], "default": {"$ref": "#"}}}}
    assert plain_references(schema) == schema
