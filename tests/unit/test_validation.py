"""Values are checked against schemas: the subset that generation follows, the first violation, bounded work."""

from __future__ import annotations

import time
from typing import Any

import pytest

from inllama import InvalidRequestError, UnsupportedError
from inllama.validation import MAX_DEPTH, equal, validate

# Schema, values that fit, and values that do not, with the pointer and keyword of the first violation.
CASES: list[tuple[Any, list[Any], list[tuple[Any, str, str]]]] = [
    (True, [None, 1], []),
    (False, [], [(1, "", "false")]),
    ({"type": "null"}, [None], [(0, "", "type"), ("", "", "type"), (False, "", "type")]),
    ({"type": "boolean"}, [True, False], [(1, "", "type"), (0, "", "type")]),
    ({"type": "integer"}, [1, -3, 1.0, 10**30], [(1.5, "", "type"), (True, "", "type"), ("1", "", "type")]),
    ({"type": "number"}, [1, 1.5], [(True, "", "type"), (float("nan"), "", "type"), (float("inf"), "", "type")]),
    ({"type": "string"}, ["", "a"], [(None, "", "type")]),
    ({"type": "array"}, [[], [1]], [({}, "", "type"), ((1,), "", "type")]),
    ({"type": "object"}, [{}], [([], "", "type")]),
    ({"type": ["string", "null"]}, ["a", None], [(1, "", "type")]),
    ({"enum": [1, "a", None, [1, {"b": 2}]]}, [1, 1.0, None, [1, {"b": 2.0}]], [(True, "", "enum"), ([1], "", "enum")]),
    ({"const": False}, [False], [(0, "", "const"), (None, "", "const")]),
    ({"const": {"a": 1}}, [{"a": 1}], [({"a": 1, "b": 2}, "", "const")]),
    ({"minimum": 2, "maximum": 3.5}, [2, 3.5, "a", True], [(1.9, "", "minimum"), (4, "", "maximum")]),
    ({"exclusiveMinimum": 2, "exclusiveMaximum": 3}, [2.5], [(2, "", "exclusiveMinimum"), (3, "", "exclusiveMaximum")]),
    ({"multipleOf": 0.1}, [0.3, 7, "a"], [(0.35, "", "multipleOf")]),
    ({"multipleOf": 3}, [9, 0, 3.0], [(10, "", "multipleOf")]),
    ({"minLength": 2, "maxLength": 3}, ["ab", "é😀x", 1], [("a", "", "minLength"), ("abcd", "", "maxLength")]),
    ({"pattern": "^a+$"}, ["aa", 3], [("ab", "", "pattern"), ("a\n", "", "pattern")]),
    ({"format": "date"}, ["2024-02-29", 3], [("2023-02-29", "", "format")]),
    ({"minItems": 1, "maxItems": 2}, [[1], {}], [([], "", "minItems"), ([1, 2, 3], "", "maxItems")]),
    ({"items": {"type": "integer"}}, [[], [1, 2], "a"], [([1, "a", None], "/1", "type")]),
    (
        {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
        [[], [1], [1, "a"]],
        [([1, 2], "/1", "type"), ([1, "a", 2], "", "items")],
    ),
    ({"prefixItems": [{"type": "integer"}], "items": {"type": "null"}}, [[1, None]], [([1, 2], "/1", "type")]),
    (
        {"minProperties": 1, "maxProperties": 1},
        [{"a": 1}],
        [({}, "", "minProperties"), ({"a": 1, "b": 2}, "", "maxProperties")],
    ),
    ({"required": ["a", "b"]}, [{"a": 1, "b": None}, []], [({"a": 1}, "", "required")]),
    (
        {"properties": {"a": {"type": "integer"}}, "additionalProperties": False},
        [{}, {"a": 1}],
        [({"a": "x"}, "/a", "type"), ({"b": 1}, "", "additionalProperties")],
    ),
    ({"additionalProperties": {"type": "string"}}, [{"a": "b"}], [({"a/b": 1}, "/a~1b", "type")]),
    (
        {"patternProperties": {"^n_": {"type": "integer"}, "x$": {"minimum": 5}}, "additionalProperties": False},
        [{"n_x": 7}],
        [({"n_a": "b"}, "/n_a", "type"), ({"n_x": 1}, "/n_x", "minimum"), ({"b": 1}, "", "additionalProperties")],
    ),
    ({"propertyNames": {"maxLength": 2}}, [{"ab": 1}, 3], [({"abc": 1}, "", "propertyNames")]),
    ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, [2], [(0, "", "minimum"), (4, "", "maximum")]),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, ["a", None], [(1, "", "anyOf")]),
    ({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, [2, 3], [(6, "", "oneOf"), (5, "", "oneOf")]),
    (
        {
            "$ref": "#/$defs/node",
            "$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}, "maxProperties": 1}},
        },
        [{}, {"next": {"next": {}}}],
        [({"next": {"a": 1, "b": 2}}, "/next", "maxProperties")],
    ),
    ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"const": 1}}}, [1], [(2, "", "const")]),
    ({"anyOf": [{"$ref": "#/anyOf/1"}, {"const": 1}]}, [1], [(2, "", "anyOf")]),
    (
        {"type": "integer", "$ref": "#/$defs/a", "$defs": {"a": {"minimum": 1}}},
        [1],
        [(0, "", "minimum"), (1.5, "", "type")],
    ),
    ({"title": "t", "description": "d", "default": 1, "examples": [], "$comment": "c"}, [3], []),
]
GOOD = [(schema, value) for schema, values, _ in CASES for value in values]
BAD = [(schema, *violation) for schema, _, violations in CASES for violation in violations]


