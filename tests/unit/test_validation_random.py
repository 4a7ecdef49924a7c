"""``validate`` says the same as ``jsonschema`` over random schemas of the subset and random values."""

from __future__ import annotations

from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from inllama import InvalidRequestError
from inllama.validation import validate

NAMES = st.sampled_from(["a", "b", "ab", ""])
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 6), st.sampled_from([0.5, 1.0, -2.5, 3.0]), st.text("ab", max_size=3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
COUNTS = st.integers(0, 3)
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "type": st.one_of(TYPES, st.lists(TYPES, min_size=1, max_size=3, unique=True)),
    "enum": st.lists(VALUES, min_size=1, max_size=4),
    "const": VALUES,
    "minimum": st.integers(-2, 4),
    "maximum": st.sampled_from([-1, 0.5, 3]),
    "exclusiveMinimum": st.integers(-2, 4),
    "exclusiveMaximum": st.integers(-2, 4),
    "multipleOf": st.sampled_from([1, 2, 3, 0.5]),
    "minLength": COUNTS,
    "maxLength": COUNTS,
    "pattern": st.sampled_from(["^a", "b$", "^(a|b)*$", "ab", "^a{2}"]),
    "minItems": COUNTS,
    "maxItems": COUNTS,
    "minProperties": COUNTS,
    "maxProperties": COUNTS,
    "required": st.lists(NAMES, max_size=2, unique=True),
    "$ref": st.sampled_from(["#/$defs/leaf", "#/$defs/list"]),
}


def schema_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    parts = {
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$"]), inner, max_size=2),
        "additionalProperties": inner,
        "propertyNames": inner,
        "items": inner,
        "prefixItems": several,
        "allOf": several,
        "anyOf": several,
        "oneOf": several,
    }
    return st.fixed_dictionaries({}, optional=parts).flatmap(
        lambda chosen: st.fixed_dictionaries({}, optional=LEAVES).map(lambda leaves: {**leaves, **chosen})
    )


SCHEMAS = st.recursive(
    st.one_of(st.booleans(), *(value.map(lambda found, name=name: {name: found}) for name, value in LEAVES.items())),
    schema_of,
    max_leaves=5,
)
DEFINITIONS = {"leaf": {"type": ["integer", "string"]}, "list": {"items": {"$ref": "#/$defs/list"}}}


@given(SCHEMAS, st.lists(VALUES, min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_validation_agrees_with_jsonschema(schema: Any, values: list[Any]) -> None:
    whole = {"allOf": [schema], "$defs": DEFINITIONS}
    theirs = jsonschema.Draft202012Validator(whole)
    for value in values:
        try:
            validate(value, whole)
        except InvalidRequestError:
            assert not theirs.is_valid(value), (schema, value)
        else:
            assert theirs.is_valid(value), (schema, value)
