"""Each keyword of JSON Schema is enforced as its table says, and everything else is refused with its place."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from schema_cases import CASES, REFUSED

from inllama import GrammarError, formats
from inllama.schema_check import check_schema
from inllama.structure.json_schema import schema_grammar, schema_text
from inllama.structure.keywords import ANNOTATIONS, ENFORCED, FORMATS, OF_TYPE, REMEDIES
from inllama.testing import FakeEngine
from inllama.validation import validate


@pytest.fixture(scope="module", name="engine")
def module_engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        yield engine


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


NUMBERED = [(f"{key}-{i}", *case) for key, cases in CASES.items() for i, case in enumerate(cases)]


@pytest.mark.parametrize(
    ("schema", "allowed", "refused"), [case[1:] for case in NUMBERED], ids=[c[0] for c in NUMBERED]
)
def test_keyword_allows_and_refuses(engine: FakeEngine, schema: Any, allowed: list[Any], refused: list[str]) -> None:
    structure = engine.structure("json_schema", schema)
    for value in allowed:
        assert structure.accepts(compact(value)), value
        assert structure.accepts(json.dumps(value, indent=2, ensure_ascii=False).encode()) or "enum" in str(schema), (
            value
        )
    for text in refused:
        assert not structure.accepts(text.encode()), text


@pytest.mark.parametrize(("schema", "allowed"), [case[1:3] for case in NUMBERED], ids=[c[0] for c in NUMBERED])
def test_what_can_be_generated_passes_the_check_of_arguments(schema: Any, allowed: list[Any]) -> None:
    check_schema(schema)
    for value in allowed:
        validate(value, schema)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_texts_of_a_format_pass_the_check_of_values(name: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(FORMATS[name], fullmatch=True, alphabet=st.characters(max_codepoint=127)))
    # An address may have longer parts than others read.
    assert formats.has_format(text, name), text


def test_numbers_that_no_float_holds_are_refused(engine: FakeEngine) -> None:
    for schema in ('{"enum": [1e999]}', '{"type": "integer", "enum": [1e999]}', '{"const": -1e999}'):
        with pytest.raises(GrammarError, match="too large"):
            engine.structure("json_schema", schema)


def test_every_enforced_keyword_has_cases() -> None:
    assert set(CASES) == set(ENFORCED)
    assert {case[0]["format"] for case in CASES["format"]} == set(FORMATS)


def test_tables_of_keywords_agree() -> None:
    assert not ANNOTATIONS & set(ENFORCED)
    assert not set(REMEDIES) & (ANNOTATIONS | set(ENFORCED))
    assert set().union(*OF_TYPE.values()) <= set(ENFORCED)


@pytest.mark.parametrize("name", REFUSED)
def test_schema_that_cannot_be_enforced_is_refused_with_its_place(engine: FakeEngine, name: str) -> None:
    schema, pointer, text = REFUSED[name]
    with pytest.raises(GrammarError) as caught:
        engine.structure("json_schema", schema)
    assert text in str(caught.value)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize("name", sorted(ANNOTATIONS - {"$id"}))
def test_annotations_change_nothing(name: str) -> None:
    plain = schema_grammar('{"type": "object", "properties": {"a": {"type": "string"}}}')
    noted = {"type": "object", "properties": {"a": {"type": "string", name: {}}}, name: {}}
    assert schema_grammar(schema_text(noted)) == plain


def test_a_schema_may_be_text_or_a_mapping(engine: FakeEngine) -> None:
    assert engine.structure("json_schema", '{"const": 1}').accepts(b"1")
    assert engine.structure("json_schema", {"const": 1}).accepts(b"1")


def test_white_space_is_possible_between_parts_and_bounded(engine: FakeEngine) -> None:
    structure = engine.structure("json_schema", {"properties": {"a": {"type": "array"}}})
    assert structure.accepts(b' {\n  "a": [\n    1,\n    2\n  ]\n}')
    assert not structure.accepts(b'{"a":' + b" " * 99 + b"[]}")
    assert not structure.accepts(b'{"a":[]}' + b"\n")


def test_schemas_of_the_same_properties_do_not_share_what_differs(engine: FakeEngine) -> None:
    def inner(kind: str) -> dict[str, Any]:
        return {"type": "object", "properties": {"title": {"type": kind}}, "required": ["title"]}

    structure = engine.structure("json_schema", {"prefixItems": [inner("string"), inner("integer")], "minItems": 2})
    assert structure.accepts(b'[{"title":"a"},{"title":1}]')
    assert not structure.accepts(b'[{"title":"a"},{"title":"b"}]')


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def circular() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array"}
    schema["items"] = schema
    return schema


# Large or malicious: refused or enforced, and in time.
HEAVY: dict[str, Any] = {
    "depth": nested(900),
    "depth_text": '{"items":' * 10_000 + "{}" + "}" * 10_000,
    "circular": circular(),
    "wide_any_of": {"anyOf": [{"const": f"value {i}"} for i in range(10_000)]},
    "wide_enum": {"enum": list(range(10_000))},
    "wide_one_of": {"oneOf": [{"const": i} for i in range(10_000)]},
    "wide_object": {"properties": {f"property_{i}": {"type": "integer"} for i in range(2_000)}},
    "long_const": {"const": "x" * (1 << 20)},
    "long_text": json.dumps({"description": "x" * (1 << 21)}),
    "all_of_products": {"allOf": [{"anyOf": [{"const": i} for i in range(50)]} for _ in range(10)]},
    "large_counts": {"type": "string", "minLength": 50_000, "maxLength": 100_000},
    "counts_of_counts": {"type": "array", "maxItems": 100_000, "items": {"type": "array", "maxItems": 100_000}},
    "ref_fan": {
        "$defs": {f"d{i}": {"prefixItems": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(100)}
        | {"d100": {"type": "null"}},
        "$ref": "#/$defs/d0",
    },
    "long_keys": {"properties": {"k" * 5_000: {}}, "additionalProperties": {"type": "integer"}},
    "pattern_repeats": {"pattern": "^(a{1,1000}){1,1000}$"},
    "pattern_ambiguous": {"pattern": "^(a+)+$"},
    "pattern_nested": {"pattern": "(" * 10_000 + ")" * 10_000},
}


@pytest.mark.parametrize("name", HEAVY)
def test_heavy_schemas_are_refused_or_enforced_in_time(engine: FakeEngine, name: str) -> None:
    started = time.perf_counter()
    with suppress(GrammarError):
        engine.structure("json_schema", HEAVY[name])
    assert time.perf_counter() - started < 5


def test_the_guide_has_the_table_of_keywords() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "structured-output.md").read_text(encoding="utf-8")
    for keyword, meaning in ENFORCED.items():
        assert f"| `{keyword}` | {meaning} |" in guide, keyword
