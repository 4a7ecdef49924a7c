"""Resident memory while ``LLM.map`` goes over a million rows."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from bench.measure import Case
from bench.native import run_json
from inllama import LLM
from inllama.testing import FakeEngine

N_ROWS = 1_000_000
N_FIRST = 10_000
REPLY = "a reply"
TARGET_PERCENT = 5.0


def resident_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def map_rows(n_rows: int) -> tuple[list[float], float]:
    """Map over so many rows; return the memory after every 10,000 of them, and the seconds."""
    memory: list[float] = []
    with FakeEngine(reply=REPLY) as engine:
        started = time.perf_counter()
        rows = (f"row {index}" for index in range(n_rows))
        for n_done, completion in enumerate(LLM(engine).map(rows, max_tokens=len(REPLY)), start=1):
            assert completion.text == REPLY
            if n_done % N_FIRST == 0:
                memory.append(resident_mb())
        elapsed = time.perf_counter() - started
    assert len(memory) == n_rows // N_FIRST
    return memory, elapsed


def measure_mapping(n_rounds: int) -> list[Case]:
    """Measure a process of its own, once: what the number of rounds does not change."""
    result = run_json(sys.executable, "-m", "bench.mapping", str(N_ROWS))
    memory: list[float] = result["memory_mb"]
    changes = [abs(later / memory[0] - 1) * 100 for later in memory[1:]]
    return [
        Case(
            name=f"map over {N_ROWS:,} rows",
            method=(
                f"LLM.map in a new process over {N_ROWS:,} prompts from a generator, with a decoder that takes no "
                f"time and replies of {len(REPLY)} tokens. Resident memory after every {N_FIRST:,} results; the figure "
                f"is the largest difference from that after the first {N_FIRST:,}. One run."
            ),
            series={"resident": memory},
            unit="MB",
            figure=[max(changes)],
            figure_unit="%",
            target=TARGET_PERCENT,
            at_least=False,
            notes={"seconds": result["seconds"], "rows_per_s": N_ROWS / result["seconds"]},
        )
    ]


if __name__ == "__main__":
    mapped, seconds = map_rows(int(sys.argv[1]))
    print(json.dumps({"memory_mb": mapped, "seconds": seconds}))