@pytest.mark.parametrize(("schema", "value"), GOOD)
def test_value_fits(schema: Any, value: Any) -> None:
    validate(value, schema)


@pytest.mark.parametrize(("schema", "value", "pointer", "keyword"), BAD)
def test_violation_is_named(schema: Any, value: Any, pointer: str, keyword: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        validate(value, schema)
    assert (caught.value.pointer, caught.value.keyword) == (pointer, keyword)


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    [
        ({"type": ["string", "null"]}, 3, "the arguments is 3, which is no string or null"),
        ({"properties": {"a": {"minimum": 2}}}, {"a": 1}, "the arguments at /a is 1 but must be at least 2"),
        ({"minItems": 2}, [1], "the arguments has 1 items but must have at least 2"),
        ({"required": ["a"]}, {}, "the arguments has no 'a'"),
        ({"additionalProperties": False}, {"x": 1}, "the arguments has 'x', which is not allowed there"),
        ({"unevaluatedProperties": False}, {"x": 1}, "the arguments has 'x', which is not allowed there"),
        ({"prefixItems": [{}], "unevaluatedItems": False}, [1, 2], "the arguments has 2 items but must have at most 1"),
        ({"uniqueItems": True}, [1, [2], 3, [2.0]], "the arguments has [2.0] twice"),
        ({"enum": ["a", "b"]}, "c", 'the arguments is "c", which is none of ["a", "b"]'),
        ({"const": 1}, "x" * 500, 'the arguments is "' + "x" * 59 + "… but must be 1"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "the arguments is 1, which fits none of 2 alternatives"),
    ],
)
def test_error_says_what_is_wrong_and_what_would_be_right(schema: Any, value: Any, text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        validate(value, schema, what="the arguments")
    assert str(caught.value) == text


def test_violation_of_a_union_is_that_of_the_alternative_that_fits_best() -> None:
    optional = {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"a": {"type": "integer"}}}]}
    with pytest.raises(InvalidRequestError) as caught:
        validate({"b": {"a": "x"}}, {"properties": {"b": optional}})
    assert caught.value.pointer == "/b/a"


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {}},
        {"if": {}, "then": {}},
        {"contains": {}},
        {"dependentRequired": {}},
        {"unevaluatedProperties": False, "anyOf": [True]},
        {"unevaluatedItems": False, "$ref": "#"},
        {"$dynamicRef": "#a"},
        {"minimun": 3},
        {"format": "color"},
        {"pattern": "(?=a)"},
        {"properties": {"a": {"not": {}}}},
    ],
)
def test_what_is_not_checked_is_refused(schema: Any) -> None:
    with pytest.raises(UnsupportedError):
        validate({"a": 1} if "properties" in schema else "x", schema)


