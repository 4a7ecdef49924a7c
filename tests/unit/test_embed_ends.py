"""How calls that embed, rank or classify end on a FakeEngine, and what they share an engine with."""

from __future__ import annotations

import _thread
import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inllama import (
    LLM,
    AsyncLLM,
    Classification,
    ContextFullError,
    DeadlineError,
    DecodeError,
    EngineClosedError,
    InvalidRequestError,
    Ranked,
)
from inllama.testing import FakeEngine

MakeEngine = Callable[..., FakeEngine]
N_VALUES = 64
LONG = ["a" * 512] * 200  # each takes a step of its own
N_AT_ONCE = 64  # so many of them the engine is given at once


def numbered(n: int) -> list[str]:
    """Texts that all differ, of many lengths."""
    return [f"text {i} " + "ab" * (i % 17) for i in range(n)]


def one_by_one(llm: LLM, texts: list[str]) -> NDArray[np.float32]:
    return np.stack([llm.embed(text) for text in texts])


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("n_before", [0, 70, 1500])
@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        ("", InvalidRequestError, "has no tokens"),
        ([], InvalidRequestError, "has no tokens"),
        ("x" * 41, ContextFullError, "has 41 tokens but the model takes 40"),
        ("\ud800", InvalidRequestError, "lone surrogate"),
    ],
    ids=["no text", "no tokens", "too long", "surrogate"],
)
def test_error_of_a_text_says_which(
    fake_engine: MakeEngine, bad: Any, error: type[Exception], text: str, n_before: int
) -> None:
    texts: list[Any] = [*["good"] * n_before, bad, "good"]
    with pytest.raises(error, match=text) as raised:
        LLM(fake_engine(n_ctx=40)).embed(texts)
    assert raised.value.index == n_before  # type: ignore[attr-defined]


def test_texts_that_are_too_long_can_be_cut(fake_engine: MakeEngine) -> None:
    llm = LLM(fake_engine(n_ctx=10))
    texts: list[Any] = ["0123456789", "0123456789abc", list(b"0123456789abc")]
    assert np.array_equal(llm.embed(texts, truncate=True), one_by_one(llm, ["0123456789"] * 3))
    same, cut = llm.rerank("query", ["0123", "0123456"], truncate=True)
    assert same.score == cut.score
    with pytest.raises(ContextFullError) as raised:
        llm.rerank("query", ["0123", "0123456"])
    assert (raised.value.index, raised.value.n_prompt, raised.value.n_ctx) == (1, 13, 10)


def test_deadline_ends_the_call(fake_engine: MakeEngine) -> None:
    engine = fake_engine(step_s=0.01)
    with pytest.raises(DeadlineError, match="give a larger timeout_s") as raised:
        LLM(engine).embed(LONG, timeout_s=0.1)
    assert raised.value.elapsed_s >= 0.1
    wait_until(lambda: engine.stats().texts_waiting == 0)


def test_waiting_for_room_counts_towards_the_deadline(fake_engine: MakeEngine) -> None:
    llm = LLM(fake_engine("x" * 10_000, max_running=1, max_queue=0))
    stream = llm.stream("a")
    with pytest.raises(DeadlineError):
        llm.embed("a", timeout_s=0.1)
    stream.close()
    assert llm.embed("a", timeout_s=10).shape == (N_VALUES,)


def test_error_of_the_generator_is_the_callers(fake_engine: MakeEngine) -> None:
    engine = fake_engine()

    def texts() -> Iterator[str]:
        yield from numbered(2000)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        LLM(engine).embed(texts())
    wait_until(lambda: engine.stats().texts_waiting == 0)


def test_ctrl_c_ends_the_call(fake_engine: MakeEngine) -> None:
    engine = fake_engine(step_s=0.05)

    def interrupt() -> None:
        wait_until(lambda: engine.stats().texts_waiting > 0)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        LLM(engine).embed(LONG)
    thread.join()
    wait_until(lambda: engine.stats().texts_waiting == 0)
    assert engine.stats().embedded_texts < N_AT_ONCE


def test_closing_the_engine_ends_the_call(fake_engine: MakeEngine) -> None:
    engine = fake_engine(step_s=0.01)

    def close() -> None:
        wait_until(lambda: engine.stats().texts_waiting > 0)
        engine.close()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(EngineClosedError):
        LLM(engine).embed(LONG)
    thread.join()
    for call in (LLM(engine).embed, LLM(engine).embed_tokens, LLM(engine).classify):
        with pytest.raises(EngineClosedError):
            call([])


