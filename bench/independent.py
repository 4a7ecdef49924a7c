"""Requests that have nothing in common, against llama-batched-bench."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench.measure import Case, interleave, ratios
from bench.native import model_path
from bench.workload import N_RUNNING, Prompts, batched_bench, generate_s, new_engine, settings
from inllama import Model

N_PROMPT = 512
N_NEW = 32
TARGET = 1.05


def measure_independent(n_rounds: int) -> list[Case]:
    """Measure a burst of unrelated prompts."""
    prompts = Prompts()
    with Model(model_path()) as model:

        def ours(**options: str) -> float:
            with new_engine(model, **options) as engine:
                return generate_s(engine, prompts.many(N_RUNNING, N_PROMPT), N_NEW)

        def theirs(unified: bool, flash_attention: str) -> float:
            return batched_bench(N_PROMPT, N_NEW, unified=unified, flash_attention=flash_attention)["t"]

        own: dict[str, Callable[[], float]] = {
            "inllama": ours,
            "inllama, split": partial(ours, kv_mode="split"),
            "inllama, no flash attention": partial(ours, flash_attention="off"),
        }
        other = {
            "-kvu": partial(theirs, True, "on"),
            "-no-kvu": partial(theirs, False, "on"),
            "-kvu -fa off": partial(theirs, True, "off"),
            "-no-kvu -fa off": partial(theirs, False, "off"),
        }
        series = interleave({**own, **other}, n_rounds)
    case = Case(
        name=f"{N_RUNNING} independent requests",
        method=(
            f"{N_RUNNING} random prompts of {N_PROMPT} tokens, {N_NEW} new tokens each. inllama: wall time of one "
            "LLM.generate of all of them, a new engine with an empty memory per round, with greedy sampling and "
            "text; engine defaults, and beside it kv_mode='split' or flash_attention='off'. "
            "llama-batched-bench: T_PP + T_TG; it samples nothing. -kvu is one memory for all sequences, as ours; "
            "-no-kvu, beside it, one for each; -fa off, beside it, computes without flash attention."
        ),
        series=series,
        unit="s",
        figure=ratios(series["inllama"], series["-kvu"]),
        figure_unit="x",
        target=TARGET,
        at_least=False,
        notes=settings(),
    )
    return [case, case.at_best(own, other)]
