"""What a request gets does not depend on who else runs, what is cached, and how its prompt is cut."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from inllama import LLM, Model

EXACT: dict[str, Any] = {
    "n_threads": 1,
    "flash_attention": "off",
    "kv_type_k": "f32",
    "kv_type_v": "f32",
    "n_ctx": 2048,
}
GREEDY: dict[str, Any] = {"temperature": 0, "ignore_eos": True, "max_tokens": 12}
GENERATING = ["llama", "moe", "gemma", "mamba", "hybrid", "hybrid_swa", "t5"]
CHUNKS = [1, 7, 64, 512]


def prompts(model: Model) -> list[list[int]]:
    """Return prompts of which some begin alike, at places that are no round numbers."""
    random = np.random.default_rng(5)
    n_vocab = model.tokenizer.n_tokens
    long = random.integers(10, n_vocab, 131).tolist()
    short = random.integers(10, n_vocab, 9).tolist()
    return [
        long,
        long[:70] + short,
        long[:70] + short[::-1],
        long[:33],
        short,
        short + long[:40],
        [*long, *short],
        long,
    ]


@pytest.fixture(params=GENERATING)
def model(request: pytest.FixtureRequest) -> Model:
    found: Model = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def alone(model: Model) -> list[tuple[int, ...]]:
    """What each prompt gives in an engine that nothing else runs in, with all of its prompt in one step."""
    with LLM(model, prefix_cache=False, max_running=1, **EXACT) as llm:
        return [llm.generate(prompt, **GREEDY).token_ids for prompt in prompts(model)]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_cutting_prompts_and_sharing_them_changes_no_token(
    model: Model, alone: list[tuple[int, ...]], chunk: int
) -> None:
    # All at once, then again over what is cached now. With one row a step there is one request at a time;
    # with more, prompts are cut beside others.
    step = 512 if model.has_encoder else chunk  # an encoder reads its prompt at once
    for shares, n_rows in ((True, step), (False, step), (True, max(step, 64)), (False, max(step, 64))):
        sizes = {"step_tokens": n_rows, "prefill_chunk": chunk, "max_running": 4}
        with LLM(model, **sizes, prefix_cache=shares, **EXACT) as llm:
            for _ in range(2):
                rows = llm.generate(prompts(model), **GREEDY)
                assert [row.token_ids for row in rows] == alone
            assert shares or llm.stats().cached_tokens == 0
    with LLM(model, step_tokens=step, prefill_chunk=chunk, max_running=1, prefix_cache=False, **EXACT) as llm:
        assert [llm.generate(prompt, **GREEDY).token_ids for prompt in prompts(model)] == alone


def test_sharing_in_any_order_of_steps_changes_no_token(model: Model, alone: list[tuple[int, ...]]) -> None:
    # Which requests share a step depends on how fast they come, so this is tried some times.
    for _ in range(6):
        with LLM(model, max_running=4, **EXACT) as llm:
            for _ in range(2):
                assert [row.token_ids for row in llm.generate(prompts(model), **GREEDY)] == alone


def test_requests_of_many_threads_get_what_they_would_get_alone(model: Model, alone: list[tuple[int, ...]]) -> None:
    with LLM(model, max_running=8, **EXACT) as llm, ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            rows = list(pool.map(lambda prompt: llm.generate(prompt, **GREEDY).token_ids, prompts(model)))
            assert rows == alone


def test_little_memory_changes_no_token(model: Model, alone: list[tuple[int, ...]]) -> None:
    if model.has_encoder or model.is_recurrent:
        pytest.skip("its requests need no cells of each other")
    # Three of them fit: others are evicted, preempted and computed again.
    with LLM(model, max_running=4, **{**EXACT, "n_ctx": 256}) as llm:
        rows = llm.generate(prompts(model), **GREEDY)
        assert [row.token_ids for row in rows] == alone
        is_kept = not (model.is_hybrid and model.n_swa > 0)
        assert (llm.stats().evicted_cells > 0) == is_kept


@pytest.mark.parametrize("n", [2, 16, 64])
def test_prefix_of_concurrent_requests_is_computed_once(llama: Model, n: int) -> None:
    random = np.random.default_rng(6)
    prefix = random.integers(10, llama.tokenizer.n_tokens, 200).tolist()
    tails = [[20 + i, 30 + i, 40 + i] for i in range(n)]
    with LLM(llama, max_running=16, **{**EXACT, "n_ctx": 4096}) as llm, ThreadPoolExecutor(n) as pool:
        rows = list(pool.map(lambda tail: llm.generate(prefix + tail, **GREEDY), tails))
        assert llm.stats().prefill_tokens == len(prefix) + 3 * n
        assert sum(row.usage.cached_tokens for row in rows) == len(prefix) * (n - 1)
