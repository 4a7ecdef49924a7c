"""Regular expressions as structures: the same texts as Python's ``re``, and refused with the place."""

from __future__ import annotations

import itertools
import random
import re
import time
from collections.abc import Iterator

import pytest

from inllama import GrammarError
from inllama.testing import FakeEngine


@pytest.fixture(scope="module", name="engine")
def module_engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        yield engine


# Small alphabets, so that all short texts can be tried.
PATTERNS = [
    "",
    "a",
    "ab|ba",
    "a*",
    "a+b?",
    "(a|b)*",
    "(ab)+",
    "a{2}",
    "a{2,}",
    "a{1,3}b",
    "(a{2}|b){2}",
    "(?:a|)b",
    "(?P<name>a)b",
    "(?<name>a)b",
    "[ab]",
    "[^a]",
    "[a-b]c",
    "[^\\s]",
    "[^\\d]",
    "[\\d_]+",
    "a.b",
    "a\\.b",
    "\\d\\d",
    "\\w+",
    "\\s",
    "\\S\\W?",
    "\\x61\\u0062",
    "^ab$",
    "^a|b$",
    "a??b",
    "a*?b",
    "(a+)+",
    "(a*)*b",
    "(a?)+",
    "((a|b)*c)*",
    "(a*b*)*",
    "[a\\]]",
    "{a}",
    "a{b",
    "(a{2,})+",
    "(a{3,})*",
    "|a",
    "a||b",
    "\\n",
    "[\\n\\t]",
]
ALPHABET = "ab c.1_\n]{"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_regex_allows_the_texts_that_python_matches(engine: FakeEngine, pattern: str) -> None:
    structure = engine.structure("regex", pattern)
    expression = re.compile(pattern.replace("(?<name>", "(?P<name>"), re.ASCII)
    for n in range(4):
        for letters in itertools.product(ALPHABET, repeat=n):
            text = "".join(letters)
            # Python's '$' matches before a line end too.
            expected = expression.fullmatch(text) is not None
            assert structure.accepts(text.encode()) == expected, text
    for text in ("aaaa", "aaaaa", "aaaaaaaab", "abababab", "abcabc"):
        assert structure.accepts(text.encode()) == (expression.fullmatch(text) is not None), text


# Forms of repetition and of escapes by number; put together at random, they are also nonsense and references to groups.
ATOMS = r"a (a) [ab] \07 \7 \012 \101 \0 \08 \8 \377 \400 [\7a] [\1018] \x41 { }"
REPEATED = "* +? ? {2} {,2} {,} {1,} {,2}? {} {,a} {1,2 {2,1} {1}{2}"
NUMBERED = "aA{},2 \0\a\n8\xff"


@pytest.mark.parametrize("seed", range(12))
def test_repetitions_and_numbered_escapes_are_those_of_python(engine: FakeEngine, seed: int) -> None:
    numbers = random.Random(seed)
    atoms, repeated = ATOMS.split(), ["", "", "{ 1}", *REPEATED.split()]
    texts = ["".join(letters) for n in range(3) for letters in itertools.product(NUMBERED, repeat=n)]
    n_accepted = 0
    for _ in range(40):
        parts = [numbers.choice(atoms) + numbers.choice(repeated) for _ in range(numbers.choice((1, 1, 2)))]
        pattern = "".join(parts)
        try:
            structure = engine.structure("regex", pattern)
        except GrammarError:
            continue  # references to groups, and what Python refuses too
        n_accepted += 1
        expression = re.compile(pattern, re.ASCII)
        for text in (*texts, "aaa", "aaaa", "a{,2}", "a{2", "{ 1}", "a{ 1}", "a{,a}", "AAA", "8a8", "\0008"):
            assert structure.accepts(text.encode()) == (expression.fullmatch(text) is not None), (pattern, text)
    assert n_accepted > 10


