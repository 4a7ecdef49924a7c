"""Choosing a token from one row of logits, against llama.cpp's own chains."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.measure import Case, interleave
from bench.native import model_path, run_json, tool
from inllama import Model, Sampler, SamplerStage, samplers

Rows: TypeAlias = NDArray[np.float32]

N_ROWS = 16
N_CALLS = 160
SEED = 1
# Standard deviations of the logits. The likeliest of 151,936 tokens has a probability of about 0.05 or 0.0006, and
# 95 % of all probability are in 14,000 or 112,000 tokens.
SHAPES = {"peaked": 3.0, "flat": 1.0}


@dataclass(frozen=True)
class Chain:
    """A chain that both sides build from the same samplers.

    Attributes:
        name: For ``bench/sample.cpp``.
        title: For readers.
        samplers: In words.
        stages: Of a new chain.
        target_us: For a peaked row.
    """

    name: str
    title: str
    samplers: str
    stages: Callable[[], list[SamplerStage]]
    target_us: float


def _weighted() -> list[SamplerStage]:
    return [samplers.top_p(0.95), samplers.min_p(0.05), samplers.temperature(0.8), samplers.dist(SEED)]


def _default() -> list[SamplerStage]:
    return [samplers.top_k(40), *_weighted()]


def _greedy() -> list[SamplerStage]:
    return [samplers.greedy()]


CHAINS = [
    Chain("default", "default chain", "top_k 40, top_p 0.95, min_p 0.05, temperature 0.8, dist", _default, 80.0),
    Chain("top_p", "top_p first", "top_p 0.95, min_p 0.05, temperature 0.8, dist", _weighted, 1000.0),
    Chain("greedy", "greedy", "greedy", _greedy, 40.0),
]


def ours_us(model: Model, chain: Chain, rows: Rows) -> float:
    """Return the median time of ``Sampler.sample_logits``; each row has a sampler of its own, as requests have."""
    pairs = [(Sampler(model, chain.stages()), row) for row in rows]
    for sampler, row in pairs:
        sampler.sample_logits(row)
    seconds: list[float] = []
    for call in range(N_CALLS):
        sampler, row = pairs[call % len(pairs)]
        started = time.perf_counter()
        sampler.sample_logits(row)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1e6


def theirs_us(chain: Chain, n_vocab: int, path: Path) -> float:
    """Return the median time of llama.cpp's chain."""
    result = run_json(tool("bench-sample"), str(n_vocab), str(path), chain.name, str(N_CALLS))
    return float(statistics.median(result["seconds"])) * 1e6


def measure_chain(model: Model, chain: Chain, rows: dict[str, Rows], folder: Path, n_rounds: int) -> Case:
    """Measure one chain on rows of all shapes."""
    n_vocab = model.tokenizer.n_tokens
    sides: dict[str, Callable[[], float]] = {}
    for shape, numbers in rows.items():
        path = folder / f"{shape}.f32"
        sides[shape] = partial(ours_us, model, chain, numbers)
        sides[f"llama.cpp {shape}"] = partial(theirs_us, chain, n_vocab, path)
    series = interleave(sides, n_rounds, 0.1)
    return Case(
        name=f"sample one row: {chain.title}",
        method=(
            f"{chain.samplers}. Median of {N_CALLS} calls over {N_ROWS} rows of {n_vocab} logits in turn: a row "
            "comes from the last cache or from memory, as after a step. Each row has a chain of its own; one thread; "
            "random logits of a normal distribution, peaked "
            f"(sigma {SHAPES['peaked']:g}) or flat (sigma {SHAPES['flat']:g}). inllama: Sampler.sample_logits, called "
            "from Python. llama.cpp: the same samplers, with the candidates filled as llama_sampler_sample does, in "
            "bench/sample.cpp. The figure is inllama's for peaked rows."
        ),
        series=series,
        unit="us",
        figure=series["peaked"],
        figure_unit="us",
        target=chain.target_us,
        at_least=False,
        notes={},
    )


def measure_sampling(n_rounds: int) -> list[Case]:
    """Measure the chains."""
    random = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder, Model(model_path(), vocab_only=True) as model:
        shape = (N_ROWS, model.tokenizer.n_tokens)
        rows = {name: random.normal(0.0, sigma, shape).astype(np.float32) for name, sigma in SHAPES.items()}
        for name, numbers in rows.items():
            numbers.tofile(Path(folder) / f"{name}.f32")
        return [measure_chain(model, chain, rows, Path(folder), n_rounds) for chain in CHAINS]
