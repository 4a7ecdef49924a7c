"""Every way in which a request of an event loop can end, one consumer, and many loops."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from engines import PROMPT, PROMPTS, is_idle, run, until_idle, wait_until_idle

from inllama import LLM, AsyncLLM, AsyncTextStream, DeadlineError, Engine, GrammarError
from inllama.testing import FakeEngine

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 40}
LONG: dict[str, Any] = {"temperature": 0, "ignore_eos": True}


# --------------------------------------------------------------------------------------------------- ways to end one


async def by_task(stream: AsyncTextStream) -> None:
    task = asyncio.create_task(stream.result())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_stream(stream: AsyncTextStream) -> None:
    stream.cancel()


async def by_another_thread(stream: AsyncTextStream) -> None:
    await asyncio.to_thread(stream.cancel)


async def by_aclose(stream: AsyncTextStream) -> None:
    await stream.aclose()
    assert [chunk async for chunk in stream] == []


async def by_with_block(stream: AsyncTextStream) -> None:
    async with stream:
        await anext(stream)


async def by_timeout(stream: AsyncTextStream) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await stream.result()


async def by_wait_for(stream: AsyncTextStream) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stream.result(), 0.01)


ENDS = [by_task, by_stream, by_another_thread, by_aclose, by_with_block, by_timeout, by_wait_for]


async def assert_ended(engine: Engine, known: list[int]) -> None:
    """Within a step, and what it computed is there for others."""
    n_steps = engine.stats().steps
    await until_idle(engine)
    assert engine.stats().steps <= n_steps + 1
    assert engine.stats().cancelled == 1
    again = await AsyncLLM(engine).generate(known, max_tokens=1)
    assert again.usage.cached_tokens == len(known) - 1


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_cancelled_stream_frees_its_place(
    exact_engine: Engine, end: Callable[[AsyncTextStream], Awaitable[None]]
) -> None:
    async def main() -> None:
        stream = AsyncLLM(exact_engine).stream(PROMPT, **LONG)
        read = [token for _ in range(5) for token in (await anext(stream)).token_ids]
        await end(stream)
        await assert_ended(exact_engine, exact_engine.encode(PROMPT) + read)
        result = await stream.result()  # what came until then
        assert result.finish_reason == "cancelled"
        assert list(result.token_ids[: len(read)]) == read

    run(main())


def test_stream_that_nobody_keeps_is_cancelled(exact_engine: Engine) -> None:
    async def main() -> None:
        read: list[int] = []
        async for chunk in AsyncLLM(exact_engine).stream(PROMPT, **LONG):
            read += chunk.token_ids
            if len(read) > 5:
                break
        await assert_ended(exact_engine, exact_engine.encode(PROMPT) + read)

    run(main())


def test_stream_in_a_cycle_is_cancelled_by_collection(exact_engine: Engine) -> None:
    async def main() -> None:
        stream = AsyncLLM(exact_engine).stream(PROMPT, **LONG)
        first = await anext(stream)
        cycle: list[Any] = [stream]
        cycle.append(cycle)
        del stream, cycle
        gc.collect()
        await assert_ended(exact_engine, exact_engine.encode(PROMPT) + list(first.token_ids))

    run(main())


def test_cancelled_generate_frees_its_place(exact_engine: Engine) -> None:
    async def main() -> None:
        llm = AsyncLLM(exact_engine)
        for prompt in (PROMPT, PROMPTS):
            task = asyncio.create_task(llm.generate(prompt, **LONG))
            while exact_engine.stats().completion_tokens == 0:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            n_steps = exact_engine.stats().steps
            await until_idle(exact_engine)
            assert exact_engine.stats().steps <= n_steps + 1

    run(main())


def test_stream_that_is_cancelled_before_it_starts(exact_engine: Engine) -> None:
    async def main() -> None:
        llm = AsyncLLM(exact_engine)
        stream = llm.stream(PROMPT, **LONG)
        stream.cancel()
        assert [chunk async for chunk in stream] == []
        assert exact_engine.stats().submitted == 0
        assert (await stream.result()).finish_reason == "cancelled"
        never_read = llm.stream(PROMPT, **LONG)
        del never_read

    run(main())


def test_cancelled_while_it_waits_for_room_takes_no_place() -> None:
    async def main() -> None:
        with FakeEngine("a" * 30, step_s=0.005, max_running=1, max_queue=0) as engine:
            llm = AsyncLLM(engine)
            await llm.start()
            running = asyncio.create_task(llm.generate("x"))
            streams = [llm.stream("x") for _ in range(3)]
            waiting = [asyncio.create_task(stream.result()) for stream in streams]
            await asyncio.sleep(0.02)
            streams[0].cancel()
            waiting[1].cancel()
            assert (await running).text == "a" * 30
            assert (await waiting[0]).finish_reason == "cancelled"
            assert (await waiting[2]).text == "a" * 30
            assert waiting[1].cancelled()
            assert [chunk async for chunk in streams[1]] == []
            assert engine.stats().submitted == 3

    run(main())


def test_deadline_and_other_errors_come_from_the_await(exact_engine: Engine) -> None:
    async def main() -> None:
        llm = AsyncLLM(exact_engine)
        stream = llm.stream(PROMPT, **LONG, timeout_s=0.05)
        first = await anext(stream)
        with pytest.raises(DeadlineError) as caught:
            [chunk async for chunk in stream]
        assert caught.value.partial.startswith(first.text)
        with pytest.raises(GrammarError):
            await anext(llm.stream(PROMPT, grammar="root ::= ("))
        with pytest.raises(TypeError, match="did you mean 'temperature'"):
            await llm.generate(PROMPT, temprature=1)
        with pytest.raises(TypeError, match="bytes"):
            await llm.stream(b"text").result()  # type: ignore[arg-type]

    run(main())


# ------------------------------------------------------------------------------------------------------ one consumer


def test_second_reader_is_refused_and_the_first_goes_on(exact_engine: Engine) -> None:
    async def main() -> None:
        llm = AsyncLLM(exact_engine)
        for n_read in (0, 2):
            stream = llm.stream(PROMPT, **LONG, max_tokens=100)
            for _ in range(n_read):
                await anext(stream)
            first = asyncio.create_task(stream.result())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="one consumer"):
                await stream.result()
            assert (await first).usage.completion_tokens == 100
        assert exact_engine.stats().submitted == 2

    run(main())


def test_stream_is_read_in_the_loop_where_it_started(exact_engine: Engine) -> None:
    async def start(stream: AsyncTextStream) -> None:
        await anext(stream)

    async def read_on(stream: AsyncTextStream) -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await stream.result()

    stream = AsyncLLM(exact_engine).stream(PROMPT, **LONG)
    run(start(stream))
    run(read_on(stream))


# ----------------------------------------------------------------------------------------------- loops and threads


def test_loops_and_threads_share_an_engine(exact_engine: Engine) -> None:
    expected = {prompt: LLM(exact_engine).generate(prompt, **GREEDY).text for prompt in PROMPTS}

    async def many() -> None:
        llm = AsyncLLM(exact_engine)
        for _ in range(2):
            results = await asyncio.gather(*(llm.generate(prompt, **GREEDY) for prompt in PROMPTS))
            assert [result.text for result in results] == list(expected.values())
            text = ""
            async for chunk in llm.stream(PROMPT, **GREEDY):
                text += chunk.text
            assert text == expected[PROMPT]

    def beside() -> None:
        for prompt in PROMPTS:
            assert LLM(exact_engine).generate(prompt, **GREEDY).text == expected[prompt]

    with ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(lambda: run(many())) for _ in range(3)] + [pool.submit(beside) for _ in range(2)]:
            done.result()
    assert is_idle(exact_engine)


def test_closed_loop_cancels_what_runs_for_it(exact_engine: Engine) -> None:
    loop = asyncio.new_event_loop()
    streams = [AsyncLLM(exact_engine).stream(PROMPT, **LONG) for _ in range(2)]
    for stream in streams:
        loop.run_until_complete(anext(stream))  # type: ignore[arg-type]
    loop.close()
    wait_until_idle(exact_engine)
    assert exact_engine.stats().cancelled == 2


def test_loop_that_runs_again_goes_on(exact_engine: Engine) -> None:
    loop = asyncio.new_event_loop()
    stream = AsyncLLM(exact_engine).stream(PROMPT, **GREEDY)
    loop.run_until_complete(anext(stream))  # type: ignore[arg-type]
    assert loop.run_until_complete(stream.result()).text == LLM(exact_engine).generate(PROMPT, **GREEDY).text
    loop.close()
