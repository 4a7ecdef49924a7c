"""Seconds from the start of a Python process to the first token of the demo model."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from bench.measure import Case, interleave

TARGET_S = 0.5
CHILD = """
import time
started = time.perf_counter()
import inllama
imported = time.perf_counter()
chunk = next(inllama.LLM("demo").stream("Once upon a time", max_tokens=1))
first = time.perf_counter()
print(chunk.text, flush=True)
import json
print(json.dumps({"import": imported - started, "load to first token": first - imported}))
"""


def measure_startup(n_rounds: int) -> list[Case]:
    """Measure new processes."""
    parts: dict[str, list[float]] = {"import": [], "load to first token": []}

    def first_token_s() -> float:
        started = time.perf_counter()
        with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            line = child.stdout.readline()
            elapsed = time.perf_counter() - started
            rest = child.stdout.read()
        assert line, "the child process failed"
        for name, seconds in json.loads(rest).items():
            parts[name].append(seconds)
        return elapsed

    def empty_s() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        return time.perf_counter() - started

    first_token_s()  # files into the page cache
    for samples in parts.values():
        samples.clear()
    total = interleave({"to first token": first_token_s, "python alone": empty_s}, max(n_rounds, 9), 0.1)
    return [
        Case(
            name="process start to first token",
            method=(
                "From before a new process is made to its first line of output: Python starts, imports inllama, loads "
                "the demo model, computes the prompt 'Once upon a time' and one token. The page cache is warm."
            ),
            series={**total, **parts},
            unit="s",
            figure=total["to first token"],
            figure_unit="s",
            target=TARGET_S,
            at_least=False,
            notes={},
        )
    ]
