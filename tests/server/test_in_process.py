"""The official clients over an engine of the same process: no socket, and otherwise the same."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import openai
import pytest
from asking import ALONE, ANSWERED, CITY, MODEL, QUESTION, RESULT, TOOLS, is_idle, user, wait_until
from pydantic import BaseModel

import inllama
from inllama import AsyncLLM, DecodeError, Engine, ModelLoadError
from inllama.testing import FakeEngine, Reply

T = TypeVar("T")
SLOW = "word " * 400


@pytest.fixture(autouse=True)
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may open a connection."""

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was connected")

    for name in ("connect", "connect_ex", "bind", "listen"):
        monkeypatch.setattr(socket.socket, name, refuse)


@pytest.fixture(scope="module")
def slow() -> Iterator[FakeEngine]:
    """An engine whose answers take 20 seconds."""
    with FakeEngine(SLOW, step_s=0.01) as engine:
        yield engine


@pytest.fixture
def demo_client(demo: Engine) -> Iterator[openai.OpenAI]:
    with inllama.openai_client(demo) as client:
        yield client


@pytest.fixture
def slow_client(slow: FakeEngine) -> Iterator[openai.OpenAI]:
    with inllama.openai_client(slow) as client:
        yield client


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, no_connection: None, demo_url: str) -> Iterator[openai.OpenAI]:
    """The client of the server, which may connect."""
    monkeypatch.undo()
    with openai.OpenAI(base_url=f"{demo_url}/v1", api_key="none", max_retries=0) as made:
        yield made


