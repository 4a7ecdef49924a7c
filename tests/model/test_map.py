"""map of LLM and AsyncLLM: order, window, errors, sources of every kind, and flat memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from engines import PROMPT, run, until_idle, wait_until_idle

from inllama import (
    LLM,
    AsyncLLM,
    Completion,
    ContextFullError,
    Engine,
    EngineClosedError,
    GrammarError,
    InvalidRequestError,
)
from inllama.testing import FakeEngine, Reply

Collect = Callable[..., list[Any]]
LONG = "long " * 3000


@pytest.fixture(params=["LLM", "AsyncLLM"])
def collect(request: pytest.FixtureRequest) -> Collect:
    """Reads rows of a map, all or the first ``n_read``; ``see`` is called with each."""

    def rows_of(engine: Engine, rows: Any, *, n_read: int = -1, see: Any = id, **options: Any) -> list[Any]:
        read: list[Any] = []

        def is_enough(row: Any) -> bool:
            read.append(row)
            see(row)
            return len(read) == n_read

        async def main() -> None:
            async with aclosing(AsyncLLM(engine).map(rows, **options)) as results:
                async for row in results:
                    if is_enough(row):
                        break

        if request.param == "AsyncLLM":
            run(main())
        else:
            any(map(is_enough, LLM(engine).map(rows, **options)))
        return read

    return rows_of


@pytest.fixture
def echo() -> Iterator[FakeEngine]:
    with FakeEngine(lambda prompt: prompt, max_running=8) as engine:
        yield engine


def texts(rows: Iterable[Any]) -> list[str]:
    return [row.text for row in rows]


# ---------------------------------------------------------------------------------------------------------- results


def test_rows_are_what_generate_gives(exact_engine: Engine, collect: Collect) -> None:
    prompts = [f"One day, a {animal}" for animal in ("fox", "dog", "cat", "duck", "bear", "owl")]
    alone = [LLM(exact_engine).generate(prompt, temperature=0, max_tokens=20) for prompt in prompts]
    rows = collect(exact_engine, prompts, temperature=0, max_tokens=20)
    assert [row.token_ids for row in rows] == [row.token_ids for row in alone]
    tokens = [exact_engine.encode(prompt) for prompt in prompts]
    assert texts(collect(exact_engine, tokens, temperature=0, max_tokens=20)) == texts(alone)


def test_results_come_in_the_order_of_the_rows(echo: FakeEngine, collect: Collect) -> None:
    prompts = ["x" * (1 + 37 * i % 50) for i in range(60)]
    assert texts(collect(echo, prompts)) == prompts


def test_results_come_as_they_end_when_not_ordered(collect: Collect) -> None:
    with FakeEngine(lambda prompt: prompt, step_s=0.001, max_running=4) as engine:
        prompts = ["x" * 60, "a", "bb", "ccc"]
        found = texts(collect(engine, prompts, ordered=False))
        assert found == ["a", "bb", "ccc", "x" * 60]
        assert texts(collect(engine, prompts)) == prompts


def test_rows_may_have_options_of_their_own(echo: FakeEngine, collect: Collect) -> None:
    rows = [
        "abcdef",
        {"prompt": "abcdef", "max_tokens": 2},
        {"prompt": "abcdef", "stop": "e", "request_id": "mine"},
        {"prompt": list(b"abcdef"), "n": 2, "seed": 5},
    ]
    found = collect(echo, rows, max_tokens=5, seed=1)
    assert texts(found) == ["abcde", "ab", "abcd", "abcde"]
    assert found[2].request_id == "mine"
    assert [choice.seed for row in found for choice in row.choices] == [1, 1, 1, 5, 6]


def test_more_rows_than_the_engine_takes(collect: Collect) -> None:
    with FakeEngine(lambda prompt: prompt, max_running=2, max_queue=1) as engine:
        prompts = [f"row {i}" for i in range(100)]
        assert texts(collect(engine, prompts, window=50)) == prompts
        assert texts(collect(engine, prompts)) == prompts


def test_rows_wait_while_others_fill_the_engine(collect: Collect) -> None:
    with FakeEngine("a" * 20, step_s=0.001, max_running=1, max_queue=0) as engine:
        other = LLM(engine).stream(PROMPT)
        assert texts(collect(engine, ["x"] * 3)) == ["a" * 20] * 3
        assert other.result().text == "a" * 20


def test_anything_that_can_be_iterated_over_is_a_source(echo: FakeEngine, collect: Collect) -> None:
    class Numbered:
        def __getitem__(self, index: int) -> str:
            return ["one", "two"][index]

    assert [collect(echo, rows) for rows in ([], (), iter([]))] == [[]] * 3
    assert texts(collect(echo, Numbered())) == ["one", "two"]


# --------------------------------------------------------------------------------------------------- window, source


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(("window", "limit"), [(1, 1), (3, 3), (20, 20), (None, 32)])
def test_source_is_read_as_far_as_the_window(
    echo: FakeEngine, collect: Collect, window: int | None, limit: int, ordered: bool
) -> None:
    n_read, n_given, most = 0, 0, 0

    def source() -> Iterator[str]:
        nonlocal n_read, most
        for i in range(100):
            n_read += 1
            most = max(most, n_read - n_given)
            yield f"row {i}"

    def see(row: Completion) -> None:
        nonlocal n_given
        n_given += 1

    assert len(collect(echo, source(), see=see, ordered=ordered, window=window)) == 100
    assert most == limit


def test_source_is_read_on_while_results_are_used(collect: Collect) -> None:
    with FakeEngine("a", max_running=8) as engine:
        n_submitted: list[int] = []

        def see(row: Completion) -> None:
            n_submitted.append(engine.stats().submitted + engine.stats().waiting)
            wait_until_idle(engine)

        collect(engine, ["x"] * 30, see=see, window=8)
        assert n_submitted[4] > n_submitted[0]


def test_nothing_is_read_before_the_first_result_is_asked_for(echo: FakeEngine) -> None:
    def source() -> Iterator[str]:
        raise AssertionError
        yield

    LLM(echo).map(source()).close()
    AsyncLLM(echo).map(source())


def test_closing_early_cancels_and_leaves_the_source_alone(collect: Collect) -> None:
    with FakeEngine(lambda prompt: prompt, step_s=0.001, max_running=8) as engine:
        source = iter(["a"] + ["x" * 10_000] * 20)
        assert texts(collect(engine, source, n_read=1, window=10)) == ["a"]
        wait_until_idle(engine)
        assert engine.stats().completion_tokens < 1000
        assert len(list(source)) == 11


def test_map_that_nobody_keeps_is_cancelled() -> None:
    with FakeEngine(lambda prompt: prompt, step_s=0.001) as engine:
        next(LLM(engine).map(["a"] + ["x" * 10_000] * 20))
        wait_until_idle(engine)

        async def main() -> None:
            async for _ in AsyncLLM(engine).map(["a"] + ["x" * 10_000] * 20):
                break
            await until_idle(engine)

        run(main())
        assert engine.stats().completion_tokens < 1000


def test_cancelled_task_cancels_its_map(exact_engine: Engine) -> None:
    async def main() -> None:
        task = asyncio.create_task(anext(AsyncLLM(exact_engine).map([PROMPT] * 20, ignore_eos=True)))
        while exact_engine.stats().completion_tokens == 0:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        n_steps = exact_engine.stats().steps
        await until_idle(exact_engine)
        assert exact_engine.stats().steps <= n_steps + 1

    run(main())


# ----------------------------------------------------------------------------------------------------------- errors


def test_first_error_is_raised_with_its_index(exact_engine: Engine, collect: Collect) -> None:
    rows = [PROMPT, PROMPT, LONG, PROMPT, LONG]
    seen: list[str] = []
    with pytest.raises(ContextFullError) as caught:
        collect(exact_engine, rows, max_tokens=2, see=lambda row: seen.append(row.text))
    assert caught.value.index == 2
    assert len(seen) == 2
    wait_until_idle(exact_engine)


def test_errors_are_yielded_in_their_places(exact_engine: Engine, collect: Collect) -> None:
    rows: list[Any] = [
        PROMPT,
        LONG,
        {"prompt": PROMPT, "grammar": "root ::= ("},
        7,
        {"text": PROMPT},
        {"prompt": PROMPT, "temprature": 1},
        {"prompt": PROMPT, "max_tokens": 0},
        b"bytes",
        [1, 99_999_999],
        PROMPT,
    ]
    found = collect(exact_engine, rows, max_tokens=2, on_error="yield")
    kinds = [Completion, ContextFullError, GrammarError, TypeError, InvalidRequestError, TypeError]
    kinds += [InvalidRequestError, TypeError, InvalidRequestError, Completion]
    assert [type(row) for row in found] == kinds
    assert [row.index for row in found if isinstance(row, Exception)] == list(range(1, 9))
    assert found[4].keys == ["text"]
    assert found[8].token == 99_999_999


def test_error_while_it_is_computed_is_that_of_its_row_alone(collect: Collect) -> None:
    gone = ConnectionError("gone")
    with FakeEngine(lambda prompt: Reply("abc", error=gone, error_after=2) if prompt == "bad" else "abc") as engine:
        found = collect(engine, ["a", "bad", "b"], on_error="yield")
        assert texts([found[0], found[2]]) == ["abc", "abc"]
        assert found[1] is gone
        assert found[1].index == 1
        with pytest.raises(ConnectionError):
            collect(engine, ["a", "bad", "b"])


def test_error_of_the_source_comes_after_the_rows_before_it(echo: FakeEngine, collect: Collect) -> None:
    def source() -> Iterator[str]:
        yield "one"
        yield "two"
        raise ConnectionError("the source is gone")

    for on_error in ("raise", "yield"):
        seen: list[str] = []
        with pytest.raises(ConnectionError, match="source"):
            collect(echo, source(), see=lambda row, seen=seen: seen.append(row.text), on_error=on_error)
        assert seen == ["one", "two"]


def test_closing_the_engine_ends_the_rows(collect: Collect) -> None:
    with FakeEngine(lambda prompt: prompt, step_s=0.001) as engine:
        rows = ["a"] + ["x" * 10_000] * 5
        found = collect(engine, rows, on_error="yield", see=lambda row: engine.close())
    assert [type(row) for row in found] == [Completion] + [EngineClosedError] * 5


def test_bad_arguments_are_refused_at_once(echo: FakeEngine) -> None:
    for llm in (LLM(echo), AsyncLLM(echo)):
        for rows in ("text", b"bytes", {"prompt": "one"}, None, 7):
            with pytest.raises(TypeError, match="iterable of prompts"):
                llm.map(rows)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError, match="on_error"):
            llm.map(["a"], on_error="ignore")  # type: ignore[call-overload]


def test_bad_options_are_refused(echo: FakeEngine, collect: Collect) -> None:
    with pytest.raises(InvalidRequestError, match="window is 0"):
        collect(echo, ["a"], window=0)
    for window in (True, 2.0, "2"):
        with pytest.raises(TypeError, match="window must be int"):
            collect(echo, ["a"], window=window)
    with pytest.raises(TypeError, match="did you mean 'temperature'"):
        collect(echo, ["a"], temprature=1)


# ----------------------------------------------------------------------------------------------- asynchronous sources


def test_results_come_while_the_next_row_is_awaited(echo: FakeEngine) -> None:
    async def main() -> None:
        has_result = asyncio.Event()

        async def source() -> AsyncIterator[str]:
            for row in ("one", "two", "three"):
                yield row
                await asyncio.wait_for(has_result.wait(), 20)
                has_result.clear()

        found = []
        async for row in AsyncLLM(echo).map(source()):
            found.append(row.text)
            has_result.set()
        assert found == ["one", "two", "three"]

    run(main())


def test_asynchronous_source_is_read_in_one_task_and_as_far_as_the_window(echo: FakeEngine) -> None:
    async def main() -> None:
        tasks, n_read, n_given = set(), 0, 0

        async def source() -> AsyncIterator[str]:
            nonlocal n_read
            async with asyncio.timeout(20):
                for i in range(50):
                    tasks.add(asyncio.current_task())
                    n_read += 1
                    assert n_read - n_given <= 5
                    yield f"row {i}"
                    await asyncio.sleep(0)

        async for row in AsyncLLM(echo).map(source(), window=5):
            assert row.text == f"row {n_given}"
            n_given += 1
        assert (n_given, len(tasks)) == (50, 1)

    run(main())


@pytest.mark.parametrize("error", [ConnectionError, asyncio.CancelledError])
def test_error_of_an_asynchronous_source_comes_after_its_rows(echo: FakeEngine, error: type[BaseException]) -> None:
    async def main() -> None:
        async def source() -> AsyncIterator[str]:
            yield "one"
            raise error("gone")

        results = AsyncLLM(echo).map(source())
        assert (await anext(results)).text == "one"
        with pytest.raises(error):
            await anext(results)

    run(main())


def test_closing_early_cancels_the_wait_for_an_asynchronous_source(echo: FakeEngine) -> None:
    async def main() -> None:
        ended = []

        async def source() -> AsyncIterator[str]:
            yield "one"
            try:
                await asyncio.sleep(60)
            finally:
                ended.append("cancelled")
                raise ConnectionError("while it was cancelled")

        async with aclosing(AsyncLLM(echo).map(source())) as results:
            await anext(results)
            await asyncio.sleep(0.01)
        assert ended == ["cancelled"]

    run(main())


# ------------------------------------------------------------------------------------------------------------ memory

FLAT = """
import resource, sys
from inllama import LLM
from inllama.testing import FakeEngine

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

with FakeEngine("yes") as engine:
    early = 0
    for i, row in enumerate(LLM(engine).map(f"row {i}" for i in range(20_000))):
        if i == 5_000:
            early = peak()
    assert i == 19_999
print(early, peak())
"""


def test_memory_does_not_grow_with_the_rows() -> None:
    done = subprocess.run([sys.executable, "-c", FLAT], check=True, capture_output=True, text=True, timeout=60)
    early, late = map(int, done.stdout.split())
    assert late <= 1.05 * early
