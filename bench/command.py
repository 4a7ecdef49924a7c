"""The command line of a group of cases."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import RESULTS, Case, print_table, write_result

Measure = Callable[[int], list[Case]]


def run(description: str | None, groups: Mapping[str, Measure], result: str, n_rounds: int) -> int:
    """Measure, print a table and write the result file.

    Args:
        description: For the help.
        groups: Functions that measure so many rounds, by name.
        result: Name of the result file.
        n_rounds: Unless told otherwise.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=n_rounds, help="interleaved rounds of each case (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=groups, default=list(groups), help="measure only these")
    parser.add_argument("--output", type=Path, default=RESULTS / f"{result}.json", help="(%(default)s)")
    parsed = parser.parse_args()
    started = datetime.now(UTC)
    cases: list[Case] = []
    for name in parsed.only:
        print(f"{name}: {parsed.rounds} rounds", file=sys.stderr)
        cases += groups[name](parsed.rounds)
    print_table(cases)
    write_result(parsed.output, cases, parsed.rounds, started)
    return 0
