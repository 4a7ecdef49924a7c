"""AsyncLLM: what LLM gives, without holding up the loop, and every way in which a request can end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from engines import EXACT, PROMPT, PROMPTS, measured_gaps, run

import inllama.engine
from inllama import (
    LLM,
    AsyncLLM,
    Completion,
    ContextFullError,
    Engine,
    EngineClosedError,
    InvalidRequestError,
    Model,
    ModelLoadError,
    ModelOptions,
    QueueFullError,
)
from inllama.testing import FakeEngine

GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 40}
LONG: dict[str, Any] = {"temperature": 0, "ignore_eos": True}


# ------------------------------------------------------------------------------------------------- the same as LLM


def test_generate_gives_what_llm_gives(exact_engine: Engine) -> None:
    expected = LLM(exact_engine).generate(PROMPTS, **GREEDY)

    async def main() -> None:
        llm = AsyncLLM(exact_engine)
        assert (await llm.generate(PROMPTS[0], **GREEDY)).choices[0].text == expected[0].text
        together = await asyncio.gather(*(llm.generate(prompt, **GREEDY) for prompt in PROMPTS))
        assert [result.token_ids for result in together] == [result.token_ids for result in expected]
        assert [result.text for result in await llm.generate(PROMPTS, **GREEDY)] == [row.text for row in expected]
        tokens = exact_engine.encode(PROMPTS[1])
        assert (await llm.generate(tokens, **GREEDY)).text == expected[1].text
        assert await llm.generate([]) == []

    run(main())


def test_stream_gives_what_llm_gives(exact_engine: Engine) -> None:
    expected = list(LLM(exact_engine).stream(PROMPT, n=2, seed=3, logprobs=1, max_tokens=40))

    async def main() -> None:
        stream = AsyncLLM(exact_engine).stream(PROMPT, n=2, seed=3, logprobs=1, max_tokens=40, request_id="mine")
        assert stream.request_id is None
        chunks = [chunk async for chunk in stream]
        for index in range(2):
            found = [(chunk.text, chunk.token_ids, chunk.stop) for chunk in chunks if chunk.index == index]
            assert found == [(chunk.text, chunk.token_ids, chunk.stop) for chunk in expected if chunk.index == index]
        assert stream.request_id == "mine"
        result = await stream.result()
        assert result.text == "".join(chunk.text for chunk in expected if chunk.index == 0)
        assert (await stream.result()).choices == result.choices
        assert [chunk async for chunk in stream] == []

    run(main())


def test_result_of_a_stream_that_was_read_in_part_is_whole(exact_engine: Engine) -> None:
    whole = LLM(exact_engine).generate(PROMPT, **GREEDY)

    async def main() -> None:
        stream = AsyncLLM(exact_engine).stream(PROMPT, **GREEDY)
        await anext(stream)
        await anext(stream)
        assert (await stream.result()).choices[0].text == whole.text
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run(main())


def test_error_in_a_list_is_raised_or_put_into_its_row(exact_engine: Engine) -> None:
    async def main() -> None:
        llm = AsyncLLM(exact_engine)
        with pytest.raises(ContextFullError) as caught:
            await llm.generate([PROMPT, "long " * 3000], max_tokens=1)
        assert caught.value.index == 1
        rows = await llm.generate([PROMPT, "long " * 3000, PROMPT], **GREEDY, on_error="return")
        assert [type(row) for row in rows] == [Completion, ContextFullError, Completion]
        with pytest.raises(TypeError, match="not int") as wrong:
            await llm.generate([PROMPT, 7], max_tokens=1)  # type: ignore[list-item]
        assert wrong.value.index == 1  # type: ignore[attr-defined]

    run(main())


# ------------------------------------------------------------------------------------------ nothing holds up the loop


def test_loop_goes_on_while_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch, exact_demo_path: Path) -> None:
    """The load ends only when the loop says so."""
    may_end = threading.Event()

    def load(model: str, options: ModelOptions, progress: object) -> Model:
        assert may_end.wait(20)
        return Model(exact_demo_path)

    monkeypatch.setattr(inllama.engine, "load_model", load)

    async def main() -> None:
        llm = AsyncLLM("somewhere", **EXACT)
        calls = [asyncio.create_task(llm.generate(PROMPT, **GREEDY)) for _ in range(3)]
        for _ in range(10):
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="not loaded"):
            llm.stats()
        calls[0].cancel()
        may_end.set()
        texts = [result.text for result in await asyncio.gather(*calls[1:])]
        assert texts == [LLM(llm.engine).generate(PROMPT, **GREEDY).text] * 2
        llm.engine.close()

    run(main())


def test_progress_is_told_on_another_thread_and_can_stop_a_load() -> None:
    seen: list[tuple[float, int]] = []

    def progress(done: float) -> bool:
        seen.append((done, threading.get_ident()))
        return done < stop_at

    async def load() -> None:
        async with AsyncLLM(progress=progress) as llm:
            assert not llm.engine.closed

    stop_at = 2.0
    run(load())
    assert (seen[0][0], seen[-1][0]) == (0.0, 1.0)
    assert threading.get_ident() not in {thread for _, thread in seen}
    stop_at = 0.5
    with pytest.raises(ModelLoadError, match="progress") as raised:
        run(load())
    assert raised.value.cancelled is True


def test_aclose_stops_a_load() -> None:
    seen: list[float] = []

    def progress(done: float) -> None:
        seen.append(done)
        time.sleep(0.05)

    async def main() -> None:
        llm = AsyncLLM(progress=progress)
        loading = asyncio.create_task(llm.start())
        while not seen:
            await asyncio.sleep(0.001)
        await llm.aclose()
        with pytest.raises(EngineClosedError, match="closed"):
            await loading

    run(main())
    assert len(seen) <= 3


def test_progress_is_of_loading_only(exact_engine: Engine) -> None:
    for model in (exact_engine, exact_engine.model):
        with pytest.raises(TypeError, match="progress"):
            AsyncLLM(model, progress=print)


STARTING = """
import asyncio, sys, inllama
async def main():
    assert "numpy" not in sys.modules  # to import it takes 0.1 s
    async with inllama.AsyncLLM(n_threads=1):
        assert "numpy" in sys.modules
