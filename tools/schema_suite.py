"""Compares structures with the JSON-Schema-Test-Suite.

    python tools/schema_suite.py FOLDER

FOLDER has the tests of one draft as JSON files; the source distribution of ``jsonschema`` carries them in
``json/tests/draft2020-12``. For each schema that is not refused, every valid instance should be possible, and no
invalid one may be. Prints the counts, the reasons of refusals, and each instance that differs; 1 if an invalid one
is possible.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inllama import GrammarError
from inllama.testing import FakeEngine


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


def compare(folder: Path) -> Report:
    """Return how structures and the suite agree."""
    report = Report()
    with FakeEngine() as engine:
        for name, group in groups(folder):
            try:
                structure = engine.structure("json_schema", json.dumps(group["schema"]))
            except GrammarError as error:
                report.refused[f"{name}: {error.message.partition(': ')[2]}"] += 1
                continue
            report.schemas += 1
            for test in group["tests"]:
                text = json.dumps(test["data"], ensure_ascii=False, separators=(",", ":"))
                is_possible = structure.accepts(text.encode("utf-8", "surrogatepass"))
                place = f"{name}: {group['description']}: {test['description']}: {text[:80]}"
                if test["valid"]:
                    report.valid += is_possible
                    report.missing += [] if is_possible else [place]
                else:
                    report.invalid += not is_possible
                    report.broken += [place] if is_possible else []
    return report


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    report = compare(parser.parse_args().folder)
    for title, lines in (("not possible although valid", report.missing), ("POSSIBLE ALTHOUGH INVALID", report.broken)):
        for line in lines:
            print(f"{title}: {line}")
    for reason, count in report.refused.most_common():
        print(f"refused {count}: {reason}")
    n_valid, n_invalid = report.valid + len(report.missing), report.invalid + len(report.broken)
    print(f"{report.schemas} schemas enforced, {report.refused.total()} refused")
    print(f"valid instances possible: {report.valid} of {n_valid}; invalid refused: {report.invalid} of {n_invalid}")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
