"""Decode with a long text in memory: tokens per second of ``LLM.stream`` against llama-bench."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.measure import Case, interleave, ratios
from bench.native import model_path
from bench.speed import N_THREADS, TARGET, llama_bench
from bench.workload import Prompts
from inllama import LLM, Engine, Model

N_DEPTH = 4096
N_NEW = 32
OURS = ("inllama",)
THEIRS = ("llama-bench", "llama-bench -fa off")


def ours(llm: LLM, prompt: list[int]) -> float:
    """Return streamed tokens per second, from the first token on."""
    llm.generate(prompt, max_tokens=1)
    stream = llm.stream(prompt, max_tokens=N_NEW + 1, temperature=0.0, ignore_eos=True)
    for _ in stream:
        pass
    timings = stream.result().timings
    return N_NEW / (timings.total_s - timings.first_token_s)


def measure_depth(n_rounds: int) -> list[Case]:
    """Measure decode with a prompt of ``N_DEPTH`` tokens behind it."""
    prompt = Prompts().one(N_DEPTH)
    with Model(model_path()) as model, Engine(model, n_ctx=2 * N_DEPTH, max_running=1, n_threads=N_THREADS) as engine:
        series = interleave(
            {
                OURS[0]: partial(ours, LLM(engine), prompt),
                THEIRS[0]: partial(llama_bench, 0, N_NEW, "on", N_DEPTH),
                THEIRS[1]: partial(llama_bench, 0, N_NEW, "off", N_DEPTH),
            },
            n_rounds,
        )
    case = Case(
        name=f"decode tg{N_NEW} at depth {N_DEPTH}",
        method=(
            f"{N_NEW} single-row decodes with {N_DEPTH} tokens in memory. LLM.stream: from the first token of a "
            "request to its last, with sampling and text. llama-bench: the decodes alone. Beside it without flash "
            "attention."
        ),
        series=series,
        unit="tokens/s",
        figure=ratios(series[OURS[0]], series[THEIRS[0]]),
        figure_unit="x",
        target=TARGET,
        at_least=True,
        notes={"n_threads": N_THREADS, "flash_attention": "on", "model": Path(model_path()).name},
    )
    return [case, case.at_best(OURS, THEIRS)]
