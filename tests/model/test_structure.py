"""Structures over a real vocabulary: masks are exact, and every output follows its structure."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import pytest
from engines import PROMPT, PROMPTS, is_idle, wait_until_idle

from inllama import LLM, AsyncLLM, Engine, GrammarError
from inllama._core import Structure

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 2},
    },
    "required": ["name", "age"],
}
DATE = r"\d{4}-(0[1-9]|1[0-2])-[0-3]\d"


def is_person(value: Any) -> bool:
    return (
        set(value) <= {"name", "age", "tags"}
        and isinstance(value["name"], str)
        and len(value["name"]) <= 12
        and 0 <= value["age"] <= 150
        and set(value.get("tags", [])) <= {"red", "green"}
    )


@pytest.fixture(scope="module", name="engine")
def module_engine() -> Iterator[Engine]:
    with Engine("demo", max_running=8) as engine:
        yield engine


def walk(structure: Structure, engine: Engine, text: str) -> Iterator[tuple[np.ndarray[Any, Any], bytes]]:
    """Yield the mask before each token of a text, and the bytes until there."""
    source = structure.start()
    seen = b""
    for token in engine.encode(text)[1:] if engine.model.tokenizer.adds_bos else engine.encode(text):
        yield source.fill(), seen
        if not source.accept(token):
            return
        seen += engine.piece(token)
    yield source.fill(), seen


def allowed(mask: Any) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist())


STRUCTURES: dict[str, tuple[str, Any, str]] = {
    "object": ("json_schema", PERSON, '{"name": "Ada \\" x", "age": 36, "tags": ["red", "green"]}'),
    "any": ("json_schema", {}, '[1.5e3, "tree", {"a": null}, true]'),
    "others": (
        "json_schema",
        {"properties": {"age": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
        '{"age": 1, "agent": "b", "a": "c"}',
    ),
    "regex": ("regex", DATE, "2024-12-31"),
    "limit": ("json_schema", {"type": "string", "maxLength": 12}, '"a little\\n red"'),
    "both limits": ("json_schema", {"type": "string", "minLength": 3, "maxLength": 9}, '"\u00e9t\u00e9 b \\" it"'),
    "a limit before others": (
        "json_schema",
        {"anyOf": [{"type": "string", "maxLength": 9}, {"enum": ["a red balloon", "a tree"]}]},
        '"a red ball"',
    ),
    "a limit that ends with what it has": ("regex", "[a-z ]{0,12}ed[a-z ]{0,10}!", "the red ball rolled!"),
    "two equal limits": ("regex", "[a-z ]{0,9}[a-z ]{0,9}!", "information on it!"),
    "a limit of escapes": ("json_schema", {"type": "string", "pattern": '^(a|"){0,11}$'}, '"a\\"a\\"aa"'),
    "words": ("regex", r"(\w+ ?)+\.", "the little girl ran away."),
    "choices": ("choices", ["red", "reddish", "green"], "reddish"),
    "grammar": ("grammar", 'root ::= (word " ")* word "."\nword ::= [a-z]+ | "Tom"', "the dog saw Tom and ran."),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_mask_has_exactly_the_tokens_that_are_accepted(engine: Engine, name: str) -> None:
    kind, source, text = STRUCTURES[name]
    structure = engine.structure(kind, source)
    ends = set(engine.model.tokenizer.end_tokens.tolist())
    tokenizer = engine.model.tokenizer
    for mask, seen in walk(structure, engine, text):
        found = allowed(mask)
        trying = structure.start()
        assert seen == b"" or trying.accept_bytes(seen)
        for token in range(tokenizer.n_tokens):
            if token in ends or tokenizer.is_control(token):
                assert (token in found) == (token in ends and trying.can_end), token
                continue
            accepts = trying.accept(token)
            assert accepts == (token in found), (seen, tokenizer.piece(token))
            if accepts:
                trying.rollback(1)


def test_every_output_of_a_schema_follows_it(engine: Engine) -> None:
    llm = LLM(engine)
    rows = [{"prompt": prompt, "seed": seed} for prompt in PROMPTS for seed in range(8)]
    for result in llm.map(rows, json_schema=PERSON, temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, max_tokens=200):
        assert result.finish_reason == "stop"
        assert is_person(json.loads(result.text)), result.text


@pytest.mark.parametrize(
    "options",
    [
        {"mirostat": 1},
        {"mirostat": 2},
        {"typical_p": 0.5},
        {"top_n_sigma": 1.0},
        {"xtc_probability": 1.0},
        {"temperature": 0},
        {"adaptive_target": 0.3},
        {"repeat_penalty": 1.5, "dry_multiplier": 1.0},
    ],
)
def test_every_sampler_keeps_to_the_structure(engine: Engine, options: dict[str, Any]) -> None:
    llm = LLM(engine)
    for seed in range(3):
        assert is_person(
            json.loads(llm.generate(PROMPT, json_schema=PERSON, seed=seed, max_tokens=300, **options).text)
        )
        assert re.fullmatch(DATE, llm.generate(PROMPT, regex=DATE, seed=seed, **options).text)


def test_structures_of_many_threads_do_not_disturb_each_other(engine: Engine) -> None:
    llm = LLM(engine)

    def one(index: int) -> str:
        choices = [f"word {index}", f"other {index}"]
        return llm.generate(PROMPT, choices=choices, seed=index).text

    with ThreadPoolExecutor(8) as pool:
        for index, text in enumerate(pool.map(one, range(48))):
            assert text in (f"word {index}", f"other {index}")


def test_a_structure_beside_a_free_request_changes_nothing_there(exact_engine: Engine) -> None:
    llm = LLM(exact_engine)
    expected = llm.generate(PROMPT, temperature=0, max_tokens=40).text
    free = llm.stream(PROMPT, temperature=0, max_tokens=40)
    assert llm.generate(PROMPT, choices=["a", "b"]).text in ("a", "b")
    assert free.result().text == expected


def test_cancelled_and_late_requests_with_structures_leave_nothing(engine: Engine) -> None:
    llm = LLM(engine)
    stream = llm.stream(PROMPT, json_schema={"type": "array", "minItems": 1000})
    next(stream)
    stream.close()
    with pytest.raises(Exception, match="time was over"):
        llm.generate(PROMPT, json_schema={"type": "array", "minItems": 1000}, timeout_s=0.05)
    wait_until_idle(engine)
    assert is_idle(engine)


@pytest.mark.parametrize("options", [{"json_schema": {"enum": ["red", "green"]}}, {"output": Literal["red", "green"]}])
def test_a_structure_is_compiled_off_the_event_loop(
    engine: Engine, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    compiled = engine.structure

    def recorded(*args: Any, **kwargs: Any) -> Structure:
        threads.append(threading.get_ident())
        return compiled(*args, **kwargs)

    monkeypatch.setattr(engine, "structure", recorded)

    async def main() -> list[str]:
        llm = AsyncLLM(engine)
        stream = llm.stream(PROMPT, **options)
        texts = [(await llm.generate(PROMPT, **options)).text, "".join([chunk.text async for chunk in stream])]
        texts += [result.text async for result in llm.map([PROMPT, {"prompt": PROMPT, **options}], **options)]
        return [*texts, (await llm.chat("Which?", **options)).message.content]

    assert {json.loads(text) for text in asyncio.run(main())} <= {"red", "green"}
    assert len(threads) >= 4
    assert threading.get_ident() not in threads


def test_log_probabilities_are_those_before_the_structure(engine: Engine) -> None:
    llm = LLM(engine)
    free = llm.generate(PROMPT, max_tokens=1, logprobs=1, temperature=0).logprobs
    bound = llm.generate(PROMPT, choices=["}"], logprobs=1, temperature=0).logprobs
    assert free is not None
    assert bound is not None
    assert bound[0].top == free[0].top
    assert bound[0].logprob < free[0].logprob


def test_options_that_leave_no_token_are_named(engine: Engine) -> None:
    llm = LLM(engine)
    ban = {token: -float("inf") for token in range(engine.model.tokenizer.n_tokens)}
    with pytest.raises(GrammarError, match="check logit_bias"):
        llm.generate(PROMPT, choices=["yes"], logit_bias=ban)
    assert llm.generate(PROMPT, choices=["yes"]).text == "yes"


def test_end_tokens_in_a_grammar_run_on_the_sampler_and_are_counted(engine: Engine) -> None:
    llm = LLM(engine)
    before = llm.stats()
    end = int(engine.model.tokenizer.end_tokens[0])
    result = llm.generate(PROMPT, grammar=f'root ::= "yes" | "yes" <[{end}]>', max_tokens=10)
    assert result.text == "yes"
    after = llm.stats()
    assert after.sampler_grammars == before.sampler_grammars + 1
    assert after.structured == before.structured


def test_other_control_tokens_in_a_grammar_are_masks(engine: Engine) -> None:
    llm = LLM(engine)
    before = llm.stats()
    (token,) = engine.encode("<|im_start|>", parse_special=True, add_special=False)
    assert engine.model.tokenizer.is_control(token)
    result = llm.generate(PROMPT, grammar=f'root ::= "yes" <[{token}]> "no"', max_tokens=10)
    assert (result.text, token in result.token_ids) == ("yesno", True)
    assert llm.stats().structured == before.structured + 1
