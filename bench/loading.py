"""Seconds to load a model against ``llama_model_load_from_file`` alone, to check its file, and to inspect it."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np

from bench.measure import Case, interleave, ratios
from bench.native import model_path, run_json, tool
from inllama.model import demo_path

TARGET = 1.02
TARGET_CHECK = 0.01
TARGET_INSPECT_S = 0.05
GIGABYTE = "1.5b"
CHILD = """
import json, sys, time
from inllama import Model
def load_s():
    started = time.perf_counter()
    model = Model(sys.argv[1])
    seconds = time.perf_counter() - started
    model.close()
    return seconds
print(json.dumps({"first": load_s(), "next": load_s()}))
"""
CHILD_INSPECT = """
import json, sys, time
from inllama import gguf
started = time.perf_counter()
gguf.read(sys.argv[1])
print(json.dumps({"seconds": time.perf_counter() - started}))
"""


def take_memory(path: str) -> None:
    """Take twice the memory of a file and free it.

    A virtual machine gives memory that was free for some seconds back to its host, and gets it again page by page when
    it is written: that would be on the account of whichever side comes first.
    """
    np.ones(2 * Path(path).stat().st_size, dtype=np.uint8)


def ours_s(path: str, which: str) -> float:
    """Load a model in a new process of Python, the first time or once more; with all checks of its file."""
    take_memory(path)
    return float(run_json(sys.executable, "-c", CHILD, path)[which])


def theirs_s(path: str) -> float:
    """Load it in a new process of bench/load.cpp."""
    take_memory(path)
    return float(run_json(tool("bench-load"), path)["seconds"])


def check_s(path: str, which: str) -> float:
    """Check its file alone, in a new process of bench/check.cpp, the first time or once more."""
    take_memory(path)
    return float(run_json(tool("bench-check"), path)[which])


def inspect_s(path: str) -> float:
    """Read its header in a new process of Python."""
    return float(run_json(sys.executable, "-c", CHILD_INSPECT, path)["seconds"])


def case_of_check(path: str, which: str, series: dict[str, list[float]]) -> Case:
    """Compare the check of a file with the load that begins with one."""
    both = {"check": series[f"{which} check"], "inllama": series[f"{which} inllama"]}
    return Case(
        name=f"{which} check {Path(path).name}",
        method=(
            f"The checks of the file alone, in a new process of bench/check.cpp, against Model(path) in one of Python, "
            f"which begins with them: the {which} one of its process."
        ),
        series=both,
        unit="s",
        figure=ratios(both["check"], both["inllama"]),
        figure_unit="x",
        target=TARGET_CHECK,
        at_least=False,
        notes={"n_bytes": Path(path).stat().st_size},
    )


def measure_loading(n_rounds: int) -> list[Case]:
    """Measure the demo model, the one that the benchmarks generate with, and one of about a gigabyte."""
    cases = []
    for path in (str(demo_path()), model_path(), model_path(GIGABYTE)):
        series = interleave(
            {
                "first inllama": partial(ours_s, path, "first"),
                "llama_model_load_from_file": partial(theirs_s, path),
                "first check": partial(check_s, path, "first"),
                "next inllama": partial(ours_s, path, "next"),
                "next check": partial(check_s, path, "next"),
            },
            n_rounds,
            0.1,
        )
        load = {
            "inllama": series["first inllama"],
            "llama_model_load_from_file": series["llama_model_load_from_file"],
        }
        cases.append(
            Case(
                name=f"load {Path(path).name}",
                method=(
                    "Model(path) in a new process of Python, with the checks of the file before it, against "
                    "llama_backend_init and llama_model_load_from_file in a new process of bench/load.cpp. Weights "
                    "are mapped, and laid out anew for the processor where llama.cpp does so, here into large pages, "
                    "which llama.cpp does not ask for. The page cache is warm, and twice the memory was just in use."
                ),
                series=load,
                unit="s",
                figure=ratios(load["inllama"], load["llama_model_load_from_file"]),
                figure_unit="x",
                target=TARGET,
                at_least=False,
                notes={"n_bytes": Path(path).stat().st_size},
            )
        )
        cases.extend(case_of_check(path, which, series) for which in ("first", "next"))
    path = model_path(GIGABYTE)
    series = interleave({"inllama.gguf.read": partial(inspect_s, path)}, n_rounds, 0.1)
    cases.append(
        Case(
            name=f"inspect {Path(path).name}",
            method="inllama.gguf.read(path) in a new process of Python, with all checks of the header.",
            series=series,
            unit="s",
            figure=series["inllama.gguf.read"],
            figure_unit="s",
            target=TARGET_INSPECT_S,
            at_least=False,
            notes={"n_bytes": Path(path).stat().st_size},
        )
    )
    return cases
