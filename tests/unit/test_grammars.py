"""GBNF as structures: llama.cpp's own grammars, dangerous ones, and what runs on llama.cpp's sampler instead."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inllama import GrammarError, UnsupportedError
from inllama.testing import FakeEngine

ROOT = Path(__file__).resolve().parents[2]


def grammars() -> Path:
    """Return the folder of grammars in the pinned tree."""
    spec = importlib.util.spec_from_file_location("llama_source", ROOT / "tools" / "llama_source.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder: Path = module.source_dir() / "grammars"
    return folder


# Texts that each of them allows, and texts that it does not.
SAMPLES: dict[str, tuple[list[str], list[str]]] = {
    "arithmetic": (["a +b= 3\n", "x=( 1 *y) \nz=2\n", "a=1\n"], ["a + b=3\n", "a=1", "=\n", "A=1\n"]),
    "c": (
        ["", "int f(){}", "int main(char c){int x = 1;return x;}", "float f(){// hi\n/* a*b */}"],
        ["int f()", "int f(){x}", "main(){}", "int f(){}}"],
    ),
    "chess": (
        ["1. e4 e5\n2. Nf3 Nc6\n", "1. O-O Qxd8+\n12. exd8=Q O-O-O#\n"],
        ["1. e4 e5\n", "2. e4 e5\n", "1. e9 e5\n2. a1 a2\n"],
    ),
    "english": (["Hello, [world]\\ it's~", "a\nb"], ["", " a", "a  b", "ä"]),
    "japanese": (["こんにちは", "日本、カタカナ 語"], ["hello", "", "あa"]),
    "json": (
        ['{"a": [1, -2.5e1, true, null], "b": {"c": "d\\n\\u00e4"}}', "{}", "{\n  }"],
        ["[]", '{"a"}', '{"a": 01}', '{"a": "\n"}', '{"a": 1'],
    ),
    "json_arr": (["[\n]", '[\n{"a": 1},\n[2, 3]]'], ["[]", "{}", "[\n1, 2]"]),
    "list": (["- a\n", "- a b\n- ä\n"], ["", "- a", "a\n", "- \n", "- a\rb\n", "- \u2028\n"]),
}


@pytest.fixture(scope="module", name="engine")
def module_engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        yield engine


def test_every_grammar_of_the_pinned_tree_has_samples() -> None:
    if not grammars().exists():
        pytest.skip("the pinned tree is not in the cache")
    assert {path.stem for path in grammars().glob("*.gbnf")} == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_grammar_of_the_pinned_tree_allows_and_refuses(engine: FakeEngine, name: str) -> None:
    path = grammars() / f"{name}.gbnf"
    if not path.exists():
        pytest.skip("the pinned tree is not in the cache")
    structure = engine.structure("grammar", path.read_text(encoding="utf-8"))
    assert structure.is_compiled
    allowed, refused = SAMPLES[name]
    for text in allowed:
        assert structure.accepts(text.encode()), text
    for text in refused:
        assert not structure.accepts(text.encode()), text


@pytest.mark.parametrize(
    ("grammar", "allowed", "refused"),
    [
        ('root ::= "a"{2,3} [^b]', ["aac", "aaac", "aaä"], ["ac", "aab", "aaaac"]),
        ("root ::= .", ["x", "\n", "😀"], ["", "xy"]),
        ('root ::= "a"* "b"+ "c"?', ["b", "aabbc"], ["a", "cc"]),
        ('root ::= ("a"{2}){2} "."', ["aaaa."], ["aaa."]),
        ("root ::= [\\x41-\\x43\\u00e4-]", ["A", "C", "ä", "-"], ["D"]),
        ('root ::= "" | "x" root', ["", "xxx"], ["y"]),
        ('root ::= 9a\n9a ::= "n" true\ntrue ::= "t"', ["nt"], ["t"]),
        ('root ::= "(" root ")" root | ""', ["", "()", "(())()"], ["(", ")("]),
        ('root ::= "\\x00\\t"', ["\0\t"], ["\t"]),
    ],
)
def test_parts_of_gbnf_mean_the_same(engine: FakeEngine, grammar: str, allowed: list[str], refused: list[str]) -> None:
    structure = engine.structure("grammar", grammar)
    assert all(structure.accepts(text.encode()) for text in allowed)
    assert not any(structure.accepts(text.encode()) for text in refused)


def test_a_token_of_a_grammar_is_that_token(engine: FakeEngine) -> None:
    source = engine.structure("grammar", 'root ::= "a" <[98]>').start()
    assert source.accept(ord("a"))
    assert not source.accept(ord("c"))
    assert source.accept(ord("b"))
    assert source.can_end


DANGEROUS = {
    "parentheses": "root ::= " + "(" * 60_000 + '"a"' + ")" * 60_000,
    "repetition": 'root ::= "a"{0,1000000000}',
    "repetition_of_repetitions": 'root ::= (("a"{0,1000}){0,1000}){0,1000}',
    "left_recursion": 'root ::= root "a" | "b"',
    "hidden_left_recursion": 'root ::= a "x"\na ::= b\nb ::= "" root',
    "chain": "root ::= r0\n" + "\n".join(f"r{i} ::= r{i + 1}" for i in range(5000)) + '\nr5000 ::= "a"',
    "alternatives": "root ::= " + " | ".join(f'"{i}" root' for i in range(60_000)),
    "size": 'root ::= "' + "a" * (1 << 21) + '"',
}


@pytest.mark.parametrize("name", DANGEROUS)
def test_dangerous_structures_are_refused(engine: FakeEngine, name: str) -> None:
    started = time.perf_counter()
    with pytest.raises(GrammarError) as caught:
        engine.structure("grammar", DANGEROUS[name])
    assert (caught.value.line, caught.value.column) >= (1, 1)
    assert time.perf_counter() - started < 5
    assert engine.structure("grammar", 'root ::= "a"').accepts(b"a")


# Sound, but hard for somebody who tries one reading after the other.
HARD = {
    "many_readings": 'root ::= "a" root "a" | "a" root "b" | ""',
    "ambiguous_stars": 'root ::= ("a" | "aa" | "aaa")* ("a" | "aa")* "."',
    "same_beginnings": "root ::= " + " | ".join(f'"aaaaaaaaaaaa{i}"' for i in range(2000)),
    "long_repetition": "root ::= [a-z]{0,2000}",
    "nested_repetitions": 'root ::= ([a-z]{0,40} "."){0,40}',
}


@pytest.mark.parametrize("name", HARD)
def test_hard_grammars_are_followed_in_time(engine: FakeEngine, name: str) -> None:
    started = time.perf_counter()
    source = engine.structure("grammar", HARD[name]).start()
    assert time.perf_counter() - started < 5
    for _ in range(12 if name == "same_beginnings" else 40 if name == "nested_repetitions" else 1000):
        source.fill()
        assert source.accept(ord("a"))
    assert time.perf_counter() - started < 10


def test_the_cache_of_structures_is_bounded() -> None:
    with FakeEngine() as engine:
        for i in range(100):
            engine.structure("grammar", f'root ::= "{i}" [a-z]{{1,200}} "{i}"')
            compiled, found, n_bytes = engine.structure_counts
            assert n_bytes <= 4 << 20
        assert (compiled, found) == (100, 0)
        engine.structure("grammar", 'root ::= "99" [a-z]{1,200} "99"')
        assert engine.structure_counts[:2] == (100, 1)


@pytest.mark.parametrize("grammar", ["root ::= !<[65]>", "root ::= <[256]>", 'root ::= "a"\nroot ::= "b"'])
def test_what_masks_cannot_be_made_of_is_never_left_out(engine: FakeEngine, grammar: str) -> None:
    with pytest.raises(UnsupportedError, match="only llama"):
        engine.structure("grammar", grammar)
