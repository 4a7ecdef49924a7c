"""Constrained decoding: what a structure costs. ``make bench CASE=structure``."""

from __future__ import annotations

import json
import statistics
import sys
import time
from functools import partial
from typing import Any

import numpy as np

from bench.chats import measure_parser, measure_render, measure_turns
from bench.command import run
from bench.measure import Case, interleave, ratios
from bench.native import model_path
from bench.schemas import measure_schemas
from bench.workload import N_RUNNING, Prompts, new_engine, settings
from inllama import LLM, Engine, Model
from inllama._core import Structure

N_PROMPT = 16
N_NEW = 128
SEED = 1
# Long enough that no output ends before N_NEW tokens.
SCHEMA: dict[str, Any] = {
    "type": "array",
    "minItems": 1000,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 40},
            "count": {"type": "integer", "minimum": 0, "maximum": 99999},
            "ratio": {"type": "number"},
            "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 4},
            "parent": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["name", "count", "parent"],
    },
}
# The same for llama.cpp's own sampler; the rule that nothing uses has what masks cannot be made of.
GRAMMAR = r"""root ::= "[" ws item ("," ws item){999,} "]"
item ::= "{" ws name "," ws count "," ws (ratio "," ws)? (list "," ws)? parent "}" ws
name ::= "\"name\":" ws string
count ::= "\"count\":" ws [0-9]{1,5}
ratio ::= "\"ratio\":" ws number
list ::= "\"tags\":" ws tags
parent ::= "\"parent\":" ws (string | "null") ws
tags ::= "[" ws (tag ("," ws tag){0,3})? "]" ws
tag ::= "\"red\"" | "\"green\"" | "\"blue\""
string ::= "\"" ([^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})){0,40} "\"" ws
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
unused ::= !<[0]>
"""
TARGET_SPEED = 0.97
TARGET_MASK_US = 60.0
TARGET_COMPILE_MS = 50.0
N_SCHEMAS = 60


def tokens_per_s(engine: Engine, prompts: list[list[int]], **options: Any) -> float:
    """Return the tokens per second of all outputs, given together, from the first token on."""
    results = LLM(engine).generate(prompts, max_tokens=N_NEW, temperature=0.0, **options)
    assert all(len(result.token_ids) == N_NEW for result in results), [result.text for result in results]
    seconds: float = max(result.timings.total_s - result.timings.first_token_s for result in results)
    return (N_NEW - 1) * len(results) / seconds


def measure_speed(n_rounds: int) -> list[Case]:
    """Measure decoding with and without a structure, alone and in a batch."""
    prompts = Prompts()
    cases: list[Case] = []
    with Model(model_path()) as model, new_engine(model) as engine:
        LLM(engine).generate(prompts.one(N_PROMPT), json_schema=SCHEMA, max_tokens=4)  # compiles it
        for n_requests, name in ((1, "alone"), (N_RUNNING, f"in a batch of {N_RUNNING}")):

            def measured(n: int, **options: Any) -> float:
                return tokens_per_s(engine, prompts.many(n, N_PROMPT), **options)

            series = interleave(
                {
                    "constrained": partial(measured, n_requests, json_schema=SCHEMA),
                    "free": partial(measured, n_requests, ignore_eos=True),
                    "llama.cpp's sampler": partial(measured, n_requests, grammar=GRAMMAR),
                },
                n_rounds,
            )
            cases.append(
                Case(
                    name=f"constrained JSON, {name}",
                    method=(
                        f"{n_requests} random prompts of {N_PROMPT} tokens, {N_NEW} new tokens each, greedy; tokens a "
                        "second from the first token on. Constrained: json_schema of an array of objects, compiled "
                        "before. llama.cpp's sampler, beside it: a GBNF grammar for the same JSON, without masks."
                    ),
                    series=series,
                    unit="tokens/s",
                    figure=ratios(series["constrained"], series["free"]),
                    figure_unit="x",
                    target=TARGET_SPEED,
                    at_least=True,
                    notes=settings(),
                )
            )
        assert LLM(engine).stats().sampler_grammars > 0
    return cases


