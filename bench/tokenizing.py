"""Bytes per second of ``Tokenizer.encode`` against ``llama_tokenize`` alone."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from bench.measure import Case, interleave, ratios
from bench.native import llama_tree, run_json, tool
from inllama import Model

N_BYTES = 1_000_000
REPEATS = 5
TARGET = 0.95


def prose() -> bytes:
    """Return a megabyte of English: the documentation of the pinned tree."""
    files = sorted(llama_tree().rglob("*.md"))
    text = b"\n".join(path.read_bytes() for path in files)
    text *= N_BYTES // len(text) + 1
    return text[:N_BYTES].decode(errors="ignore").encode()


def measure_tokenizing(n_rounds: int) -> list[Case]:
    """Measure tokenizing a megabyte."""
    vocabulary = llama_tree() / "models" / "ggml-vocab-qwen2.gguf"
    data = prose()
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder, Model(vocabulary, vocab_only=True) as model:
        path = Path(folder) / "prose.txt"
        path.write_bytes(data)

        def ours() -> float:
            seconds: list[float] = []
            for _ in range(REPEATS + 1):
                text = data.decode()  # a new str: Python keeps the UTF-8 form of one that it has converted
                started = time.perf_counter()
                counts["inllama"] = len(model.tokenizer.encode(text))
                seconds.append(time.perf_counter() - started)
            return len(data) / 1e6 / statistics.median(seconds[1:])

        def theirs() -> float:
            row = run_json(tool("bench-tokenize"), str(vocabulary), str(path), str(REPEATS))
            counts["llama_tokenize"] = row["n_tokens"]
            seconds: list[float] = row["seconds"]
            return len(data) / 1e6 / statistics.median(seconds)

        series = interleave({"inllama": ours, "llama_tokenize": theirs}, n_rounds, 0.0)
    assert counts["inllama"] == counts["llama_tokenize"], counts
    return [
        Case(
            name="tokenize 1 MB",
            method=(
                f"The pinned tree's Markdown files, {len(data)} bytes, vocabulary of qwen2, one thread; median of "
                f"{REPEATS} calls after one. inllama: str to numpy array. llama_tokenize: bytes to a buffer that "
                "exists already, in bench/tokenize.cpp."
            ),
            series=series,
            unit="MB/s",
            figure=ratios(series["inllama"], series["llama_tokenize"]),
            figure_unit="x",
            target=TARGET,
            at_least=True,
            notes={"n_tokens": counts["inllama"]},
        )
    ]
