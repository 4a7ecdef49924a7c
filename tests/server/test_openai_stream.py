"""Streams of the official client: what comes in which order, and how a stream ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import openai
import pytest
from asking import ALONE, MODEL, PET, QUESTION, RESULT, TOOLS, client_of, is_idle, user, wait_until
from pydantic import BaseModel

from inllama import DecodeError
from inllama.testing import FakeEngine, Reply

Ask = Callable[..., Any]
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris", "days": [1, 2]}}</tool_call>'


@pytest.fixture
def ask(client: openai.OpenAI) -> Ask:
    """Asks the demo model, which does not reason unless it is told to."""

    def asked(messages: Any, **options: Any) -> Any:
        given = {"temperature": 0, "max_tokens": 100, "reasoning_effort": "none", **options}
        return client.chat.completions.create(model=MODEL, messages=messages, **given)

    return asked


@pytest.fixture(scope="module")
def slow() -> Iterator[FakeEngine]:
    """An engine whose answers take 20 seconds."""
    with FakeEngine("word " * 400, step_s=0.01) as engine:
        yield engine


@pytest.fixture(scope="module")
def slow_client(slow: FakeEngine) -> Iterator[openai.OpenAI]:
    with client_of(slow) as made:
        yield made


def streamed(reply: str, messages: Any, **options: Any) -> list[Any]:
    """Return the chunks in which a reply comes."""
    with FakeEngine(reply) as engine, client_of(engine) as client:
        return list(client.chat.completions.create(model="fake", messages=messages, stream=True, **options))


def text_of(chunks: list[Any], index: int = 0, name: str = "content") -> str:
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(getattr(delta, name, None) or "" for delta in deltas)


# What comes.


def test_the_role_comes_first_and_the_reason_last() -> None:
    chunks = streamed("Good day!", user("Hello!"))
    first, *middle, last = [chunk.choices[0] for chunk in chunks]
    assert first.delta.to_dict() == {"role": "assistant", "content": ""}
    assert all(set(choice.delta.to_dict()) == {"content"} for choice in middle)
    assert last.delta.to_dict() == {}
    assert [choice.finish_reason for choice in (first, *middle, last)] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    assert (chunks[0].model, chunks[0].object) == ("fake", "chat.completion.chunk")
    assert chunks[0].id.startswith("chatcmpl-")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 1.2, "seed": 7},
        {"reasoning_effort": "high"},
        {"stop": [" was"]},
        {"max_tokens": 9},
        {"n": 3, "temperature": 1.2, "seed": 7, "max_tokens": 20},
    ],
    ids=str,
)
def test_chunks_add_up_to_the_answer(ask: Ask, options: dict[str, Any]) -> None:
    whole = ask(user("Tell me a story."), extra_body=ALONE, **options)
    chunks = list(ask(user("Tell me a story."), extra_body=ALONE, stream=True, **options))
    for choice in whole.choices:
        assert text_of(chunks, choice.index) == choice.message.content
        assert text_of(chunks, choice.index, "reasoning_content") == getattr(choice.message, "reasoning_content", "")
        own = [other for chunk in chunks for other in chunk.choices if other.index == choice.index]
        assert own[0].delta.role == "assistant"
        assert [other.finish_reason for other in own if other.finish_reason] == [choice.finish_reason]
        assert own[-1].finish_reason


def test_reasoning_comes_before_content() -> None:
    chunks = streamed("<think>Let me see.</think>Good day!", user("Hello!"))
    kinds = [name for chunk in chunks[1:] for name in chunk.choices[0].delta.to_dict()]
    n_reasoning = kinds.count("reasoning_content")
    assert n_reasoning > 1
    assert kinds == ["reasoning_content"] * n_reasoning + ["content"] * (len(kinds) - n_reasoning)
    assert (text_of(chunks, 0, "reasoning_content"), text_of(chunks)) == ("Let me see.", "Good day!")


def test_logprobs_come_with_their_texts(ask: Ask) -> None:
    options = {"logprobs": True, "top_logprobs": 2, "extra_body": ALONE}
    whole = ask(user("Hello!"), **options).choices[0].logprobs.content
    chunks = list(ask(user("Hello!"), stream=True, **options))
    parts = [chunk.choices[0].logprobs.content for chunk in chunks if chunk.choices[0].logprobs]
    assert [token.to_dict() for part in parts for token in part] == [token.to_dict() for token in whole]
    assert len(parts) > 3


@pytest.mark.parametrize(
    "text",
    [
        "Zażółć gęślą jaźń 👩‍🚀🇵🇱!",
        "\r\n\r\ndata: [DONE]\n\nevent: x\n\n",
        "a\u2028b\u2029c\x85d\x0be\x1cf",
        '"\\"\\u0000\t</script>',
    ],
    ids=["characters of many bytes", "events", "line separators", "quotes"],
)
def test_any_text_arrives_as_it_is(text: str) -> None:
    chunks = streamed(f".{text}.", user("Hello!"))
    assert text_of(chunks) == f".{text}."
    assert not any("\ufffd" in text_of([chunk]) for chunk in chunks)


def test_chunks_come_while_the_rest_is_computed(slow: FakeEngine, slow_client: openai.OpenAI) -> None:
    with slow_client.chat.completions.create(model="fake", messages=user("Go on"), stream=True) as stream:
        assert next(stream).choices[0].delta.role == "assistant"
        assert (next(stream).choices[0].delta.content or "").startswith("w")
        assert slow.stats().running == 1
    wait_until(lambda: is_idle(slow))


# Usage.


def test_the_usage_comes_last_if_it_is_wanted(ask: Ask) -> None:
    whole = ask(user("Hello!"), extra_body=ALONE)
    options = {"stream_options": {"include_usage": True}, "extra_body": ALONE}
    *chunks, last = ask(user("Hello!"), stream=True, **options)
    assert last.choices == []
    assert last.usage == whole.usage
    assert last.id == chunks[0].id
    assert all("usage" in chunk.to_dict() and chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": False}}, {"stream_options": {}}], ids=str)
def test_without_that_there_is_none(ask: Ask, options: Any) -> None:
    chunks = list(ask(user("Hello!"), stream=True, **options))
    assert all(chunk.choices and "usage" not in chunk.to_dict() for chunk in chunks)


def test_the_usage_is_that_of_all_answers(ask: Ask) -> None:
    options = {"stream_options": {"include_usage": True}, "n": 3, "max_tokens": 7}
    last = list(ask(user("Tell me a story."), stream=True, **options))[-1]
    assert last.usage.completion_tokens == 21
    assert last.usage.total_tokens == last.usage.prompt_tokens + 21


def test_cached_tokens_are_counted_in_streams(ask: Ask) -> None:
    options = {"stream_options": {"include_usage": True}, "extra_body": {"cache_salt": "in streams"}}
    usages = [list(ask(user(QUESTION), stream=True, **options))[-1].usage for _ in range(2)]
    assert [usage.prompt_tokens_details.cached_tokens for usage in usages] == [0, usages[0].prompt_tokens - 1]


# Tools and structures.


def test_a_call_comes_in_pieces_of_json(ask: Ask) -> None:
    chunks = list(ask(user(QUESTION), tools=TOOLS, stream=True))
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or ()]
    first, *others = pieces
    assert (first.index, first.type, first.function.name) == (0, "function", "get_weather")
    assert first.id
    assert [(piece.index, piece.id, piece.type, piece.function.name) for piece in others] == [
        (0, None, None, None)
    ] * len(others)
    assert json.loads("".join(piece.function.arguments for piece in pieces)) == {"city": "Paris"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert text_of(chunks) == ""


def test_several_calls_come_one_after_the_other() -> None:
    chunks = streamed(f"I will look.{CALL}{CALL}", user(QUESTION), tools=TOOLS)
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or ()]
    indices = [piece.index for piece in pieces]
    assert indices == sorted(indices)
    for index in (0, 1):
        own = [piece for piece in pieces if piece.index == index]
        assert [piece.function.name for piece in own if piece.function.name] == ["get_weather"]
        assert len([piece for piece in own if piece.id]) == 1
        assert json.loads("".join(piece.function.arguments for piece in own)) == {"city": "Paris", "days": [1, 2]}
    assert len({piece.id for piece in pieces if piece.id}) == 2
    assert text_of(chunks) == "I will look."


def test_a_streamed_call_can_be_answered(ask: Ask) -> None:
    pieces = [
        piece
        for chunk in ask(user(QUESTION), tools=TOOLS, stream=True)
        for piece in chunk.choices[0].delta.tool_calls or ()
    ]
    function = {"name": pieces[0].function.name, "arguments": "".join(piece.function.arguments for piece in pieces)}
    call = {"id": pieces[0].id, "type": "function", "function": function}
    talk = [
        *user(QUESTION),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": RESULT},
    ]
    assert "18" in text_of(list(ask(talk, tools=TOOLS, stream=True)))


def test_the_stream_of_a_structure_is_json(ask: Ask) -> None:
    kind = {"type": "json_schema", "json_schema": {"name": "pet", "strict": True, "schema": PET}}
    for effort in ("none", "high"):
        chunks = list(ask(user("Hello!"), stream=True, response_format=kind, reasoning_effort=effort))
        assert set(json.loads(text_of(chunks))) == {"kind", "is_good"}


def test_the_helper_of_the_client_gathers_an_answer(client: openai.OpenAI) -> None:
    class Pet(BaseModel):
        is_good: bool

    options: Any = {"model": MODEL, "messages": user("Hello!"), "temperature": 0, "max_tokens": 100}
    with client.chat.completions.stream(response_format=Pet, **options) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    text = "".join(event.delta for event in events if event.type == "content.delta")
    done = next(event for event in events if event.type == "content.done")
    assert text == done.content == final.choices[0].message.content
    assert isinstance(final.choices[0].message.parsed, Pet)
    assert done.parsed == final.choices[0].message.parsed == Pet.model_validate_json(text)


def test_the_helper_of_the_client_gathers_calls(client: openai.OpenAI) -> None:
    class get_weather(BaseModel):
        """Get the weather in a city"""

        city: str

    options: Any = {"model": MODEL, "messages": user(QUESTION), "temperature": 0}
    with client.chat.completions.stream(tools=[openai.pydantic_function_tool(get_weather)], **options) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    text = "".join(event.arguments_delta for event in events if event.type == "tool_calls.function.arguments.delta")
    done = next(event for event in events if event.type == "tool_calls.function.arguments.done")
    assert text == done.arguments
    assert done.parsed_arguments == get_weather(city="Paris")
    calls: Any = final.choices[0].message.tool_calls
    (call,) = calls
    assert call.function.parsed_arguments == get_weather(city="Paris")


def test_a_stream_is_server_sent_events(client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=user("Hello!"), stream=True, max_tokens=3, extra_body={"tempurature": 1}
    ) as raw:
        lines = list(raw.iter_lines())
    assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert raw.headers["cache-control"] == "no-cache"
    assert raw.headers["x-inllama-ignored"] == "tempurature"
    assert "content-length" not in raw.headers
    data, gaps = lines[::2], lines[1::2]
    assert data[-1] == "data: [DONE]"
    assert set(gaps) == {""}
    assert all(json.loads(line.removeprefix("data: "))["object"] == "chat.completion.chunk" for line in data[:-1])


# How a stream ends early.


def test_leaving_a_stream_cancels_the_request(slow: FakeEngine, slow_client: openai.OpenAI) -> None:
    n_cancelled = slow.stats().cancelled
    with slow_client.chat.completions.create(model="fake", messages=user("Go on"), stream=True) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    wait_until(lambda: slow.stats().cancelled == n_cancelled + 1)
    wait_until(lambda: is_idle(slow))


@pytest.mark.parametrize("n", [1, 4])
def test_a_client_that_waits_no_longer_frees_the_engine(slow: FakeEngine, slow_client: openai.OpenAI, n: int) -> None:
    with pytest.raises(openai.APITimeoutError):
        slow_client.chat.completions.create(model="fake", messages=user("Go on"), n=n, timeout=0.2)
    wait_until(lambda: is_idle(slow))


def test_a_request_may_have_a_deadline(slow: FakeEngine, slow_client: openai.OpenAI) -> None:
    options: Any = {"model": "fake", "messages": user("Go on"), "extra_body": {"timeout_s": 0.1}}
    with pytest.raises(openai.InternalServerError) as caught:
        slow_client.with_options(max_retries=5).chat.completions.create(**options)
    assert (caught.value.status_code, caught.value.code) == (504, "deadline_exceeded")
    assert caught.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.APIError) as ended:
        list(slow_client.chat.completions.create(stream=True, **options))
    assert ended.value.code == "deadline_exceeded"
    wait_until(lambda: is_idle(slow))


def test_the_server_may_have_one_for_all(slow: FakeEngine) -> None:
    longer: Any = {"timeout_s": 60.0}
    with (
        client_of(slow, request_timeout_s=0.1) as client,
        pytest.raises(openai.InternalServerError, match="time was over") as caught,
    ):
        client.chat.completions.create(model="fake", messages=user("Go on"), extra_body=longer)
    assert caught.value.code == "deadline_exceeded"
    wait_until(lambda: is_idle(slow))


def test_an_error_after_the_first_chunks_is_raised_in_the_client() -> None:
    replies: Iterator[str | Reply] = iter(
        [Reply("It was a", error=DecodeError("the computation failed"), error_after=6), "All is well."]
    )
    with FakeEngine(lambda _: next(replies)) as engine, client_of(engine) as client:
        stream = client.chat.completions.create(model="fake", messages=user("Hello!"), stream=True)
        came: list[Any] = []
        with pytest.raises(openai.APIError, match="the computation failed") as caught:
            came.extend(stream)
        assert text_of(came) == "It was"
        assert (caught.value.code, caught.value.type) == ("engine_error", "server_error")
        again = client.chat.completions.create(model="fake", messages=user("Hello!"))
        assert again.choices[0].message.content == "All is well."


def test_an_error_of_ours_says_nothing_of_itself() -> None:
    secret = Reply("It was a", error=RuntimeError("/home/ada/secret"), error_after=6)
    with FakeEngine(secret) as engine, client_of(engine) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="fake", messages=user("Hello!"))
        with pytest.raises(openai.APIError) as ended:
            list(client.chat.completions.create(model="fake", messages=user("Hello!"), stream=True))
    for error in (caught.value, ended.value):
        assert error.code == "internal_error"
        assert "secret" not in error.message
    assert caught.value.response.headers["x-request-id"] in caught.value.message


@pytest.mark.parametrize(
    "options",
    [{"temperature": -1}, {"extra_body": {"grammar": "root ::= ("}}, {"tool_choice": "required"}, {"n": 500}],
    ids=str,
)
def test_what_is_wrong_with_the_request_is_said_before_the_stream(ask: Ask, options: Any) -> None:
    with pytest.raises(openai.BadRequestError):
        ask(user("Hello!"), stream=True, **options)
    with pytest.raises(openai.BadRequestError):
        ask(user("word " * 3000), stream=True)


# More requests than there is room for.


def test_a_full_queue_says_when_to_come_again() -> None:
    with (
        FakeEngine("word " * 400, step_s=0.01, max_running=1, max_queue=0) as engine,
        client_of(engine) as client,
    ):
        ask: Any = client.chat.completions.create
        with ask(model="fake", messages=user("Go on"), stream=True) as running:
            next(running)
            for stream in (False, True):
                with pytest.raises(openai.RateLimitError) as caught:
                    ask(model="fake", messages=user("Go on"), stream=stream)
                assert (caught.value.code, caught.value.type) == ("queue_full", "rate_limit_error")
                assert caught.value.response.headers["retry-after"] == "1"
        again: Any = client.with_options(max_retries=5).chat.completions.create
        assert again(model="fake", messages=user("Go on"), max_tokens=2).choices[0].message.content == "wo"


def test_the_retries_of_the_client_succeed() -> None:
    found: list[str | None] = []
    with (
        FakeEngine("word " * 10, step_s=0.01, max_running=1, max_queue=0) as engine,
        client_of(engine, max_retries=5) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        ask: Any = partial(client.chat.completions.create, model="fake", messages=user("Go on"))
        asked = [pool.submit(ask) for _ in range(2)]
        found = [one.result().choices[0].message.content for one in asked]
        assert engine.stats().rejected_queue_full >= 1
    assert found == ["word " * 10] * 2
