"""What the engine's benchmarks share: prompts, options, and engines over the benchmark model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.native import model_path, run_jsonl, tool
from inllama import LLM, Completion, Engine, Model

N_THREADS = 2
N_CTX = 16_384
N_UBATCH = 512
N_RUNNING = 16

# Every output has the length that was asked for, and choosing its tokens costs little.
GREEDY: dict[str, Any] = {"temperature": 0.0, "ignore_eos": True}


def settings(**changed: object) -> dict[str, object]:
    """Return what both sides are run with, for the notes of a case."""
    return {
        "n_threads": N_THREADS,
        "n_ctx": N_CTX,
        "n_ubatch": N_UBATCH,
        "n_running": N_RUNNING,
        "flash_attention": "on",
        "model": Path(model_path()).name,
        **changed,
    }


class Prompts:
    """Random token ids, no two prompts alike."""

    def __init__(self, seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)

    def one(self, n_tokens: int) -> list[int]:
        """Return a prompt."""
        prompt: list[int] = self._random.integers(0, 150_000, n_tokens).tolist()
        return prompt

    def many(self, n_prompts: int, n_tokens: int, prefix: list[int] | None = None) -> list[list[int]]:
        """Return prompts of ``n_tokens`` own tokens, after a prefix that they share."""
        return [(prefix or []) + self.one(n_tokens) for _ in range(n_prompts)]


def new_engine(model: Model, **options: Any) -> Engine:
    """Return an engine with an empty memory, warmed up like llama-batched-bench: by 16 tokens."""
    engine = Engine(
        model,
        **{
            "n_threads": N_THREADS,
            "n_ctx": N_CTX,
            "step_tokens": N_UBATCH,
            "max_running": N_RUNNING,
            "flash_attention": "on",
            **options,
        },
    )
    LLM(engine).generate(Prompts(seed=0).one(16), max_tokens=1, **GREEDY)
    return engine


def generate_s(engine: Engine, prompts: list[list[int]], n_new: int) -> float:
    """Return the seconds in which all prompts, given together, are continued by ``n_new`` tokens each."""
    started = time.perf_counter()
    results: list[Completion] = LLM(engine).generate(prompts, max_tokens=n_new, **GREEDY)
    elapsed = time.perf_counter() - started
    assert all(len(result.token_ids) == n_new for result in results)
    return elapsed


def batched_bench(
    n_prompt: int, n_new: int, *, unified: bool, shared: bool = False, flash_attention: str = "on"
) -> Mapping[str, float]:
    """Return a row of llama-batched-bench, with the same context; it warms up by itself."""
    command = [tool("llama-batched-bench"), "-m", model_path(), "-fa", flash_attention, "--output-format", "jsonl"]
    command += ["-c", str(N_CTX), "-t", str(N_THREADS), "-ub", str(N_UBATCH), "-kvu" if unified else "-no-kvu"]
    command += ["-npp", str(n_prompt), "-ntg", str(n_new), "-npl", str(N_RUNNING), *(["-pps"] if shared else [])]
    (row,) = run_jsonl(*command)
    assert (row["pp"], row["tg"], row["pl"], row["n_threads"]) == (n_prompt, n_new, N_RUNNING, N_THREADS), row
    return row
