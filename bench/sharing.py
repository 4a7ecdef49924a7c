"""What prefix sharing saves: prompt tokens that are computed; and what it costs where there is nothing to share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from bench.measure import Case, interleave, ratios
from bench.native import model_path
from bench.workload import GREEDY, N_RUNNING, Prompts, generate_s, new_engine, settings
from inllama import LLM, Engine, Model

TARGET = 1.05

N_REQUESTS = 64
N_TEMPLATES = 20
N_TEMPLATE = 128
N_OWN = 16
N_NEW = 16

N_CONVERSATIONS = 8
N_TURNS = 4
N_SYSTEM = 256
N_TURN = 48
N_REPLY = 24

N_COST_PROMPT = 128
N_COST_NEW = 16
N_COST_CTX = 4096
COST_TARGET = 1.02


Node: TypeAlias = "dict[int, Node]"


def n_prefixes(prompts: Iterable[Iterable[int]]) -> int:
    """Return the number of nodes of the trie of ``prompts``, without its root."""
    root: Node = {}
    n_nodes = 0
    for prompt in prompts:
        node = root
        for token in prompt:
            n_nodes += token not in node
            node = node.setdefault(token, {})
    return n_nodes


def _count(engine: Engine, prompts: list[list[int]], n_before: int) -> tuple[int, int]:
    """Return prompt tokens that were computed since ``n_before``, and those that are distinct prefixes."""
    return engine.stats().prefill_tokens - n_before, n_prefixes(prompts)


def templates(engine: Engine, prompts: Prompts) -> tuple[int, int]:
    """Return computed and distinct prompt tokens of requests that take turns with the templates."""
    prefixes = prompts.many(N_TEMPLATES, N_TEMPLATE)
    requests = [prefixes[i % N_TEMPLATES] + prompts.one(N_OWN) for i in range(N_REQUESTS)]
    n_before = engine.stats().prefill_tokens
    generate_s(engine, requests, N_NEW)
    return _count(engine, requests, n_before)


def conversations(engine: Engine, prompts: Prompts) -> tuple[int, int]:
    """Return computed and distinct prompt tokens of conversations with one system prompt, each on a thread.

    Replies are part of the next prompt. They were computed as output, all but the last token, which nothing followed
    yet: so that one counts as the prompt's, the others as nobody's.
    """
    system = prompts.one(N_SYSTEM)
    turns = [prompts.many(N_TURNS, N_TURN) for _ in range(N_CONVERSATIONS)]
    llm = LLM(engine)

    def talk(said: list[list[int]]) -> list[int]:
        prompt = list(system)
        for turn in said[:-1]:
            prompt += turn
            prompt += llm.generate(prompt, max_tokens=N_REPLY, **GREEDY).token_ids
        prompt += said[-1]
        llm.generate(prompt, max_tokens=N_REPLY, **GREEDY)
        return prompt

    n_before = engine.stats().prefill_tokens
    with ThreadPoolExecutor(N_CONVERSATIONS) as pool:
        last_prompts = list(pool.map(talk, turns))
    n_computed, n_distinct = _count(engine, last_prompts, n_before)
    return n_computed, n_distinct - N_CONVERSATIONS * (N_TURNS - 1) * (N_REPLY - 1)


def count_case(
    model: Model, name: str, method: str, count: Callable[[Engine, Prompts], tuple[int, int]], n_rounds: int
) -> Case:
    """Count in a new engine per round."""
    prompts = Prompts()
    counts: list[tuple[int, int]] = []
    for _ in range(n_rounds):
        with new_engine(model) as engine:
            counts.append(count(engine, prompts))
    series = {
        "computed": [float(computed) for computed, _ in counts],
        "distinct": [float(distinct) for _, distinct in counts],
    }
    return Case(
        name=name,
        method=method + " Computed: the difference of stats().prefill_tokens.",
        series=series,
        unit="prompt tokens",
        figure=ratios(series["computed"], series["distinct"]),
        figure_unit="x",
        target=TARGET,
        at_least=False,
        notes=settings(),
    )


def cost_case(model: Model, n_rounds: int) -> Case:
    """Measure unrelated prompts with sharing and without."""
    prompts = Prompts()

    def fresh_s(prefix_cache: bool) -> float:
        with new_engine(model, prefix_cache=prefix_cache, n_ctx=N_COST_CTX) as engine:
            return generate_s(engine, prompts.many(N_RUNNING, N_COST_PROMPT), N_COST_NEW)

    with new_engine(model, n_ctx=N_COST_CTX) as full:
        generate_s(full, prompts.many(N_COST_CTX // N_COST_PROMPT, N_COST_PROMPT), 1)
        series = interleave(
            {
                "on": lambda: fresh_s(True),
                "off": lambda: fresh_s(False),
                "on, memory full": lambda: generate_s(full, prompts.many(N_RUNNING, N_COST_PROMPT), N_COST_NEW),
            },
            n_rounds,
        )
        n_evicted = full.stats().evicted_cells
    return Case(
        name="cost of sharing",
        method=(
            f"{N_RUNNING} random prompts of {N_COST_PROMPT} tokens, {N_COST_NEW} new tokens each, wall time of one "
            "LLM.generate of all of them. On and off: prefix_cache, in a new engine with an empty memory per round. "
            "Beside it, an engine that lives on: its memory is full of earlier prompts, which are evicted meanwhile."
        ),
        series=series,
        unit="s",
        figure=ratios(series["on"], series["off"]),
        figure_unit="x",
        target=COST_TARGET,
        at_least=False,
        notes=settings(n_ctx=N_COST_CTX, evicted_cells=n_evicted),
    )


def measure_sharing(n_rounds: int) -> list[Case]:
    """Measure what sharing saves and costs."""
    with Model(model_path()) as model:
        return [
            count_case(
                model,
                f"{N_REQUESTS} requests, {N_TEMPLATES} templates",
                f"{N_REQUESTS} requests given together, {N_RUNNING} running at a time; {N_TEMPLATES} templates of "
                f"{N_TEMPLATE} tokens take turns, {N_OWN} own tokens follow, {N_NEW} are generated. Distinct: nodes of "
                "the trie of all prompts.",
                templates,
                n_rounds,
            ),
            count_case(
                model,
                f"{N_CONVERSATIONS} conversations x {N_TURNS} turns",
                f"One system prompt of {N_SYSTEM} tokens, {N_TURN} tokens per turn, replies of {N_REPLY}, each "
                "conversation on a thread of its own. Distinct: nodes of the trie of all prompts, without the tokens "
                "of replies that were computed when they were generated, which is stricter than with them.",
                conversations,
                n_rounds,
            ),
            cost_case(model, n_rounds),
        ]