@pytest.mark.parametrize("pattern", ["a{,3}b", "a{,}", "\\07", "\\0", "\\101", "[\\7]", "[\\101-\\103]"])
def test_pythons_spellings_are_not_refused(engine: FakeEngine, pattern: str) -> None:
    structure = engine.structure("regex", pattern)
    for text in ("b", "aaab", "aaaab", "a{,3}b", "", "aa", "\a", "\0", "A", "C", "7", "\0007"):
        assert structure.accepts(text.encode()) == (re.fullmatch(pattern, text) is not None), text


def test_characters_beyond_ascii_are_characters(engine: FakeEngine) -> None:
    assert engine.structure("regex", "[ä-ö]😀.").accepts("ö😀x".encode())
    assert engine.structure("regex", "[^a]").accepts("ä".encode())
    assert not engine.structure("regex", "[^a]").accepts("ä".encode()[:1])
    assert not engine.structure("regex", "[^\\s]").accepts("\u2003".encode())


REFUSED = {
    "(": (1, 1, "no ')'"),
    "a)": (1, 2, "no '('"),
    "a\n(b": (2, 1, "no ')'"),
    "[a": (1, 1, "no ']'"),
    "*a": (1, 1, "nothing to repeat"),
    "a**": (1, 3, "nothing to repeat"),
    "a{2}{3}": (1, 8, "nothing to repeat"),
    "{2}": (1, 1, "nothing to repeat before '{'"),
    "a|{,3}": (1, 3, "nothing to repeat"),
    "a{3,2}": (1, 2, "ends below its start"),
    "a{0,1000000000}": (1, 2, "over the limit"),
    "(ab){0,99999}": (1, 1, "written out"),
    "(ab|c){0,200}": (1, 1, "over the limit of 128"),
    "(a{1,1000}){1,1000}": (1, 20, "over the limit of 128"),
    "a(?=b)": (1, 2, "lookaround"),
    "a(?!b)": (1, 2, "lookaround"),
    "(?<=a)b": (1, 1, "lookaround"),
    "(?<!a)b": (1, 1, "lookaround"),
    "(?i)a": (1, 1, "this kind of group"),
    "(a)\\1": (1, 4, "reference to a group"),
    "(a)\\18": (1, 4, "reference to a group"),
    "a\\400": (1, 2, "over \\377"),
    "\\bword": (1, 1, "word boundary"),
    "\\p{L}": (1, 1, "Unicode properties"),
    "a^b": (1, 2, "'^' stands behind the start"),
    "a$b": (1, 2, "'$' stands before the end"),
    "(a$)": (1, 3, "'$' inside parentheses"),
    "[b-a]": (1, 3, "swap"),
    "[]": (1, 1, "empty class"),
    "[[:alpha:]]": (1, 2, "POSIX"),
    "\\": (1, 1, "no escape"),
    "\\y": (1, 1, "no escape"),
    "\\ud800": (1, 1, "hexadecimal"),
    "\\u12": (1, 1, "hexadecimal"),
    "a++": (1, 3, "possessive"),
    "[^\\d\\D]": (1, 8, "no character"),
    "(" * 60_000: (1, 65, "nested more than 64 deep"),
    "a" * 70_000: (1, 1, "70000 characters"),
}


@pytest.mark.parametrize("pattern", REFUSED, ids=[pattern[:20] for pattern in REFUSED])
def test_what_no_automaton_can_decide_is_refused_with_its_place(engine: FakeEngine, pattern: str) -> None:
    line, column, text = REFUSED[pattern]
    with pytest.raises(GrammarError) as caught:
        engine.structure("regex", pattern)
    assert text in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize("pattern", ["(a+)+", "(a|a)*", "(a|aa)+", "(a*)*", "(.*)*x", "((a+)+)+b"])
def test_ambiguous_expressions_take_no_time(engine: FakeEngine, pattern: str) -> None:
    source = engine.structure("regex", pattern).start()
    started = time.perf_counter()
    for _ in range(2000):
        assert source.accept(ord("a"))
        source.fill()
    assert time.perf_counter() - started < 2
