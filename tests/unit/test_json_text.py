"""JSON is read strictly, and a place in it has one spelling."""

from __future__ import annotations

import pytest

from inllama import InvalidRequestError
from inllama.json_text import child, loads


def test_value_is_read() -> None:
    assert loads(' {"a": [1, 2.5, "é", null, true]} ', "the text") == {"a": [1, 2.5, "é", None, True]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value at line 1 column 1"),
        ('{"a":\n  1,}', "at line 2 column"),
        ("1 2", "Extra data at line 1 column 3"),
        ("[NaN]", "NaN, which is no number"),
        ("-Infinity", "-Infinity, which is no number"),
        ("1e999", "the number 1e999 is too large"),
        ("1" * 5000, "no JSON"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the name 'c' twice"),
        ('"a\nb"', "Invalid control character"),
        ('"\\x"', "Invalid \\escape"),
    ],
)
def test_text_that_is_no_json_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        loads(text, "the output")
    assert str(caught.value).startswith("the output is no JSON: ")
    assert problem in str(caught.value)


def test_error_says_line_and_column() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        loads('{\n "a" 1}', "x")
    assert (caught.value.line, caught.value.column) == (2, 6)


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(InvalidRequestError, match="the output is nested too deeply"):
        loads("[" * 200_000, "the output")


def test_pointer_escapes_its_separators() -> None:
    assert child(child(child("", "a/b"), 3), "c~d") == "/a~1b/3/c~0d"