FORK = """
    import os, sys
    from inllama import LLM, ForkedEngineError
    from inllama.testing import FakeEngine

    with FakeEngine() as engine:
        llm = LLM(engine)
        llm.embed("a")
        child = os.fork()
        if child == 0:
            n = 0
            for call in (llm.embed, llm.embed_tokens, llm.classify, lambda text: llm.rerank("a", [text])):
                try:
                    call("a")
                except ForkedEngineError:
                    n += 1
            os._exit(n)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), llm.embed("a").shape)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_the_child_of_a_fork_is_told() -> None:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORK)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.returncode, done.stderr) == ("4 (64,)", 0, "")


@pytest.mark.parametrize("status", ["failed", "no_memory", "aborted"])
def test_step_that_fails_once_changes_no_vector(fake_engine: MakeEngine, status: Any) -> None:
    engine = fake_engine()
    expected = LLM(engine).embed(numbered(100))
    engine.fail_steps(1, status)
    assert np.array_equal(LLM(engine).embed(numbered(100)), expected)
    assert engine.stats().failed_steps == 1


def test_text_alone_in_a_step_that_fails_once_is_computed_again(fake_engine: MakeEngine) -> None:
    engine = fake_engine()
    engine.fail_steps(1)
    assert np.array_equal(LLM(engine).embed("abc"), LLM(engine).embed("abc"))


def test_text_that_cannot_be_computed_is_an_error(fake_engine: MakeEngine) -> None:
    engine = fake_engine()
    engine.fail_steps(3)
    with pytest.raises(DecodeError, match="a text of 3 tokens could not be computed"):
        LLM(engine).embed(["abc", "def"])
    wait_until(lambda: engine.stats().texts_waiting == 0)


# ------------------------------------------------------------------------------------------------------- one engine


def test_outputs_and_texts_go_on_beside_each_other(fake_engine: MakeEngine) -> None:
    engine = fake_engine("x", step_s=0.0002)
    llm = LLM(engine)
    texts = numbered(2000)
    expected = llm.embed(texts)
    stream = llm.stream("a", ignore_eos=True)
    next(stream)
    n_before = engine.stats().completion_tokens
    assert np.array_equal(llm.embed(texts), expected)
    assert engine.stats().completion_tokens - n_before > 10
    stream.cancel()
    assert stream.result().text.startswith("x  ")


def test_threads_get_the_rows_of_their_texts(fake_engine: MakeEngine) -> None:
    llm = LLM(fake_engine())
    texts = numbered(400)
    expected = one_by_one(llm, texts)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: llm.embed(texts[i : i + 20]), range(0, 400, 20)))
    assert np.array_equal(np.concatenate(found), expected)


def test_stats_count_texts(fake_engine: MakeEngine) -> None:
    engine = fake_engine()
    LLM(engine).embed(["ab", "cde"])
    LLM(engine).rerank("q", ["d"])
    stats = engine.stats()
    assert (stats.embedded_texts, stats.embedded_tokens, stats.texts_waiting) == (3, 8, 0)
    assert (stats.embed_steps, stats.submitted) == (2, 0)


# ------------------------------------------------------------------------------------------------------- event loops


def test_awaiting_gives_the_same(fake_engine: MakeEngine) -> None:
    engine = fake_engine()
    llm = LLM(engine)
    texts = numbered(1500)
    out = np.zeros((1500, N_VALUES), np.float32)
    seen: list[int] = []

    async def run() -> tuple[list[Ranked], list[Classification]]:
        aio = AsyncLLM(engine)
        given = await aio.embed(iter(texts), out=out, progress=lambda n_done, _: seen.append(n_done), dimensions=None)
        assert np.shares_memory(given, out)
        assert np.array_equal(await aio.embed("one", pooling="last"), llm.embed("one", pooling="last"))
        assert np.array_equal(await aio.embed_tokens("one"), llm.embed_tokens("one"))
        assert np.array_equal(await aio.rerank_scores("q", texts), llm.rerank_scores("q", texts))
        return await aio.rerank("q", texts, top_n=5), await aio.classify(texts)

    assert asyncio.run(run()) == (llm.rerank("q", texts, top_n=5), llm.classify(texts))
    assert np.array_equal(out, llm.embed(texts))
    assert seen[-1] == 1500


def test_many_tasks_embed_at_once(fake_engine: MakeEngine) -> None:
    engine = fake_engine(max_running=4, max_queue=4)
    texts = numbered(200)

    async def run() -> list[NDArray[np.float32]]:
        aio = AsyncLLM(engine)
        return await asyncio.gather(*(aio.embed(text) for text in texts))

    assert np.array_equal(np.stack(asyncio.run(run())), LLM(engine).embed(texts))


def test_cancelled_task_frees_the_engine(fake_engine: MakeEngine) -> None:
    engine = fake_engine(step_s=0.01)

    async def run() -> None:
        aio = AsyncLLM(engine)
        task = asyncio.create_task(aio.embed(LONG))
        while engine.stats().texts_waiting == 0:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await aio.embed("next")).shape == (N_VALUES,)

    asyncio.run(run())
    assert engine.stats().texts_waiting == 0
    assert engine.stats().embedded_texts < N_AT_ONCE


def test_error_reaches_the_task_that_asked(fake_engine: MakeEngine) -> None:
    engine = fake_engine(n_ctx=10)

    async def run() -> list[Any]:
        aio = AsyncLLM(engine)
        calls = (aio.embed(["a", "b" * 11]), aio.embed("a"), aio.rerank("q", "a"), aio.embed("a", timeout_s=0))
        return list(await asyncio.gather(*calls, return_exceptions=True))

    long, good, wrong, late = asyncio.run(run())
    assert (type(long), long.index) == (ContextFullError, 1)
    assert good.shape == (N_VALUES,)
    assert (type(wrong), type(late)) == (TypeError, DeadlineError)