asyncio.run(main())
"""


def test_what_the_first_call_needs_is_imported_while_the_model_is_loaded() -> None:
    subprocess.run([sys.executable, "-c", STARTING], check=True, timeout=60)


@pytest.mark.parametrize("kind", ["text", "tokens"])
def test_loop_goes_on_while_a_long_prompt_is_prepared(exact_engine: Engine, kind: str) -> None:
    text = "Once upon a time there was a little girl. " * 25_000
    prompt = text if kind == "text" else exact_engine.encode(text) * 3

    async def main() -> None:
        llm = AsyncLLM(exact_engine)
        await llm.generate(PROMPT, max_tokens=1)
        async with measured_gaps() as gaps:
            started = time.perf_counter()
            with pytest.raises(ContextFullError):
                await llm.generate(prompt)
            took = time.perf_counter() - started
        assert max(gaps) < took / 2

    run(main())


def test_loop_goes_on_while_many_prompts_are_prepared() -> None:
    async def main() -> None:
        with FakeEngine("a", max_queue=100_000) as engine:
            llm = AsyncLLM(engine)
            async with measured_gaps() as gaps:
                started = time.perf_counter()
                rows = await llm.generate(["short"] * 3000)
                took = time.perf_counter() - started
            assert len(rows) == 3000
            assert max(gaps) < took / 5

    run(main())


def test_loop_goes_on_while_tokens_are_generated(exact_engine: Engine) -> None:
    async def main() -> None:
        llm = AsyncLLM(exact_engine)
        async with measured_gaps() as gaps:
            results = await asyncio.gather(*(llm.generate(PROMPT, **LONG, max_tokens=100) for _ in range(4)))
        assert [result.usage.completion_tokens for result in results] == [100] * 4
        assert max(gaps) < sum(gaps) / 5

    run(main())


# -------------------------------------------------------------------------------------------------- waiting for room


def test_full_queue_makes_tasks_wait_in_their_order() -> None:
    order: list[str] = []

    async def main() -> None:
        with FakeEngine(lambda prompt: order.append(prompt) or "ab", max_running=1, max_queue=1) as engine:
            llm = AsyncLLM(engine)
            await llm.start()
            results = await asyncio.gather(*(llm.generate(str(i)) for i in range(50)))
            assert [result.text for result in results] == ["ab"] * 50
            stats = engine.stats()
            assert stats.finished == 50
            # Only the first of the line looks for room.
            assert stats.rejected_queue_full < 200
        assert order == [str(i) for i in range(50)]

    run(main())


def test_full_queue_is_an_error_for_those_who_do_not_wait() -> None:
    async def main() -> None:
        with FakeEngine("a" * 20, step_s=0.001, max_running=1, max_queue=1) as engine:
            llm = AsyncLLM(engine)
            await llm.start()
            running = [asyncio.create_task(llm.generate(PROMPT)) for _ in range(2)]
            await asyncio.sleep(0)
            stream = llm.stream(PROMPT, wait=False)
            with pytest.raises(QueueFullError) as caught:
                await anext(stream)
            assert caught.value.limit == 2
            await asyncio.gather(*running)
            assert (await stream.result()).text == "a" * 20  # there is room now

    run(main())


def test_waiting_tasks_of_all_loops_and_threads_are_served() -> None:
    engine = FakeEngine("a", max_running=2, max_queue=1)

    async def many() -> int:
        results = await asyncio.gather(*(AsyncLLM(engine).generate(PROMPT) for _ in range(150)))
        return len(results)

    with engine, ThreadPoolExecutor(5) as pool:
        loops = [pool.submit(lambda: run(many())) for _ in range(2)]
        threads = [pool.submit(lambda: [LLM(engine).generate(PROMPT) for _ in range(50)]) for _ in range(3)]
        assert [loop.result() for loop in loops] == [150] * 2
        assert [len(thread.result()) for thread in threads] == [50] * 3


# ------------------------------------------------------------------------------------------------ opening and closing


def test_arguments_are_checked_before_anything_is_loaded(exact_demo: Model, exact_engine: Engine) -> None:
    with pytest.raises(TypeError, match="did you mean 'n_ctx'"):
        AsyncLLM(n_ctxs=1)
    with pytest.raises(InvalidRequestError, match="max_running"):
        AsyncLLM(max_running=0)
    with pytest.raises(TypeError, match="None"):
        AsyncLLM(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="gpu_layers"):
        AsyncLLM(exact_demo, gpu_layers=0)
    with pytest.raises(TypeError, match="n_ctx"):
        AsyncLLM(exact_engine, n_ctx=256)
    with pytest.raises(RuntimeError, match="not loaded"):
        AsyncLLM().engine  # noqa: B018


def test_errors_of_loading_come_from_the_first_await(tmp_path: Path) -> None:
    async def main() -> None:
        llm = AsyncLLM(tmp_path / "missing.gguf")
        for _ in range(2):
            with pytest.raises(ModelLoadError):
                await llm.generate(PROMPT)
        with pytest.raises(ModelLoadError):
            await anext(llm.stream(PROMPT))
        with pytest.raises(ModelLoadError):
            await anext(llm.map([PROMPT]))
        with pytest.raises(ModelLoadError):
            async with llm:
                pass
        await llm.aclose()
        with pytest.raises(EngineClosedError):
            await llm.generate(PROMPT)

    run(main())


def test_model_is_loaded_once_for_all_tasks(monkeypatch: pytest.MonkeyPatch, exact_demo_path: Path) -> None:
    loads = 0

    def load(model: str, options: ModelOptions, progress: object) -> Model:
        nonlocal loads
        loads += 1
        return Model(exact_demo_path)

    monkeypatch.setattr(inllama.engine, "load_model", load)

    async def main() -> None:
        async with AsyncLLM("somewhere", **EXACT) as llm:
            model = llm.engine.model
        assert model.closed

        async with AsyncLLM("somewhere", **EXACT) as llm:
            await asyncio.gather(*(llm.generate(PROMPT, max_tokens=1) for _ in range(30)))
        assert loads == 2

    run(main())


def test_given_engine_and_model_stay_open(exact_demo: Model) -> None:
    async def main() -> None:
        engine = Engine(exact_demo, **EXACT)
        async with AsyncLLM(engine) as llm:
            assert llm.engine is engine
        assert not engine.closed
        with pytest.raises(EngineClosedError):
            await llm.generate(PROMPT)
        engine.close()
        async with AsyncLLM(exact_demo, **EXACT) as llm:
            await llm.generate(PROMPT, max_tokens=1)
        assert llm.engine.closed
        assert not exact_demo.closed

    run(main())


def test_closing_fails_streams_that_run_or_wait(exact_demo_path: Path) -> None:
    async def main() -> None:
        llm = AsyncLLM(exact_demo_path, **EXACT, max_running=1, max_queue=1)
        streams = [llm.stream(PROMPT, **LONG, logprobs=2) for _ in range(5)]
        read = (await anext(streams[0])).text
        tasks = [asyncio.create_task(stream.result()) for stream in streams]
        await asyncio.sleep(0.05)
        await llm.aclose()
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in errors] == [EngineClosedError] * 5
        assert errors[0].partial.startswith(read)  # type: ignore[union-attr]
        with pytest.raises(EngineClosedError):
            [chunk async for chunk in streams[0]]
        with pytest.raises(EngineClosedError):
            await llm.generate(PROMPT)
        await llm.aclose()

    run(main())


def test_closing_while_the_model_is_loaded_ends_the_call(exact_demo_path: Path) -> None:
    async def main() -> None:
        for _ in range(5):
            llm = AsyncLLM(exact_demo_path, **EXACT)
            call = asyncio.create_task(llm.generate(PROMPT, **LONG))
            await asyncio.sleep(0)
            await llm.aclose()
            with pytest.raises(EngineClosedError):
                await call

    run(main())


LEAVING = """
import asyncio, sys, threading, inllama
llm = inllama.AsyncLLM(n_threads=1, max_running=2, max_queue=2)

async def read(i):
    if i % 2:
        await llm.generate("Once upon a time", ignore_eos=True)
    async for chunk in llm.stream("Once upon a time", ignore_eos=True):
        pass

async def main():
    tasks = [asyncio.create_task(read(i)) for i in range(8)]
    rows = llm.map(["Once upon a time"] * 20, ignore_eos=True)
    tasks.append(asyncio.create_task(anext(rows)))
    await asyncio.sleep(float(sys.argv[1]))
    if sys.argv[2] == "exit":
        sys.exit(0)

if sys.argv[2] == "daemon":
    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
    import time
    time.sleep(float(sys.argv[1]) / 2)
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("way", ["return", "exit", "daemon"])
def test_interpreter_ends_with_tasks_in_flight(way: str) -> None:
    environment = dict(os.environ)
    if way == "daemon":
        environment.pop("INLLAMA_LEAK_WARNINGS", None)  # what such a thread has is never given back
    for seconds in ("0", "0.1", "0.3"):
        child = [sys.executable, "-W", "error", "-c", LEAVING, seconds, way]
        done = subprocess.run(child, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