@pytest.mark.parametrize("reference", ["http://example.org/a", "b.json#/a", "#anchor", "#/$defs/none", "#/$defs/a/5"])
def test_reference_that_leaves_the_schema_is_refused(reference: str) -> None:
    with pytest.raises(UnsupportedError, match=r"leaves the schema|names nothing"):
        validate(1, {"$ref": reference, "$defs": {"a": [1]}})


@pytest.mark.parametrize(
    "schema",
    [
        3,
        {"type": "text"},
        {"type": [["string"]]},
        {"type": 1},
        {"enum": 1},
        {"minimum": "1"},
        {"minimum": True},
        {"properties": []},
        {"items": [{}]},
        {"required": "a"},
        {"anyOf": {}},
        {"allOf": [3]},
        {"pattern": 1},
        {"$ref": 1},
    ],
)
def test_malformed_schema_is_refused(schema: Any) -> None:
    with pytest.raises(UnsupportedError):
        validate("x", schema)


def deep(n: int) -> Any:
    value: Any = {}
    for _ in range(n):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"$ref": "#"}, 1),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}, 1),
        ({"properties": {"a": {"$ref": "#"}}}, deep(5_000)),
    ],
)
def test_depth_is_bounded(schema: Any, value: Any) -> None:
    with pytest.raises(UnsupportedError, match=f"go deeper than {MAX_DEPTH} levels"):
        validate(value, schema)


def test_deep_schema_is_refused() -> None:
    schema: Any = {"const": 1}
    for _ in range(10_000):
        schema = {"allOf": [schema]}
    with pytest.raises(UnsupportedError, match=f"go deeper than {MAX_DEPTH} levels"):
        validate(1, schema)


def test_end_of_the_stack_is_an_error_of_ours() -> None:
    def dive(n: int) -> None:
        if n:
            dive(n - 1)
        else:
            validate(deep(50), {"properties": {"a": {"$ref": "#"}}})

    def dive_to_the_end() -> None:
        for n in range(0, 1_000, 10):
            dive(n)

    with pytest.raises(UnsupportedError, match="nested too deeply to be checked here"):
        dive_to_the_end()


def test_work_is_bounded() -> None:
    definitions = {f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**definitions, "a40": {"const": 1}}}
    started = time.perf_counter()
    with pytest.raises(UnsupportedError, match="more than 200000 steps"):
        validate(2, schema)
    assert time.perf_counter() - started < 10


def test_keywords_over_the_same_members_do_not_multiply_the_work() -> None:
    schema: Any = {"const": 1}
    for _ in range(30):
        schema = {"properties": {"a": schema}, "patternProperties": {"^b": True}, "additionalProperties": False}
    value: Any = 1
    for _ in range(30):
        value = {"a": value}
    validate(value, schema)


def test_number_of_any_size_is_checked() -> None:
    validate(10**6_000, {"type": "integer", "minimum": 1, "multipleOf": 10})
    with pytest.raises(InvalidRequestError, match="is … but must be at most 3"):
        validate(10**6_000, {"maximum": 3})


def test_pattern_cannot_hang() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        validate("a" * 10_000 + "!", {"pattern": "^(a+)+$"})
    assert caught.value.keyword == "pattern"


def test_equality_is_that_of_json_at_any_depth() -> None:
    assert equal(deep(5_000), deep(5_000))
    assert not equal({"a": [1, True]}, {"a": [1, 1]})
    assert not equal([1], {"0": 1})
    assert equal({"a": 1, "b": 2.0}, {"b": 2, "a": 1.0})