def run(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` with a time limit; fails for what asyncio only logs."""
    logged: list[dict[str, Any]] = []

    async def supervised() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
        async with asyncio.timeout(60):
            return await main

    try:
        return asyncio.run(supervised())
    finally:
        gc.collect()
        assert logged == []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def client_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "inllama-client"]


# The same answers as over a socket.


def test_answers_are_those_of_the_server(demo_client: openai.OpenAI, client: openai.OpenAI) -> None:
    options: Any = {"model": MODEL, "messages": user(QUESTION), "temperature": 0, "extra_body": ALONE}
    here, there = (one.chat.completions.create(**options) for one in (demo_client, client))
    assert here.choices[0].message.content == there.choices[0].message.content
    assert here.usage == there.usage


def test_a_tool_is_called_and_its_result_answered(demo_client: openai.OpenAI) -> None:
    options: Any = {"model": MODEL, "tools": TOOLS, "temperature": 0}
    message: Any = demo_client.chat.completions.create(messages=user(QUESTION), **options).choices[0].message
    result: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": RESULT}
    answer = demo_client.chat.completions.create(messages=[*user(QUESTION), message, result], **options)
    assert answer.choices[0].message.content == ANSWERED


def test_every_api_is_there(demo_client: openai.OpenAI) -> None:
    assert [model.id for model in demo_client.models.list()] == [MODEL]
    assert demo_client.completions.create(model=MODEL, prompt="Once upon", max_tokens=2).choices[0].text
    response = demo_client.responses.create(model=MODEL, input="Hello!", max_output_tokens=30)
    assert demo_client.responses.retrieve(response.id).to_dict() == response.to_dict()
    vector = demo_client.embeddings.create(model=MODEL, input="Hello!", extra_body={"pooling": "mean"}).data[0]
    assert len(vector.embedding) == 256


def test_parse_gives_an_instance(demo_client: openai.OpenAI) -> None:
    class Dog(BaseModel):
        is_good: bool

    answer = demo_client.chat.completions.parse(model=MODEL, messages=user("Hello!"), response_format=Dog)
    assert isinstance(answer.choices[0].message.parsed, Dog)


def test_the_asynchronous_client_does_all_that_too(demo: Engine) -> None:
    async def main() -> None:
        async with inllama.async_openai_client(demo) as client:
            options: Any = {"model": MODEL, "messages": user(QUESTION), "tools": TOOLS, "temperature": 0}
            message: Any = (await client.chat.completions.create(**options)).choices[0].message
            assert message.tool_calls[0].function.name == "get_weather"
            response = await client.responses.create(
                model=MODEL,
                input=QUESTION,
                tools=[{"type": "function", "name": "get_weather", "parameters": CITY, "strict": True}],
                tool_choice="required",
            )
            assert response.output[-1].type == "function_call"
            assert (await client.responses.retrieve(response.id)).id == response.id
            assert [model.id async for model in client.models.list()] == [MODEL]

    run(main())


# Streams.


def test_pieces_come_one_by_one(slow: FakeEngine, slow_client: openai.OpenAI) -> None:
    with slow_client.chat.completions.create(model="fake", messages=user("Go on"), stream=True) as stream:
        assert next(stream).choices[0].delta.role == "assistant"
        text = "".join(next(stream).choices[0].delta.content or "" for _ in range(6))
        assert SLOW.startswith(text)
        assert 6 <= len(text) < len(SLOW) / 2
        assert slow.stats().running == 1
    wait_until(lambda: is_idle(slow))


def test_streams_add_up_to_the_answer(demo_client: openai.OpenAI) -> None:
    options: Any = {"model": MODEL, "messages": user("Hello!"), "temperature": 0, "extra_body": ALONE}
    whole = demo_client.chat.completions.create(**options)
    usage: Any = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = demo_client.chat.completions.create(**options, **usage)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert (last.choices, last.usage) == ([], whole.usage)


def test_a_reader_that_is_slow_loses_nothing() -> None:
    text = "".join(f"{index} " for index in range(300))
    with FakeEngine(text) as engine, inllama.openai_client(engine) as client:
        stream = client.chat.completions.create(model="fake", messages=user("Count"), stream=True)
        first = next(stream).choices[0].delta.content or ""
        wait_until(lambda: engine.stats().steps > 30)
        assert first + "".join(chunk.choices[0].delta.content or "" for chunk in stream) == text


def test_leaving_a_stream_cancels_the_request(slow: FakeEngine, slow_client: openai.OpenAI) -> None:
    n_cancelled = slow.stats().cancelled
    stream = slow_client.chat.completions.create(model="fake", messages=user("Go on"), stream=True)
    assert next(stream).choices[0].delta.role == "assistant"
    assert (next(stream).choices[0].delta.content or "").startswith("w")
    n_steps = slow.stats().steps
    stream.close()
    wait_until(lambda: slow.stats().cancelled == n_cancelled + 1)
    assert slow.stats().steps < n_steps + 50
    wait_until(lambda: is_idle(slow))


def test_leaving_an_asynchronous_stream_cancels_the_request(slow: FakeEngine) -> None:
    async def main() -> None:
        n_cancelled = slow.stats().cancelled
        async with inllama.async_openai_client(slow) as client:
            stream = await client.chat.completions.create(model="fake", messages=user("Go on"), stream=True)
            async with stream:
                came = [(await anext(stream)).choices[0].delta.content for _ in range(6)]
                assert SLOW.startswith("".join(text or "" for text in came))
                assert slow.stats().running == 1
            await until(lambda: slow.stats().cancelled == n_cancelled + 1)
            await until(lambda: is_idle(slow))

    run(main())


def test_a_cancelled_task_cancels_its_request(slow: FakeEngine) -> None:
    async def main() -> None:
        n_cancelled = slow.stats().cancelled
        async with inllama.async_openai_client(slow) as client:
            ask: Any = client.chat.completions.create
            task = asyncio.create_task(ask(model="fake", messages=user("Go on")))
            await until(lambda: slow.stats().running == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: slow.stats().cancelled == n_cancelled + 1)
            await until(lambda: is_idle(slow))

    run(main())


# Errors.


def test_a_client_that_waits_no_longer_frees_the_engine(slow: FakeEngine, slow_client: openai.OpenAI) -> None:
    ask: Any = slow_client.with_options(max_retries=0, timeout=0.2).chat.completions.create
    with pytest.raises(openai.APITimeoutError):
        ask(model="fake", messages=user("Go on"))
    wait_until(lambda: is_idle(slow))


def test_an_asynchronous_one_too(slow: FakeEngine) -> None:
    async def main() -> None:
        async with inllama.async_openai_client(slow) as client:
            ask: Any = client.with_options(max_retries=0, timeout=0.2).chat.completions.create
            with pytest.raises(openai.APITimeoutError):
                await ask(model="fake", messages=user("Go on"))
            await until(lambda: is_idle(slow))

    run(main())


def test_errors_are_those_of_the_client(demo_client: openai.OpenAI) -> None:
    ask: Any = demo_client.chat.completions.create
    with pytest.raises(openai.BadRequestError) as caught:
        ask(model=MODEL, messages=user("Hello!"), temperature=-1)
    assert (caught.value.param, caught.value.code) == ("temperature", "invalid_value")
    with pytest.raises(openai.BadRequestError):
        ask(model=MODEL, messages=user("Hello!"), temperature=-1, stream=True)
    with pytest.raises(openai.NotFoundError):
        ask(model="gpt-5", messages=user("Hello!"))
    with pytest.raises(openai.NotFoundError):
        demo_client.images.generate(prompt="a dog")


def test_an_error_after_the_first_chunks_is_raised() -> None:
    reply = Reply("It was a", error=DecodeError("the computation failed"), error_after=6)
    with FakeEngine(reply) as engine, inllama.openai_client(engine) as client:
        came: list[Any] = []
        with pytest.raises(openai.APIError, match="the computation failed"):
            came.extend(client.chat.completions.create(model="fake", messages=user("Hello!"), stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in came) == "It was"


def test_a_closed_engine_says_so() -> None:
    engine = FakeEngine("Hi")
    with inllama.openai_client(engine) as client:
        assert client.chat.completions.create(model="fake", messages=user("Hello!")).choices[0].message.content == "Hi"
        engine.close()
        ask: Any = client.with_options(max_retries=0).chat.completions.create
        with pytest.raises(openai.InternalServerError) as caught:
            ask(model="fake", messages=user("Hello!"))
        assert (caught.value.status_code, caught.value.code) == (503, "engine_closed")


def test_options_are_those_of_the_app() -> None:
    with FakeEngine("Hi") as engine, inllama.openai_client(engine, strict=True, api_keys=("a-good-key",)) as client:
        ask: Any = client.chat.completions.create
        assert client.api_key == "a-good-key"
        assert ask(model="fake", messages=user("Hello!")).choices[0].message.content == "Hi"
        with pytest.raises(openai.BadRequestError) as caught:
            ask(model="fake", messages=user("Hello!"), extra_body={"tempurature": 1})
        assert caught.value.code == "unknown_field"
        stranger: Any = client.with_options(api_key="a-bad-key").chat.completions.create
        with pytest.raises(openai.AuthenticationError):
            stranger(model="fake", messages=user("Hello!"))
        with pytest.raises(TypeError, match="strickt"):
            inllama.openai_client(engine, strickt=True)
    with pytest.raises(TypeError, match="must be an Engine"):
        inllama.openai_client("demo")  # type: ignore[arg-type]


# Many at once.


def test_fifty_requests_are_computed_together() -> None:
    async def main(engine: FakeEngine) -> list[str]:
        async with inllama.async_openai_client(engine) as client:

            async def ask(index: int) -> str:
                answer: Any = await client.chat.completions.create(model="fake", messages=user(f"number {index}"))
                return str(answer.choices[0].message.content)

            async def read(index: int) -> str:
                stream: Any = await client.chat.completions.create(
                    model="fake", messages=user(f"number {index}"), stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return await asyncio.gather(*((ask if index % 2 else read)(index) for index in range(50)))

    def reply(prompt: str) -> str:
        return f"Yours is {prompt.partition('|>')[0].split()[-1]}."

    with FakeEngine(reply, step_s=0.002) as engine:
        assert run(main(engine)) == [f"Yours is {index}." for index in range(50)]
        assert engine.stats().steps < 50 * len("Yours is 10.")


def test_threads_may_share_a_client() -> None:
    with FakeEngine(lambda prompt: prompt) as engine, inllama.openai_client(engine) as client:

        def ask(index: int) -> bool:
            answer = client.chat.completions.create(model="fake", messages=user(f"number {index}"))
            return f"number {index}|>" in (answer.choices[0].message.content or "")

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(40)))
        assert len(client_threads()) == 1


def test_several_clients_share_an_engine(demo: Engine) -> None:
    with inllama.openai_client(demo) as one, inllama.openai_client(demo, model_names=("gpt-5",)) as other:
        for client, name in ((one, MODEL), (other, "gpt-5")):
            assert client.chat.completions.create(model=name, messages=user("Hello!"), max_tokens=4).model == name
        assert len(client_threads()) == 2


def test_a_model_is_loaded_with_the_first_request() -> None:
    async def main() -> None:
        aio = AsyncLLM("demo")
        async with inllama.async_openai_client(aio) as client:
            ask: Any = client.with_options(max_retries=0).chat.completions.create
            answers = await asyncio.gather(*(ask(model=MODEL, messages=user("Hello!"), max_tokens=4) for _ in range(3)))
            assert [answer.usage.completion_tokens for answer in answers] == [4, 4, 4]
        await aio.aclose()

    run(main())


def test_one_that_cannot_be_loaded_raises(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF, but no model")
    with inllama.openai_client(AsyncLLM(tmp_path / "broken.gguf")) as client, pytest.raises(ModelLoadError):
        client.chat.completions.create(model="broken.gguf", messages=user("Hello!"))


def test_an_asynchronous_client_works_beside_the_engines_own_face() -> None:
    async def main() -> None:
        async with AsyncLLM("demo") as aio, inllama.async_openai_client(aio) as client:
            answer, own = await asyncio.gather(
                client.chat.completions.create(model=MODEL, messages=user("Hello!"), max_tokens=4),
                aio.generate("Once upon", max_tokens=4),
            )
            assert answer.usage is not None
            assert (answer.usage.completion_tokens, own.usage.completion_tokens) == (4, 4)

    run(main())


# The thread of the synchronous client.


def test_nothing_starts_before_the_first_request() -> None:
    with FakeEngine("Hi") as engine:
        with inllama.openai_client(engine) as client:
            assert client_threads() == []
            client.chat.completions.create(model="fake", messages=user("Hello!"))
            assert len(client_threads()) == 1
        assert client_threads() == []


def test_closing_it_does_not_close_the_engine() -> None:
    with FakeEngine("Hi") as engine:
        inllama.openai_client(engine).close()
        client = inllama.openai_client(engine)
        client.chat.completions.create(model="fake", messages=user("Hello!"))
        client.close()
        client.close()
        assert client_threads() == []
        assert not engine.closed
        with inllama.openai_client(engine) as again:
            assert again.chat.completions.create(model="fake", messages=user("Hello!")).choices


def test_collecting_it_ends_its_thread() -> None:
    with FakeEngine("Hi") as engine:
        client = inllama.openai_client(engine)
        client.chat.completions.create(model="fake", messages=user("Hello!"))
        assert len(client_threads()) == 1
        del client
        gc.collect()
        wait_until(lambda: client_threads() == [])


def test_closing_it_ends_open_streams(slow: FakeEngine) -> None:
    client = inllama.openai_client(slow)
    stream = client.chat.completions.create(model="fake", messages=user("Go on"), stream=True)
    assert next(stream).choices[0].delta.role == "assistant"
    client.close()
    assert client_threads() == []
    wait_until(lambda: is_idle(slow))
    with pytest.raises(RuntimeError, match="closed"):
        list(stream)
    stream.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.models.list()
    assert client_threads() == []


def test_closing_it_ends_what_another_thread_reads(slow: FakeEngine) -> None:
    client = inllama.openai_client(slow)
    stream = client.chat.completions.create(model="fake", messages=user("Go on"), stream=True)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(list, stream)
        wait_until(lambda: slow.stats().running == 1)
        client.close()
        # The second one if it was between two pieces.
        with pytest.raises((openai.APIConnectionError, RuntimeError)):
            reading.result(10)
    wait_until(lambda: is_idle(slow))
    assert client_threads() == []


def test_closing_the_asynchronous_one_ends_open_streams(slow: FakeEngine) -> None:
    async def main() -> None:
        async with inllama.async_openai_client(slow) as client:
            stream = await client.chat.completions.create(model="fake", messages=user("Go on"), stream=True)
            assert (await anext(stream)).choices[0].delta.role == "assistant"
        await until(lambda: is_idle(slow))
        await stream.close()

    run(main())


def test_a_stream_that_nobody_has_any_more_is_cancelled(slow: FakeEngine, slow_client: openai.OpenAI) -> None:
    stream = slow_client.chat.completions.create(model="fake", messages=user("Go on"), stream=True)
    assert next(stream).choices[0].delta.role == "assistant"
    del stream
    gc.collect()
    wait_until(lambda: is_idle(slow))


def test_the_asynchronous_one_needs_no_thread() -> None:
    async def main() -> None:
        with FakeEngine("Hi") as engine:
            async with inllama.async_openai_client(engine) as client:
                await client.chat.completions.create(model="fake", messages=user("Hello!"))
                assert client_threads() == []

    run(main())


def test_it_may_be_used_in_one_loop_after_the_other() -> None:
    with FakeEngine("Hi") as engine:
        client = inllama.async_openai_client(engine)

        async def main() -> str | None:
            answer = await client.chat.completions.create(model="fake", messages=user("Hello!"))
            return answer.choices[0].message.content

        assert [run(main()) for _ in range(3)] == ["Hi"] * 3
