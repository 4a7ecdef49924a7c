"""Random schemas on the demo model: outputs end, and every one that ended validates."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import jsonschema

from bench.measure import Case
from inllama import LLM

N_PAIRS = 1000
MAX_TOKENS = 600
WORDS = ["dog", "red", "house", "a longer text", "ü", "7", 'quote " here', ""]


def _scalar(rng: random.Random) -> dict[str, Any]:
    low = rng.randint(-50, 50)
    return rng.choice(
        [
            {"type": "string", "maxLength": rng.randint(1, 24)},
            {"type": "string", "minLength": 1, "maxLength": rng.randint(1, 12)},
            {"type": "string", "pattern": rng.choice(["^[a-z]{1,8}$", "^[0-9]{3}-[0-9]{2}$", "^(yes|no)$"])},
            {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 1000)},
            {"type": "boolean"},
            {"type": "null"},
            {"enum": rng.sample(WORDS, rng.randint(1, 4))},
            {"const": rng.choice([*WORDS, 3, None, True])},
            {"type": "string", "format": rng.choice(["date", "uuid"])},
        ]
    )


def schema(rng: random.Random, depth: int = 3) -> dict[str, Any]:
    """Return a schema of which every instance is bounded."""
    kind = rng.choice(["object", "array", "any", "scalar", "scalar"] if depth else ["scalar"])
    if kind == "object":
        names = rng.sample(["name", "age", "tags", "kind", "note", "süd", "a b"], rng.randint(1, 4))
        required = [name for name in names if rng.random() < 0.7]
        properties = {name: schema(rng, depth - 1) for name in names}
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if kind == "array":
        most = rng.randint(1, 4)
        return {"type": "array", "items": schema(rng, depth - 1), "minItems": rng.randint(0, most), "maxItems": most}
    if kind == "any":
        return {"anyOf": [schema(rng, depth - 1) for _ in range(rng.randint(2, 3))]}
    return _scalar(rng)


def _rows(n: int) -> Iterator[dict[str, Any]]:
    for seed in range(n):
        rng = random.Random(f"schema {seed}")
        yield {"prompt": "Answer: ", "json_schema": schema(rng), "seed": seed}


def measure_schemas(n_rounds: int) -> list[Case]:
    """Measure a thousand pairs of a schema and a seed, once."""
    rows = list(_rows(N_PAIRS))
    n_ended = n_valid = 0
    with LLM(max_running=16) as llm:
        for row, result in zip(rows, llm.map(rows, max_tokens=MAX_TOKENS), strict=True):
            if result.finish_reason != "stop":
                continue
            n_ended += 1
            validator = jsonschema.Draft202012Validator(
                row["json_schema"], format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
            )
            n_valid += validator.is_valid(json.loads(result.text))
    method = (
        f"LLM.map of {N_PAIRS} random schemas, each with a seed of its own, on the demo model with its recommended "
        f"sampling and at most {MAX_TOKENS} tokens. "
    )
    notes = {"n_pairs": N_PAIRS, "n_ended": n_ended, "n_valid": n_valid, "jsonschema": metadata.version("jsonschema")}
    return [
        Case(
            name="random schemas: outputs that end",
            method=method + "Those that ended by themselves.",
            series={"ended": [n_ended / N_PAIRS]},
            unit="of all",
            figure=[n_ended / N_PAIRS],
            figure_unit="of all",
            target=0.95,
            at_least=True,
            notes=notes,
        ),
        Case(
            name="random schemas: outputs that validate",
            method=method + "Of those that ended, the ones that jsonschema accepts, formats included.",
            series={"valid": [n_valid / max(n_ended, 1)]},
            unit="of those that ended",
            figure=[n_valid / max(n_ended, 1)],
            figure_unit="of those that ended",
            target=1.0,
            at_least=True,
            notes=notes,
        ),
    ]
