"""Patterns of schemas: the same answers as Python's ``re`` where that is right, in bounded time."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inllama import UnsupportedError
from inllama.patterns import MAX_STATES, Pattern, compiled

SHORT = ["".join(letters) for n in range(5) for letters in itertools.product("ab-", repeat=n)]
PATTERNS = re.split(
    r"\s+",
    """
    a  ^a$  a|b  ^(a|b)*$  (ab)+  ^a{2,3}$  ^a{2,}$  ^a{0}b$  ^a{0,2}b$  [ab]$  [^a]  ^[^ab]$  ^$  a?b  ^(a+)+$
    (a|ab)(b|a-)  ^(?:a|b){2}-?$  ^[ab]*?-  ()  (|a)b  ^(a{2}){2}$  ^(a|-|)b$  ^((a|b)-){1,2}$  (a*)*b  ^(?:(a|b)?-)*$
    ^a|b$  ^(?<name>a)b  [a-]  [-a]  ^.{3}$  ^(a|b)(a|b)$  (a|b)*-
""".strip(),
)


def reference(pattern: str) -> re.Pattern[str]:
    """Return what Python makes of it, with an end that is the end."""
    return re.compile(pattern.replace("$", r"\Z").replace("(?<", "(?P<"))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_finds_what_python_finds(pattern: str) -> None:
    ours, theirs = Pattern(pattern), reference(pattern)
    assert [text for text in SHORT if ours.search(text)] == [text for text in SHORT if theirs.search(text)]


def parts() -> st.SearchStrategy[str]:
    atoms = st.sampled_from(["a", "b", "-", ".", "[ab]", "[^a]", "^", "$", "(?:)"])
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map("".join),
            st.lists(inner, min_size=1, max_size=3).map(lambda found: f"(?:{'|'.join(found)})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}"])).map(
                lambda both: f"(?:{both[0]}){both[1]}"
            ),
        ),
        max_leaves=6,
    )


@given(parts(), st.lists(st.text("ab-", max_size=6), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_random_pattern_finds_what_python_finds(pattern: str, texts: list[str]) -> None:
    ours, theirs = Pattern(pattern), reference(pattern)
    for text in texts:
        assert ours.search(text) == bool(theirs.search(text)), (pattern, text)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"^\d$", "7", "٣"),
        (r"^\w$", "_", "é"),
        (r"^\s$", "\u2003", "x"),
        (r"^\D\W\S$", "a-b", "1ab"),
        (r"^a$", "a", "a\n"),
        (r"^.$", "é", "\u2028"),
        (r"^\u00e9\x41\u{1F600}$", "éA😀", "éA"),
        (r"^[\t\n\-\]\\]+$", "\t\n-]\\", "a"),
        (r"^[\d_]+$", "1_2", "1a"),
        (r"^[^\d]$", "a", "1"),
        ("^[^]$", "\n", ""),
        (r"^\.\/\$$", "./$", "a/$"),
    ],
)
def test_classes_and_escapes_are_those_of_ecma(pattern: str, yes: str, no: str) -> None:
    assert Pattern(pattern).search(yes)
    assert not Pattern(pattern).search(no)


def test_empty_class_matches_nothing() -> None:
    assert not Pattern("[]").search("[]")


@pytest.mark.parametrize(
    ("pattern", "problem", "position"),
    [
        ("(a", "a '(' that is not closed", 0),
        ("a)", "a ')' that closes nothing", 1),
        ("*a", "a '*' with nothing to repeat", 0),
        ("a**", "two quantifiers in a row", 2),
        ("^*", "a repeated anchor", 1),
        ("[a", "no end of a '['", 2),
        ("[b-a]", "a range that is none", 0),
        (r"[\d-z]", "a range that is none", 0),
        ("a{x}", "a '{' that is no repetition up to 99999", 1),
        ("a{2", "a '{' that is no repetition up to 99999", 1),
        ("a{3,2}", "limits are the wrong way round", 1),
        ("(?=a)b", "a group that begins with '(?=a'", 0),
        ("(?<!a)b", "a group that begins with '(?<!'", 0),
        (r"(a)\1", r"the escape '\1'", 3),
        (r"\bword", r"the escape '\b'", 0),
        (r"\p{L}", r"the escape '\p'", 0),
        (r"\u12", "an escape that is no code point", 0),
        (r"\u{110000}", "an escape that is no code point", 0),
        ("a\\", "no end of an escape", 2),
    ],
)
def test_pattern_that_cannot_be_checked_is_refused(pattern: str, problem: str, position: int) -> None:
    with pytest.raises(UnsupportedError) as caught:
        Pattern(pattern)
    assert problem in str(caught.value)
    assert (caught.value.pattern, caught.value.position) == (pattern, position)


@pytest.mark.parametrize("pattern", ["(a{1000}){1000}", "a{99999}", "(" * 60_000 + ")" * 60_000, "(a?){99999}"])
def test_large_pattern_is_refused_in_time(pattern: str) -> None:
    started = time.perf_counter()
    with pytest.raises(UnsupportedError, match=rf"more than ({MAX_STATES} states|100 nested groups)"):
        Pattern(pattern)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(a*)*$", "^(.*a){8}$", "(x+x+)+y"])
def test_patterns_that_hang_elsewhere_take_linear_time(pattern: str) -> None:
    started = time.perf_counter()
    assert not Pattern(pattern).search("a" * 20_000 + "!")
    assert not Pattern(pattern).search("x" * 20_000)
    assert time.perf_counter() - started < 5


def test_work_that_is_too_much_is_refused() -> None:
    text = "".join(chr(0x4E00 + n % 20_000) for n in range(20_000))  # no character twice in a row of states
    with pytest.raises(UnsupportedError, match="takes too long on a text of 20000 characters"):
        Pattern("(?:.?){1000}!").search(text)


def test_pattern_is_compiled_once() -> None:
    assert compiled("^abc$") is compiled("^abc$")
