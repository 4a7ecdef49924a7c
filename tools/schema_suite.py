"""Compares structures with the JSON-Schema-Test-Suite, beside llama.cpp's converter and llguidance.

    python tools/schema_suite.py FOLDER [--beside llama.cpp llguidance]

FOLDER has the tests of one draft as JSON files; the source distribution of ``jsonschema`` carries them in
``json/tests/draft2020-12``. For each schema that is not refused, every valid instance should be possible, and no
invalid one may be. Prints the counts, the reasons of refusals, and each instance that differs; 1 if an invalid one
is possible. llama.cpp's converter is built by ``make bench-tools``; llguidance is installed by who wants to compare.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from inllama import GrammarError
from inllama.testing import FakeEngine

CONVERTER = Path(__file__).resolve().parent.parent / "build" / "bench-tools" / "bin" / "bench-schema-grammar"

# Whether a text is possible as a whole.
Accepts: TypeAlias = Callable[[bytes], bool]
# Enforces a schema, or raises Refused.
Enforce: TypeAlias = Callable[[Any], Accepts]


class Refused(Exception):
    """The schema is not enforced; the text says why."""


def inllama_structures(open_things: ExitStack) -> Enforce:
    """Return how inllama enforces schemas."""
    engine = open_things.enter_context(FakeEngine())

    def enforce(schema: Any) -> Accepts:
        try:
            return engine.structure("json_schema", json.dumps(schema)).accepts
        except GrammarError as error:
            raise Refused(error.message.partition(": ")[2]) from error

    return enforce


def llama_cpp_grammars(open_things: ExitStack) -> Enforce:
    """Return how the grammars of llama.cpp's converter do; whether a text follows one is told by inllama."""
    engine = open_things.enter_context(FakeEngine())
    converter = open_things.enter_context(
        subprocess.Popen([str(CONVERTER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    assert converter.stdin is not None
    assert converter.stdout is not None
    asks, answers = converter.stdin, converter.stdout

    def enforce(schema: Any) -> Accepts:
        asks.write(json.dumps(schema) + "\n")
        asks.flush()
        answer = json.loads(answers.readline())
        if "error" in answer:
            raise Refused(answer["error"])
        try:
            return engine.structure("grammar", answer["grammar"]).accepts
        except GrammarError as error:
            raise Refused(f"its grammar is none: {error.message}") from error

    return enforce


def llguidance_matchers(open_things: ExitStack) -> Enforce:
    """Return how llguidance does, over tokens of one byte."""
    del open_things
    llguidance = import_module("llguidance")

    tokenizer = llguidance.LLTokenizer("byte")

    def enforce(schema: Any) -> Accepts:
        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
        except ValueError as error:
            raise Refused(str(error)) from error
        first = llguidance.LLMatcher(tokenizer, grammar)
        if first.is_error():
            raise Refused(first.get_error())

        def accepts(text: bytes) -> bool:
            matcher = first.deep_copy()
            return bool(matcher.try_consume_tokens(list(text)) == len(text) and matcher.is_accepting())

        return accepts

    return enforce


ENGINES = {"llama.cpp": llama_cpp_grammars, "llguidance": llguidance_matchers}


@dataclass
class Report:
    """What came of the suite.

    Attributes:
        schemas: Schemas that are enforced.
        refused: Reasons of the others.
        valid: Valid instances that are possible.
        invalid: Invalid instances that are not.
        missing: Valid instances that are not possible.
        broken: Invalid instances that are possible.
    """

    schemas: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    valid: int = 0
    invalid: int = 0
    missing: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def groups(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the groups of tests, with the name of their file."""
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8")):
            yield path.stem, group


def compare(folder: Path, enforce: Enforce) -> Report:
    """Return how an engine and the suite agree."""
    report = Report()
    for name, group in groups(folder):
        try:
            accepts = enforce(group["schema"])
        except Refused as error:
            report.refused[f"{name}: {error}"] += 1
            continue
        report.schemas += 1
        for test in group["tests"]:
            text = json.dumps(test["data"], ensure_ascii=False, separators=(",", ":"))
            is_possible = accepts(text.encode("utf-8", "surrogatepass"))
            place = f"{name}: {group['description']}: {test['description']}: {text[:80]}"
            if test["valid"]:
                report.valid += is_possible
                report.missing += [] if is_possible else [place]
            else:
                report.invalid += not is_possible
                report.broken += [place] if is_possible else []
    return report


def show(title: str, report: Report) -> None:
    """Print the counts of one engine."""
    n_valid, n_invalid = report.valid + len(report.missing), report.invalid + len(report.broken)
    print(
        f"{title}: {report.schemas} schemas enforced, {report.refused.total()} refused; of their instances "
        f"{report.valid} of {n_valid} valid ones possible, {report.invalid} of {n_invalid} invalid ones refused"
    )


def main() -> int:
    """Print the reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--beside", nargs="+", choices=ENGINES, default=[], help="count these too")
    parsed = parser.parse_args()
    with ExitStack() as open_things:
        report = compare(parsed.folder, inllama_structures(open_things))
        beside = {name: compare(parsed.folder, ENGINES[name](open_things)) for name in parsed.beside}
    for title, lines in (("not possible although valid", report.missing), ("POSSIBLE ALTHOUGH INVALID", report.broken)):
        for line in lines:
            print(f"{title}: {line}")
    for reason, count in report.refused.most_common():
        print(f"refused {count}: {reason}")
    show("inllama", report)
    for name, other in beside.items():
        show(name, other)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
