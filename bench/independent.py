"""Requests that have nothing in common, against llama-batched-bench."""

from __future__ import annotations

from bench.measure import Case, interleave, ratios
from bench.native import model_path
from bench.workload import N_RUNNING, N_UBATCH, Prompts, batched_bench, generate_s, new_engine, settings
from inllama import Model

N_PROMPT = 512
N_NEW = 32
TARGET = 1.05


def measure_independent(n_rounds: int) -> list[Case]:
    """Measure a burst of unrelated prompts."""
    prompts = Prompts()
    with Model(model_path()) as model:

        def ours(**options: int) -> float:
            with new_engine(model, **options) as engine:
                return generate_s(engine, prompts.many(N_RUNNING, N_PROMPT), N_NEW)

        series = interleave(
            {
                "inllama": ours,
                f"prefill_chunk={N_UBATCH}": lambda: ours(prefill_chunk=N_UBATCH),
                "-kvu": lambda: batched_bench(N_PROMPT, N_NEW, unified=True)["t"],
                "-no-kvu": lambda: batched_bench(N_PROMPT, N_NEW, unified=False)["t"],
            },
            n_rounds,
        )
    return [
        Case(
            name=f"{N_RUNNING} independent requests",
            method=(
                f"{N_RUNNING} random prompts of {N_PROMPT} tokens, {N_NEW} new tokens each. inllama: wall time of one "
                "LLM.generate of all of them, a new engine with an empty memory per round, with greedy sampling and "
                "text; engine defaults, and beside it prompts in steps as large as llama-batched-bench's. "
                "llama-batched-bench: T_PP + T_TG; it samples nothing. -kvu is one memory for all sequences, as ours; "
                "-no-kvu, beside it, one for each."
            ),
            series=series,
            unit="s",
            figure=ratios(series["inllama"], series["-kvu"]),
            figure_unit="x",
            target=TARGET,
            at_least=False,
            notes=settings(),
        )
    ]
