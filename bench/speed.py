"""Decode and prefill: tokens per second of ``LLM.stream`` against llama-bench."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np

from bench.measure import Case, interleave, ratios
from bench.native import model_path, run_json, tool
from inllama import LLM, Engine, Model, build_info

N_THREADS = 2
N_UBATCH = 512
N_PROMPT = 512
N_NEW = 128
TARGET = 0.98
# What was measured of each side; the first is what the case is about, the second may be its best flags.
OURS = ("inllama", "inllama, no flash attention")
THEIRS = ("llama-bench", "llama-bench -fa off")


def llama_bench(n_prompt: int, n_new: int, flash_attention: str, n_depth: int = 0) -> float:
    """Return llama-bench's tokens per second, with ``n_depth`` tokens in memory; it warms up by itself."""
    command = [tool("llama-bench"), "-m", model_path(), "-r", "1", "-o", "json", "-fa", flash_attention]
    command += ["-p", str(n_prompt), "-n", str(n_new), "-d", str(n_depth), "-t", str(N_THREADS), "-ub", str(N_UBATCH)]
    (row,) = run_json(*command)
    if not build_info().llama_cpp_commit.startswith(row["build_commit"]):
        raise SystemExit(f"llama-bench is of commit {row['build_commit']}, inllama of {build_info().llama_cpp_commit}")
    return float(row["avg_ts"])


class Ours:
    """One ``LLM``, kept for all rounds."""

    def __init__(self, model: Model, flash_attention: str) -> None:
        # Each prompt is computed, as in llama-bench.
        self._engine = Engine(
            model, n_threads=N_THREADS, step_tokens=N_UBATCH, flash_attention=flash_attention, prefix_cache=False
        )
        self._llm = LLM(self._engine)
        random = np.random.default_rng(1)
        self._prompt: list[int] = random.integers(0, 150_000, N_PROMPT).tolist()

    def decode(self) -> float:
        """Return streamed tokens per second, of a prompt of one token."""
        self._stream(2)  # like llama-bench, wakes the threads before the clock runs
        return N_NEW / self._stream(N_NEW)

    def _stream(self, n_new: int) -> float:
        started = time.perf_counter()
        stream = self._llm.stream(self._prompt[:1], temperature=0.0, ignore_eos=True, max_tokens=n_new)
        n_tokens = sum(len(chunk.token_ids) for chunk in stream)
        elapsed = time.perf_counter() - started
        assert n_tokens == n_new, n_tokens
        return elapsed

    def prefill(self) -> float:
        """Return prompt tokens per second."""
        self._prefill_s()  # like llama-bench
        return N_PROMPT / self._prefill_s()

    def _prefill_s(self) -> float:
        started = time.perf_counter()
        self._llm.generate(self._prompt, temperature=0.0, max_tokens=1)
        return time.perf_counter() - started

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()


def measure_speed(n_rounds: int) -> list[Case]:
    """Measure decode and prefill."""
    with Model(model_path()) as model:
        ours, without = Ours(model, "on"), Ours(model, "off")
        decode = interleave(
            {
                OURS[0]: ours.decode,
                OURS[1]: without.decode,
                THEIRS[0]: partial(llama_bench, 0, N_NEW, "on"),
                THEIRS[1]: partial(llama_bench, 0, N_NEW, "off"),
            },
            n_rounds,
        )
        prefill = interleave(
            {
                OURS[0]: ours.prefill,
                OURS[1]: without.prefill,
                THEIRS[0]: partial(llama_bench, N_PROMPT, 0, "on"),
                THEIRS[1]: partial(llama_bench, N_PROMPT, 0, "off"),
            },
            n_rounds,
        )
        ours.close()
        without.close()
    settings = {"n_threads": N_THREADS, "n_ubatch": N_UBATCH, "flash_attention": "on", "model": Path(model_path()).name}
    cases = [
        Case(
            name=f"decode tg{N_NEW}",
            method=(
                f"{N_NEW} single-row decodes from an empty memory. LLM.stream: the wall time of a whole request with "
                "a prompt of one token, with request setup, greedy sampling of every token and a chunk for each. "
                "llama-bench: the decodes alone; it samples nothing."
            ),
            series=decode,
            unit="tokens/s",
            figure=ratios(decode[OURS[0]], decode[THEIRS[0]]),
            figure_unit="x",
            target=TARGET,
            at_least=True,
            notes=settings,
        ),
        Case(
            name=f"prefill pp{N_PROMPT}",
            method=(
                f"One decode call of {N_PROMPT} rows with logits of the last row, from an empty memory. inllama: the "
                "wall time of LLM.generate with max_tokens=1, which samples one token. llama-bench: the call alone."
            ),
            series=prefill,
            unit="tokens/s",
            figure=ratios(prefill[OURS[0]], prefill[THEIRS[0]]),
            figure_unit="x",
            target=TARGET,
            at_least=True,
            notes=settings,
        ),
    ]
    return [*cases, *(case.at_best(OURS, THEIRS) for case in cases)]
