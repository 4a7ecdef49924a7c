"""Shared by all benchmarks: interleaved measurement, medians, the facts of the machine, and where results go."""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import inllama
from inllama._core import usable_cores

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"

# llama.cpp's idle threads look for work for a few tenths of a second before they sleep, and would take the
# processor from the other side.
SETTLE_S = 0.5


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """Return median and range of ``samples``, and the samples themselves."""
    return {
        "median": statistics.median(samples),
        "min": min(samples),
        "max": max(samples),
        "samples": list(samples),
    }


def interleave(
    sides: Mapping[str, Callable[[], float]], n_rounds: int, settle_s: float = SETTLE_S
) -> dict[str, list[float]]:
    """Measure every side once per round, and return the samples of each.

    The order is reversed from round to round, so that a machine that gets slower or faster favours no side.
    """
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for index in range(n_rounds):
        names = list(sides) if index % 2 == 0 else list(sides)[::-1]
        for name in names:
            time.sleep(settle_s)
            samples[name].append(sides[name]())
    return samples


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of each pair."""
    return [one / other for one, other in zip(above, below, strict=True)]


def best(series: Mapping[str, Sequence[float]], names: Iterable[str], *, at_least: bool) -> str:
    """Return which of the named series has the best median: the largest with ``at_least``, else the smallest."""
    choose = max if at_least else min
    return choose(names, key=lambda name: statistics.median(series[name]))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One measured question.

    Attributes:
        name: Of the case.
        method: What each side counts, in a sentence or two.
        series: The samples of each side.
        unit: Of ``series``.
        figure: What the target is about, one per round: a ratio, a difference or a time.
        figure_unit: Of ``figure``.
        target: What its median should reach.
        at_least: Whether ``target`` is a lower bound; else it is an upper one.
        notes: Anything else worth keeping.
    """

    name: str
    method: str
    series: Mapping[str, Sequence[float]]
    unit: str
    figure: Sequence[float]
    figure_unit: str
    target: float
    at_least: bool
    notes: Mapping[str, object]

    @property
    def is_met(self) -> bool:
        """Whether the median reaches the target."""
        median = statistics.median(self.figure)
        return median >= self.target if self.at_least else median <= self.target

    def at_best(self, ours: Iterable[str], theirs: Iterable[str]) -> Self:
        """Return the same question with each side at the flags that are best for it, of those that were measured."""
        # A ratio that should be large is one of speeds.
        one = best(self.series, ours, at_least=self.at_least)
        other = best(self.series, theirs, at_least=self.at_least)
        return replace(
            self,
            name=f"{self.name}, best flags",
            figure=ratios(self.series[one], self.series[other]),
            notes={**self.notes, "best": [one, other]},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the result file."""
        return {
            "method": self.method,
            "unit": self.unit,
            "series": {name: summary(samples) for name, samples in self.series.items()},
            "figure": {"unit": self.figure_unit, **summary(self.figure)},
            "target": f"{'>=' if self.at_least else '<='} {self.target:g} {self.figure_unit}",
            "met": self.is_met,
            **({"notes": dict(self.notes)} if self.notes else {}),
        }

    def to_row(self) -> tuple[str, ...]:
        """Return the line of the printed table."""
        medians = "  ".join(f"{name} {statistics.median(samples):.4g}" for name, samples in self.series.items())
        return (
            self.name,
            f"{medians} {self.unit}",
            f"{statistics.median(self.figure):.4g}",
            f"{min(self.figure):.4g} to {max(self.figure):.4g}",
            f"{'>=' if self.at_least else '<='} {self.target:g} {self.figure_unit}",
            "met" if self.is_met else "MISSED",
        )


def print_table(cases: Sequence[Case]) -> None:
    """Print one line for each case."""
    rows = [("case", "medians", "figure", "range", "target", ""), *(case.to_row() for case in cases)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def write_result(path: Path, cases: Sequence[Case], n_rounds: int, started: datetime) -> None:
    """Write the cases of this run with the facts that they depend on."""
    result = {
        "command": shlex.join(["python", "-m", "bench." + Path(sys.argv[0]).stem, *sys.argv[1:]]),
        "date": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds()),
        "rounds": n_rounds,
        "hardware": hardware(),
        "versions": versions(),
        "cases": {case.name: case.to_dict() for case in cases},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {path}")


def hardware() -> dict[str, object]:
    """Return CPU, memory and load of this machine."""
    return {
        "cpu": _value("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "memory": _value("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "load_at_end": os.getloadavg(),
    }


def versions() -> dict[str, object]:
    """Return what was measured."""
    return {
        "inllama": {"git": _git("rev-parse", "HEAD"), "changed_files": _git("status", "--porcelain").count("\n")},
        "build_info": inllama.build_info().to_dict(),
        "llama_bench_flags": _flags("ggml-cpu.c"),
        "python": sys.version,
    }


def _flags(source: str) -> str:
    """Return the compiler flags of a file of llama.cpp in the build of its tools, which are those of the package."""
    path = ROOT / "build" / "bench-tools" / "compile_commands.json"
    if not path.exists():
        return ""
    commands = [entry["command"] for entry in json.loads(path.read_text()) if entry["file"].endswith(f"/{source}")]
    words = shlex.split(commands[0]) if commands else []
    flags = [word for word in words if word.startswith(("-O", "-m", "-f", "-DNDEBUG", "-DGGML_USE"))]
    return " ".join(flag for flag in flags if not flag.startswith("-ffile-prefix-map"))


def _value(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout if arguments[0] == "status" else done.stdout.strip()
