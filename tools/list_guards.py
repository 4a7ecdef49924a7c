"""Lists every GGML_ASSERT and GGML_ABORT that the public API can reach, and compares them with docs/guards.md.

    python tools/list_guards.py SOURCE_DIR [--json | --check docs/guards.md]

An assert's key is its file, enclosing function and condition, with an ordinal where a function repeats a
condition. It survives moved lines, so a difference after a new pin is an assert that came, went or changed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCES: tuple[tuple[str, str], ...] = (
    ("src/llama-context.cpp", ""),
    ("src/llama-batch.cpp", ""),
    ("src/llama-kv-cache*.cpp", ""),
    ("src/llama-memory*.cpp", ""),
    ("src/llama-graph.cpp", ""),
    ("src/llama-sampler.cpp", ""),
    ("src/llama-grammar.cpp", ""),
    ("src/llama-vocab.cpp", ""),
    ("src/llama-adapter.cpp", ""),
    ("ggml/src/ggml-cpu/ops.cpp", r"ggml_compute_forward_get_rows\w*"),
    ("ggml/src/ggml.c", r"ggml_get_rows"),
)
"""Files, as patterns below the source tree, and the functions that count in them; empty: all."""

_TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<directive>^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*)
  | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<word>[A-Za-z_]\w*)
  | (?P<mark>[{}();])
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_TYPE = re.compile(r"(?:^|[\s>])(?:namespace|struct|class|union|enum)\b\s*(?:class\s+)?([\w:]*)")
_NAME = re.compile(r"((?:[A-Za-z_]\w*(?:<[^<>()]*>)?::)*(?:~?[A-Za-z_]\w*|operator\W{1,2}))\s*$")


@dataclass(frozen=True, order=True)
class Guard:
    """One assert: the key is everything but the line."""

    file: str
    function: str
    condition: str
    ordinal: int = 1

    @property
    def label(self) -> str:
        """The function, with the ordinal from the second on."""
        return self.function if self.ordinal == 1 else f"{self.function} ({self.ordinal})"

    def __str__(self) -> str:
        return f"{self.file}: {self.label}: {self.condition}"


def without_comments(source: str) -> str:
    """`source` with comments and preprocessor lines blanked, every offset and line end kept."""

    def blank(match: re.Match[str]) -> str:
        if match.lastgroup in ("comment", "directive"):
            return re.sub(r"[^\n]", " ", match.group())
        return match.group()

    return _TOKEN.sub(blank, source)


def _close(source: str, start: int) -> int:
    """The offset behind the parenthesis that closes the one at `start`."""
    depth = 0
    for match in _TOKEN.finditer(source, start):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if depth == 0:
            return match.end()
    raise ValueError(f"unclosed parenthesis at offset {start}")


def _scope(statement: str, outer: list[str]) -> str:
    """What a brace opens after `statement`: "f name" a function, "t name" a type or namespace, "b" anything else."""
    if any(scope.startswith("f ") for scope in outer):
        return "b"
    head, depth = "", 0
    for character in statement:
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "(" and depth == 0:
            break
        if character == "=" and depth == 0 and not head.rstrip().endswith("operator"):
            return "b"
        head += character
    else:
        named = _TYPE.search(head)
        return f"t {named.group(1)}" if named else "b"
    name = _NAME.search(head)
    if name is None:
        return "b"
    types = [scope[2:] for scope in outer if scope.startswith("t ") and scope[2:]]
    return "f " + "::".join([*types, re.sub(r"\s+", "", name.group(1))])


def _found(source: str) -> Iterator[tuple[str, str]]:
    """Function and condition of every assert in `source`, which has no comments."""
    scopes: list[str] = []
    begins: list[int] = []
    begin = parentheses = skip_to = 0
    for match in _TOKEN.finditer(source):
        token = match.group()
        if match.start() < skip_to:
            continue
        if token in ("GGML_ASSERT", "GGML_ABORT"):
            opening = source.find("(", match.end())
            skip_to = _close(source, opening)
            condition = re.sub(r"\s+", " ", source[opening + 1 : skip_to - 1]).strip()
            function = next((scope[2:] for scope in reversed(scopes) if scope.startswith("f ")), "")
            yield function, condition if token == "GGML_ASSERT" else f"abort({condition})"
        elif token == "(":
            parentheses += 1
        elif token == ")":
            parentheses -= 1
        elif token == "{":
            scopes.append("b" if parentheses else _scope(source[begin : match.start()], scopes))
            begins.append(begin)
            begin = match.end()
        elif token == "}":
            scopes.pop()
            begin = begins.pop()
            goes_on = parentheses or source[match.end() :].lstrip()[:1] in (",", "{")
            begin = begin if goes_on else match.end()
        elif token == ";" and parentheses == 0:
            begin = match.end()
    if scopes:
        raise ValueError(f"{len(scopes)} brace(s) never close; the parser does not understand this file")


def parse(source: str, file: str, functions: str = "") -> list[Guard]:
    """The asserts of one file, in its order; only of functions that match `functions`, if that is given."""
    seen: Counter[tuple[str, str]] = Counter()
    guards = []
    for function, condition in _found(without_comments(source)):
        if functions and not re.fullmatch(functions, function):
            continue
        seen[function, condition] += 1
        guards.append(Guard(file, function, condition, seen[function, condition]))
    return guards


def read_source(tree: Path) -> list[Guard]:
    """The asserts of a llama.cpp tree. A pattern without any file is an error: the tree has moved its files."""
    guards = []
    for pattern, functions in SOURCES:
        paths = sorted(tree.glob(pattern))
        if not paths:
            raise FileNotFoundError(f"no {pattern} in {tree}")
        for path in paths:
            guards += parse(path.read_text(encoding="utf-8"), path.relative_to(tree).as_posix(), functions)
    return guards


def cells(line: str) -> list[str]:
    """The cells of a Markdown table row, unescaped and without code marks; empty for any other line."""
    if not line.startswith("|") or re.fullmatch(r"\|[-:| ]+\|", line.strip()):
        return []
    parts = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [part.strip().replace("\\|", "|").strip("`") for part in parts]


def to_row(values: Iterable[str]) -> str:
    """A Markdown table row; the inverse of `cells`."""
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


def read_table(text: str) -> dict[Guard, tuple[str, str]]:
    """Verdict and reason of every assert in docs/guards.md, which has a `## <file>` heading per table."""
    table: dict[Guard, tuple[str, str]] = {}
    file = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = re.match(r"## `?([\w./-]+\.(?:cpp|c))`?$", line)
            file = heading.group(1) if heading else ""
        row = cells(line)
        if not file or len(row) != 4 or row[0] == "function":
            continue
        label = re.fullmatch(r"(.*?)(?:`? \((\d+)\))?", row[0])
        assert label is not None
        guard = Guard(file, label.group(1), row[1], int(label.group(2) or 1))
        if guard in table:
            raise ValueError(f"two rows for {guard}")
        table[guard] = (row[2], row[3])
    return table


def differences(source: Iterable[Guard], table: Iterable[Guard]) -> list[str]:
    """What the table lacks and what it has too much; empty if it is right."""
    in_source, in_table = set(source), set(table)
    missing = [f"not in the table: {guard}" for guard in sorted(in_source - in_table)]
    gone = [f"not in the source: {guard}" for guard in sorted(in_table - in_source)]
    return missing + gone


def as_markdown(guards: Iterable[Guard]) -> Iterator[str]:
    """Empty tables for docs/guards.md, one per file."""
    file = ""
    for guard in guards:
        if guard.file != file:
            file = guard.file
            yield f"\n## {file}\n\n| function | condition | verdict | reason |\n| --- | --- | --- | --- |"
        suffix = "" if guard.ordinal == 1 else f" ({guard.ordinal})"
        yield to_row((f"`{guard.function}`{suffix}", f"`{guard.condition}`", "", ""))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path, help="a llama.cpp tree")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown tables")
    parser.add_argument("--check", type=Path, metavar="TABLE", help="compare with docs/guards.md instead of printing")
    options = parser.parse_args(arguments)
    guards = read_source(options.source)
    if options.check:
        wrong = differences(guards, read_table(options.check.read_text(encoding="utf-8")))
        print("\n".join(wrong) if wrong else f"{len(guards)} asserts, all in {options.check}")
        return 1 if wrong else 0
    if options.json:
        print(json.dumps([vars(guard) for guard in guards], indent=1))
    else:
        print("\n".join(as_markdown(guards)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
