"""Vectors of every kind of model: the reference's numbers, whatever is computed together, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
from engines import EXACT
from numpy.typing import NDArray

from inllama import (
    LLM,
    Batch,
    Context,
    ContextFullError,
    Engine,
    InsufficientMemoryError,
    Model,
    UnsupportedError,
)

MakeLLM = Callable[..., LLM]
DECODERS = ("llama", "moe", "gemma", "mamba", "hybrid", "t5")
SEP = 102
# Largest difference that computing texts together makes.
TOGETHER = 1e-5


@pytest.fixture
def make_llm(request: pytest.FixtureRequest) -> Iterator[MakeLLM]:
    """A function that makes an LLM of a model, or of a model fixture, whose numbers can be compared."""
    with ExitStack() as made:

        def make(model: str | Model, **options: Any) -> LLM:
            loaded: Model = request.getfixturevalue(model) if isinstance(model, str) else model
            return LLM(made.enter_context(Engine(loaded, **EXACT, **options)))

        yield make


@pytest.fixture(scope="module")
def golden() -> Iterator[Any]:
    with np.load(tiny.path_of("llama").with_name(tiny.GOLDEN)) as numbers:
        yield numbers


@pytest.fixture(scope="module")
def far_llama(llama_path: Path) -> Iterator[Model]:
    """A llama that takes longer texts than one step."""
    with Model(llama_path, kv_overrides={"llama.context_length": 8192}) as loaded:
        yield loaded


def golden_rows(golden: Any, name: str) -> tuple[list[str], NDArray[np.float32]]:
    n = sum(key.startswith(f"{name}/") and key.endswith("/text") for key in golden)
    return (
        [str(golden[f"{name}/{index}/text"]) for index in range(n)],
        np.stack([golden[f"{name}/{index}/values"] for index in range(n)]),
    )


def mixed_texts(n: int, n_longest: int = 60) -> list[list[int]]:
    lengths = np.random.default_rng(n).integers(1, n_longest, n)
    return [tiny.random_tokens(int(length), seed) for seed, length in enumerate(lengths)]


def one_by_one(llm: LLM, texts: list[list[int]], **options: Any) -> NDArray[np.float32]:
    return np.stack([llm.embed(text, **options) for text in texts])


# ------------------------------------------------------------------------------------------------------- the numbers


@pytest.mark.parametrize(("name", "pooling"), [("bert_mean", None), ("bert_cls", None), ("bert_cls", "mean")])
def test_vectors_equal_the_reference(make_llm: MakeLLM, golden: Any, name: str, pooling: str | None) -> None:
    texts, expected = golden_rows(golden, f"bert_{pooling}" if pooling else name)
    llm = make_llm(name)
    options: dict[str, Any] = {"pooling": pooling, "normalize": "none"}
    assert tiny.difference(llm.embed(texts, **options), expected) <= tiny.GOLDEN_TOLERANCE
    for text, values in zip(texts, expected, strict=True):
        assert tiny.difference(llm.embed(text, **options), values) <= tiny.GOLDEN_TOLERANCE


@pytest.mark.parametrize("options", [{}, {"flash_attention": "auto", "kv_type_k": "f16", "kv_type_v": "f16"}], ids=str)
def test_vectors_have_the_direction_of_the_reference(bert_mean: Model, golden: Any, options: dict[str, Any]) -> None:
    texts, expected = golden_rows(golden, "bert_mean")
    with Engine(bert_mean, **options) as engine:
        found = LLM(engine).embed(texts)
    cosines = (found * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines == pytest.approx(np.ones(len(texts)), abs=1e-3)


@pytest.mark.parametrize(("name", "pooling"), [("bert_mean", None), ("llama", "last"), ("llama", "mean")])
def test_a_thousand_texts_at_once_give_the_same_as_alone(make_llm: MakeLLM, name: str, pooling: str | None) -> None:
    texts = mixed_texts(1000)
    llm = make_llm(name)
    found = llm.embed(texts, pooling=pooling)
    assert llm.stats().embed_steps < 350
    assert tiny.difference(found, one_by_one(llm, texts, pooling=pooling)) <= TOGETHER


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("name", DECODERS)
def test_texts_at_once_give_the_same_as_alone(make_llm: MakeLLM, name: str, pooling: str) -> None:
    texts = [*mixed_texts(40), tiny.random_tokens(300, 1000), *mixed_texts(40)]
    llm = make_llm(name)
    found = llm.embed(texts, pooling=pooling)
    assert tiny.difference(found, one_by_one(make_llm(name), texts, pooling=pooling)) <= TOGETHER


@pytest.mark.parametrize("name", [*DECODERS, "bert_mean", "rank"])
def test_vectors_of_tokens_pool_to_the_texts(make_llm: MakeLLM, name: str) -> None:
    texts = mixed_texts(20)
    llm = make_llm(name)
    rows = llm.embed_tokens(texts, normalize="none")
    assert [len(vectors) for vectors in rows] == [len(text) for text in texts]
    pools: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
        "mean": lambda vectors: vectors.mean(axis=0),
        "cls": lambda vectors: vectors[0],
        "last": lambda vectors: vectors[-1],
    }
    for pooling, pool in pools.items():
        expected = np.stack([pool(vectors) for vectors in rows])
        assert tiny.difference(llm.embed(texts, pooling=pooling, normalize="none"), expected) <= 5 * TOGETHER


@pytest.mark.parametrize("name", DECODERS)
def test_vectors_of_tokens_are_those_of_a_context(make_llm: MakeLLM, name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    tokens = tiny.random_tokens(30)
    found = make_llm(model).embed_tokens(tokens, normalize="none")
    with Context(model, **tiny.EXACT, embeddings=True, pooling="none") as context:
        compute = context.encode if model.has_encoder else context.decode
        compute(Batch(tokens, outputs="all"))
        expected = np.stack([context.embeddings(row) for row in range(len(tokens))])
    assert tiny.difference(found, expected) <= TOGETHER


def test_texts_are_what_the_model_reads_of_them(make_llm: MakeLLM, llama: Model, t5: Model) -> None:
    for model in (llama, t5):
        llm = make_llm(model)
        tokens = model.tokenizer.encode("a small text").tolist()
        assert np.array_equal(llm.embed("a small text", pooling="mean"), llm.embed(tokens, pooling="mean"))
        assert llm.embed_tokens("a small text").shape == (len(tokens), tiny.N_EMBD)


def test_longer_and_longer_texts_give_the_same_as_in_an_engine_of_their_own(
    make_llm: MakeLLM, far_llama: Model
) -> None:
    growing = make_llm(far_llama)
    for n in (3, 600, 10, 1300, 2000, 5):
        tokens = tiny.random_tokens(n)
        alone = make_llm(far_llama).embed(tokens, pooling="last")
        assert tiny.difference(growing.embed(tokens, pooling="last"), alone) <= TOGETHER


# -------------------------------------------------------------------------------------------------- what is refused


def test_model_that_names_no_pooling_asks_for_one(make_llm: MakeLLM) -> None:
    for name in DECODERS:
        with pytest.raises(UnsupportedError, match="give pooling='mean', 'cls' or 'last'"):
            make_llm(name).embed("a text")


def test_model_that_scores_texts_says_what_to_call(make_llm: MakeLLM) -> None:
    llm = make_llm("rank")
    with pytest.raises(UnsupportedError, match=r"use rerank\(\) or classify\(\)"):
        llm.embed("a text")
    assert llm.embed("a text", pooling="mean").shape == (tiny.N_EMBD,)


def test_encoder_generates_no_text(make_llm: MakeLLM) -> None:
    llm = make_llm("bert_mean")
    messages = [{"role": "user", "content": "a"}]
    calls: list[Callable[[], object]] = [
        lambda: llm.generate("a"),
        lambda: llm.stream("a"),
        lambda: llm.chat(messages),
        lambda: llm.token_logprobs("a", "b"),
    ]
    for call in calls:
        with pytest.raises(UnsupportedError):
            call()
    with pytest.raises(UnsupportedError, match="this model generates no text"):
        llm.generate("a")


def test_text_longer_than_the_model_takes_says_which(make_llm: MakeLLM, bert_mean: Model) -> None:
    llm = make_llm(bert_mean)
    with pytest.raises(ContextFullError, match="text 1 has 82 tokens but the model takes 64") as raised:
        llm.embed(["a", "b" * 80])
    assert (raised.value.index, raised.value.n_prompt, raised.value.n_ctx) == (1, 82, 64)
    assert llm.embed("b" * 62).shape == (tiny.N_EMBD,)


def test_text_that_is_cut_keeps_its_last_separator(make_llm: MakeLLM, bert_mean: Model) -> None:
    llm = make_llm(bert_mean)
    tokens = bert_mean.tokenizer.encode("b" * 80).tolist()
    text, ids = llm.embed(["b" * 80, tokens], truncate=True)
    assert tokens[-1] == SEP
    assert tiny.difference(text, llm.embed([*tokens[:63], SEP])) <= TOGETHER
    assert tiny.difference(ids, llm.embed(tokens[:64])) <= TOGETHER
    assert llm.embed_tokens("b" * 80, truncate=True).shape == (64, tiny.N_EMBD)


def test_text_without_room_in_memory_says_how_much_it_needs(make_llm: MakeLLM, far_llama: Model) -> None:
    llm = make_llm(far_llama, embed_memory=1 << 20)
    short, long = tiny.random_tokens(20), tiny.random_tokens(800)
    with pytest.raises(InsufficientMemoryError, match="text 2 has 800 tokens, which take") as raised:
        llm.embed([short, short, long], pooling="mean")
    error = raised.value
    assert (error.index, error.n_tokens) == (2, 800)
    assert error.needed_bytes > 1 << 20 >= error.limit_bytes
    n_most = error.limit_bytes * 800 // error.needed_bytes
    rows = llm.embed([short, long, tiny.random_tokens(n_most)], pooling="mean", truncate=True)
    expected = make_llm(far_llama).embed([short, long[:n_most]], pooling="mean")
    assert tiny.difference(rows[:2], expected) <= TOGETHER


# -------------------------------------------------------------------------------------------------------- one engine


def test_outputs_do_not_depend_on_texts_beside_them(make_llm: MakeLLM) -> None:
    llm = make_llm("llama")
    texts = mixed_texts(300)
    prompts = [tiny.random_tokens(20, seed) for seed in range(4)]
    greedy: dict[str, Any] = {"temperature": 0, "max_tokens": 60, "ignore_eos": True}
    alone = [result.token_ids for result in llm.generate(prompts, **greedy)]
    rows = llm.embed(texts, pooling="mean")
    with ThreadPoolExecutor(2) as pool:
        embedding = [pool.submit(llm.embed, texts, pooling="mean") for _ in range(2)]
        beside = [result.token_ids for result in llm.generate(prompts, **greedy)]
        found = [one.result() for one in embedding]
    assert beside == alone
    assert max(tiny.difference(one, rows) for one in found) <= TOGETHER


def test_threads_get_the_rows_of_their_texts(make_llm: MakeLLM) -> None:
    llm = make_llm("bert_mean")
    texts = mixed_texts(240)
    expected = one_by_one(llm, texts)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: llm.embed(texts[i : i + 12]), range(0, 240, 12)))
    assert tiny.difference(np.concatenate(found), expected) <= TOGETHER


def child(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "INLLAMA_LEAK_WARNINGS": "1"},
    )


AT_ONCE = """
    import sys, threading
    from inllama import LLM, Engine, Model

    model = Model(sys.argv[1], kv_overrides={"llama.context_length": 8192})
    problems = []

    def embed(llm, barrier, n_tokens):
        barrier.wait()
        try:
            llm.embed([140] * n_tokens, pooling="last")
        except Exception as problem:
            problems.append(problem)

    for _ in range(60):
        with Engine(model, n_threads=1) as engine:
            barrier = threading.Barrier(6)
            threads = [
                threading.Thread(target=embed, args=(LLM(engine), barrier, n)) for n in (10, 900, 20, 700, 900, 30)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            LLM(engine).embed([140] * 900, pooling="last")
    print(problems)
"""


def test_first_texts_may_come_from_many_threads(llama_path: Path) -> None:
    done = child(AT_ONCE, llama_path)
    assert (done.stdout.strip(), done.returncode, done.stderr) == ("[]", 0, "")


FREED = """
    import ctypes, gc, sys
    from inllama import LLM, Engine, EngineClosedError, Model

    model = Model(sys.argv[1], kv_overrides={"llama.context_length": 8192})

    def resident_bytes():
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    def embed(engine):
        llm = LLM(engine)
        for n_tokens in (10, 1000):
            for pooling in ("mean", "last"):
                llm.embed([140] * n_tokens, pooling=pooling)
            llm.embed_tokens([140] * n_tokens)

    engines, sizes = [], []
    for _ in range(8):
        engines.append(Engine(model, n_threads=1, n_ctx=256))
        embed(engines[-1])
        opened = resident_bytes()
        engines[-1].close()
        sizes.append(resident_bytes())
        try:
            LLM(engines[-1]).embed("a", pooling="mean")
        except EngineClosedError:
            print("closed")
    print(opened - sizes[-1], max(sizes[2:]) - sizes[2])
    embed(Engine(model, n_threads=1))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_closing_the_engine_frees_what_texts_needed(llama_path: Path) -> None:
    done = child(FREED, llama_path)
    *closed, numbers = done.stdout.splitlines()
    assert (closed, done.returncode, done.stderr) == (["closed"] * 8, 0, "")
    n_freed, n_kept = map(int, numbers.split())
    assert n_kept < n_freed
