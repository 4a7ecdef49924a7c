"""llama.cpp's own programs, built by ``make bench-tools``, and the files that the benchmarks read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.measure import ROOT

TOOLS = ROOT / "build" / "bench-tools" / "bin"
MODELS = ROOT / "bench" / "models"


def tool(name: str) -> str:
    """Return the path of a program."""
    path = TOOLS / name
    if not path.exists():
        sys.exit(f"{path} does not exist; run 'make bench-tools' first")
    return str(path)


def model_path(shape: str = "0.5b") -> str:
    """Return the path of a benchmark model."""
    path = MODELS / f"random-{shape}-q4_0.gguf"
    if not path.exists():
        sys.exit(f"{path} does not exist; run 'python tools/make_bench_model.py --shape {shape}' first")
    return str(path)


def llama_tree() -> Path:
    """Return the folder of the pinned llama.cpp tree."""
    given = os.environ.get("LLAMA_CPP_SOURCE_DIR")
    if given:
        return Path(given)
    command = [sys.executable, str(ROOT / "tools" / "llama_source.py")]
    return Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


def run_json(*command: str) -> Any:
    """Run a program and return what it prints, read as JSON."""
    return json.loads(_output(command))


def run_jsonl(*command: str) -> list[dict[str, Any]]:
    """Run a program and return the lines that are JSON objects."""
    return [json.loads(line) for line in _output(command).splitlines() if line.startswith("{")]


def _output(command: tuple[str, ...]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr}")
    return done.stdout
