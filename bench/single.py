"""One sequence: what inllama costs on top of llama.cpp. ``make bench CASE=single``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import RESULTS, Case, print_table, write_result
from bench.overhead import measure_overhead
from bench.speed import measure_speed
from bench.startup import measure_startup
from bench.tokenizing import measure_tokenizing

CASES: dict[str, Callable[[int], list[Case]]] = {
    "speed": measure_speed,
    "overhead": measure_overhead,
    "tokenizing": measure_tokenizing,
    "startup": measure_startup,
}


def main() -> int:
    """Measure, print a table and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="interleaved pairs of each case (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="measure only these")
    parser.add_argument("--output", type=Path, default=RESULTS / "single.json", help="(%(default)s)")
    parsed = parser.parse_args()
    started = datetime.now(UTC)
    cases: list[Case] = []
    for name in parsed.only:
        print(f"{name}: {parsed.rounds} rounds", file=sys.stderr)
        cases += CASES[name](parsed.rounds)
    print_table(cases)
    write_result(parsed.output, cases, parsed.rounds, started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
