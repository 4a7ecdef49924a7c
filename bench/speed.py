"""Decode and prefill: tokens per second of ``LLM.stream`` against llama-bench."""

from __future__ import annotations

import time

import numpy as np

from bench.measure import Case, interleave, ratios
from bench.native import MODEL, model_path, run_json, tool
from inllama import LLM, build_info

N_THREADS = 2
N_UBATCH = 512
N_PROMPT = 512
N_NEW = 128
TARGET = 0.98


def llama_bench(n_prompt: int, n_new: int) -> float:
    """Return llama-bench's tokens per second; it warms up by itself."""
    command = [tool("llama-bench"), "-m", model_path(), "-r", "1", "-o", "json", "-fa", "on"]
    command += ["-p", str(n_prompt), "-n", str(n_new), "-t", str(N_THREADS), "-ub", str(N_UBATCH)]
    (row,) = run_json(*command)
    if not build_info().llama_cpp_commit.startswith(row["build_commit"]):
        raise SystemExit(f"llama-bench is of commit {row['build_commit']}, inllama of {build_info().llama_cpp_commit}")
    return float(row["avg_ts"])


class Ours:
    """One ``LLM``, kept for all rounds."""

    def __init__(self) -> None:
        # Each prompt is computed, as in llama-bench.
        self._llm = LLM(
            model_path(), n_threads=N_THREADS, step_tokens=N_UBATCH, flash_attention="on", prefix_cache=False
        )
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
        """Free the model."""
        self._llm.close()


def measure_speed(n_rounds: int) -> list[Case]:
    """Measure decode and prefill."""
    ours = Ours()
    decode = interleave({"inllama": ours.decode, "llama-bench": lambda: llama_bench(0, N_NEW)}, n_rounds)
    prefill = interleave({"inllama": ours.prefill, "llama-bench": lambda: llama_bench(N_PROMPT, 0)}, n_rounds)
    ours.close()
    settings = {"n_threads": N_THREADS, "n_ubatch": N_UBATCH, "flash_attention": "on", "model": MODEL.name}
    return [
        Case(
            name=f"decode tg{N_NEW}",
            method=(
                f"{N_NEW} single-row decodes from an empty memory. LLM.stream: the wall time of a whole request with "
                "a prompt of one token, with request setup, greedy sampling of every token and a chunk for each. "
                "llama-bench: the decodes alone; it samples nothing."
            ),
            series=decode,
            unit="tokens/s",
            figure=ratios(decode["inllama"], decode["llama-bench"]),
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
            figure=ratios(prefill["inllama"], prefill["llama-bench"]),
            figure_unit="x",
            target=TARGET,
            at_least=True,
            notes=settings,
        ),
    ]