def schema_of(index: int) -> dict[str, Any]:
    """Return a schema that differs from those of all other numbers."""
    random = np.random.default_rng(index)
    kinds: list[dict[str, Any]] = [
        {"type": "string"},
        {"type": "string", "maxLength": int(random.integers(5, 200))},
        {"type": "integer", "minimum": 0, "maximum": int(random.integers(10, 10**6))},
        {"type": "number"},
        {"enum": [f"value {number}" for number in random.integers(0, 1000, 8)]},
        {"type": "string", "format": "date-time"},
        {"type": "array", "items": {"type": "string"}, "maxItems": int(random.integers(1, 20))},
    ]
    names = [f"field_{index}_{number}" for number in range(int(random.integers(3, 15)))]
    properties = {name: kinds[int(random.integers(len(kinds)))] for name in names}
    return {"type": "object", "properties": properties, "required": names[::2]}


def mask_us(structure: Structure, tokens: list[int]) -> list[float]:
    """Return the time of each mask on the way through a text."""
    source = structure.start()
    times: list[float] = []
    for token in tokens:
        started = time.perf_counter()
        source.fill()
        times.append((time.perf_counter() - started) * 1e6)
        assert source.accept(token)
    return times


def measure_masks(n_rounds: int) -> list[Case]:
    """Measure masks and compilation without computing anything."""
    with Model(model_path()) as model, Engine(model, n_ctx=256, max_running=1) as engine:
        engine.structure("choices", ["a"])  # reads the vocabulary
        compile_ms: dict[str, list[float]] = {"p50": [], "p99": []}
        for number in range(n_rounds):
            times: list[float] = []
            for index in range(N_SCHEMAS):
                started = time.perf_counter()
                engine.structure("json_schema", schema_of(number * N_SCHEMAS + index))
                times.append((time.perf_counter() - started) * 1e3)
            compile_ms["p50"].append(statistics.median(times))
            compile_ms["p99"].append(float(np.quantile(times, 0.99)))
        item = {"name": "Ada Lovelace, mathematician", "count": 1815, "tags": ["red"], "parent": None}
        structure = engine.structure("json_schema", SCHEMA)
        tokens = engine.encode(json.dumps([item] * 20)[:-1])
        masks: dict[str, list[float]] = {"p50": [], "worst": []}
        for _ in range(n_rounds):
            measured = mask_us(structure, tokens)
            masks["p50"].append(statistics.median(measured))
            masks["worst"].append(max(measured))
    return [
        Case(
            name="compile a schema",
            method=(
                f"Engine.structure of {N_SCHEMAS} schemas of 3 to 14 properties that no other call had, one thread: "
                "lowering in Python and compiling. The figure is the median of a round's schemas."
            ),
            series=compile_ms,
            unit="ms",
            figure=compile_ms["p50"],
            figure_unit="ms",
            target=TARGET_COMPILE_MS,
            at_least=False,
            notes={"n_vocab": 151_936},
        ),
        Case(
            name="mask",
            method=(
                "MaskSource.fill before each token of a JSON text, called from Python, with the array that it returns; "
                "one thread. The figure is the median of a round's masks, and its worst stands beside it."
            ),
            series=masks,
            unit="us",
            figure=masks["p50"],
            figure_unit="us",
            target=TARGET_MASK_US,
            at_least=False,
            notes={"n_vocab": 151_936, "n_masks": len(tokens)},
        ),
    ]


GROUPS = {
    "speed": measure_speed,
    "masks": measure_masks,
    "render": measure_render,
    "parser": measure_parser,
    "turns": measure_turns,
    "schemas": measure_schemas,
}

if __name__ == "__main__":
    sys.exit(run(__doc__, GROUPS, "structure", n_rounds=5))
