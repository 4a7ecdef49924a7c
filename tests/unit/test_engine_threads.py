"""What the engine's thread and its consumers owe each other: no GIL, pauses, deadlines, forks."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inllama import LLM, AsyncLLM, Completion, DeadlineError, EngineClosedError, QueueFullError
from inllama.testing import FakeEngine

STEP_S = 0.005


def test_the_engines_thread_never_waits_for_the_gil() -> None:
    # Neither while tokens come, nor when a request ends and lets go of what Python gave it.
    with FakeEngine("x" * 10_000, step_s=STEP_S) as engine:
        llm = LLM(engine)
        long = llm.stream("a", max_tokens=5_000)
        short = [llm.stream(f"b{i}", max_tokens=20 + i) for i in range(8)]
        next(long)
        n_before = engine.stats().steps
        held_s = 0.6
        ctypes.PyDLL(None).usleep(int(held_s * 1e6))  # a C function that keeps the GIL
        n_after = engine.stats().steps
        assert n_after - n_before >= 0.5 * held_s / STEP_S
        assert [len(stream.result().token_ids) for stream in short] == [20 + i for i in range(8)]
        long.cancel()


def test_an_asynchronous_stream_that_nobody_reads_pauses() -> None:
    async def main() -> None:
        async with AsyncLLM(FakeEngine("x" * 20_000)) as aio:
            slow = aio.stream("a")
            await anext(slow)
            other = await aio.generate("b", max_tokens=3_000)
            assert len(other.token_ids) == 3_000
            await asyncio.sleep(0.05)
            n_generated = aio.stats().completion_tokens - 3_000
            assert n_generated <= 600
            n_read = 1 + len([chunk async for chunk in slow if chunk.token_ids])
            assert n_read == 20_000

    asyncio.run(main())


def test_an_asynchronous_result_needs_no_reader() -> None:
    async def main() -> None:
        async with AsyncLLM(FakeEngine("x" * 5_000)) as aio:
            stream = aio.stream("a")
            await anext(stream)
            assert len((await stream.result()).token_ids) == 5_000

    asyncio.run(main())


@pytest.fixture
def full() -> Iterator[FakeEngine]:
    """An engine whose only place is taken for good, by a stream that nobody reads."""
    with FakeEngine("x" * 100_000, max_running=1, max_queue=0) as engine:
        stream = LLM(engine).stream("first")
        yield engine
        stream.close()


def test_waiting_for_room_counts_towards_the_deadline(full: FakeEngine) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineError, match="before there was room"):
        LLM(full).generate("second", timeout_s=0.2)
    assert 0.2 <= time.monotonic() - started < 1.0

    async def main() -> None:
        async with AsyncLLM(full) as aio:
            with pytest.raises(DeadlineError, match="before there was room"):
                await aio.generate("third", timeout_s=0.2)
            results = await aio.generate(["a", "b"], timeout_s=0.2, on_error="return")
            assert [type(result) for result in results] == [DeadlineError] * 2

    asyncio.run(main())
    rows = list(LLM(full).map(["a", "b"], timeout_s=0.2, on_error="yield"))
    assert [type(row) for row in rows] == [DeadlineError] * 2


class SlowToCompile(FakeEngine):
    """An engine whose structures take a quarter of a second."""

    def structure(self, *arguments: Any, **options: Any) -> Any:
        time.sleep(0.25)
        return super().structure(*arguments, **options)


@pytest.fixture
def slow_to_compile() -> Iterator[FakeEngine]:
    with SlowToCompile("x" * 100_000, step_s=0.001) as engine:
        yield engine


def test_compiling_a_structure_counts_towards_the_deadline(slow_to_compile: FakeEngine) -> None:
    llm, options = LLM(slow_to_compile), {"regex": "x*", "timeout_s": 0.1}
    calls: list[Callable[[], Any]] = [
        lambda: llm.generate("?", **options),
        lambda: llm.generate(["?", "!"], **options),
        lambda: llm.stream("?", **options),
        lambda: llm.chat("?", reasoning=False, **options),
        lambda: llm.stream_chat("?", reasoning=False, **options),
        lambda: asyncio.run(AsyncLLM(slow_to_compile).generate("?", **options)),
        lambda: asyncio.run(AsyncLLM(slow_to_compile).chat("?", reasoning=False, **options)),
        lambda: list(llm.map([{"prompt": "?", **options}])),
    ]
    for call in calls:
        with pytest.raises(DeadlineError, match="before it was prepared") as caught:
            call()
        assert 0.25 <= caught.value.elapsed_s < 2
        assert (caught.value.partial, caught.value.completion_tokens) == ("", 0)
    assert slow_to_compile.stats().submitted == 0


def test_the_time_of_a_request_is_that_of_the_call(slow_to_compile: FakeEngine) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineError, match=r"over after 0\.\d+ s and \d+ tokens") as caught:
        LLM(slow_to_compile).generate("?", regex="x*", timeout_s=0.5)
    assert 0.45 <= caught.value.elapsed_s <= time.monotonic() - started < 2
    assert 0 < caught.value.completion_tokens < 400
    assert set(caught.value.partial) == {"x"}


def test_the_time_of_a_row_begins_with_the_row(slow_to_compile: FakeEngine) -> None:
    rows = LLM(slow_to_compile).map(["?"] * 3, regex="x{3}", timeout_s=0.2, window=1)
    assert [row.text for row in rows] == ["xxx"] * 3

    async def main() -> list[str]:
        found = AsyncLLM(slow_to_compile).map(["?"] * 3, regex="x{3}", timeout_s=0.2, window=1)
        return [row.text async for row in found]

    assert asyncio.run(main()) == ["xxx"] * 3


def test_only_errors_that_reach_the_caller_count_as_rejected(full: FakeEngine) -> None:
    with pytest.raises(DeadlineError):
        LLM(full).generate("second", timeout_s=0.3)
    assert full.stats().rejected_queue_full == 0
    with pytest.raises(QueueFullError):
        LLM(full).generate("third", wait=False)
    rows = list(LLM(full).map(["a", "b"], wait=False, on_error="yield"))
    assert [type(row) for row in rows] == [QueueFullError] * 2
    assert full.stats().rejected_queue_full == 3


def test_prefix_hits_and_cached_tokens_are_counted_when_a_request_starts() -> None:
    with FakeEngine("x" * 1000, step_s=0.01) as engine:
        llm = LLM(engine)
        llm.generate("a prefix that both have, one", max_tokens=1)
        stream = llm.stream("a prefix that both have, two")
        next(stream)
        stats = engine.stats()
        assert (stats.prefix_hits, stats.cached_tokens) == (1, len("a prefix that both have, "))
        stream.cancel()


def test_closing_while_a_prompt_is_computed_ends_its_request() -> None:
    engine = FakeEngine("x", step_s=0.02, step_tokens=4)
    caught: list[Exception] = []

    def work() -> None:
        try:
            LLM(engine).generate("a prompt of many steps " * 20)
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while engine.stats().prefill_tokens == 0:
        time.sleep(0.001)
    assert engine.stats().completion_tokens == 0
    engine.close()
    thread.join(timeout=10)
    assert [type(error) for error in caught] == [EngineClosedError]


def test_requests_of_one_call_wait_in_order_for_room() -> None:
    with FakeEngine(lambda prompt: prompt, max_running=1, max_queue=0) as engine:
        results: list[Completion] = LLM(engine).generate([str(i) for i in range(50)])
        assert [result.text for result in results] == [str(i) for i in range(50)]


CHILD = """
    import gc, os, sys, threading, time
    from inllama import LLM, EngineClosedError, ForkedEngineError
    from inllama.testing import FakeEngine

    engine = FakeEngine("x" * 100_000, step_s=0.001)
    llm = LLM(engine)
    stream = llm.stream("a")
    next(stream)
    other = llm.stream("b")

    def wait():
        try:
            llm.generate("c")
        except EngineClosedError:
            pass

    threading.Thread(target=wait, daemon=True).start()
    time.sleep(0.05)
    child = os.fork()
    if child == 0:
        n = 0
        for call in (stream.result, lambda: next(other), llm.stats, lambda: llm.generate("d")):
            try:
                call()
            except ForkedEngineError:
                n += 1
        {end}
    end = time.monotonic() + 20
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(child, 9)
            sys.exit("the child hangs")
        time.sleep(0.01)
    engine.close()
    print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(
    "end", ["sys.exit(n)", "stream = other = llm = engine = call = None; gc.collect(); sys.exit(n)"]
)
def test_the_child_of_a_fork_is_told_and_ends_like_any_process(end: str) -> None:
    script = textwrap.dedent(CHILD).replace("{end}", end)
    command = [sys.executable, "-W", "ignore", "-c", script]
    # The frames of the thread that stayed in the parent hold what they held.
    environment = {name: value for name, value in os.environ.items() if name != "INLLAMA_LEAK_WARNINGS"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.stdout.strip(), done.returncode, done.stderr) == ("4", 0, "")
