"""Chats on a FakeEngine: options, events, results, errors. What a real template does is in tests/model/."""

from __future__ import annotations

import asyncio
import enum
import json
from dataclasses import fields
from typing import Any

import pytest

from inllama import (
    LLM,
    AsyncLLM,
    ChatOptions,
    Finished,
    GrammarError,
    InvalidRequestError,
    Message,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    UnsupportedError,
)
from inllama.testing import FakeEngine


class Color(enum.Enum):
    RED = "red"


CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}</tool_call>'


def get_weather(city: str, days: int = 1) -> str:
    """Get the weather.

    Args:
        city: Where.
        days: How many.
    """
    return f"sunny in {city} for {days} days"


def fake(reply: Any, **options: Any) -> LLM:
    return LLM(FakeEngine(reply, **options))


def test_an_answer_has_content_reasoning_and_usage() -> None:
    reply = fake("<think>hm</think>Hello!").chat("Hi")
    assert reply.message == Message("assistant", "Hello!", "hm")
    assert reply.finish_reason == "stop"
    assert reply.usage.completion_tokens == len("<think>hm</think>Hello!")
    assert reply.request_id.startswith("chatcmpl-")
    assert reply.to_dict()["choices"][0]["message"]["content"] == "Hello!"


def test_a_text_is_what_the_user_says() -> None:
    llm = fake(lambda prompt: prompt)
    assert llm.render_chat("Hi").text == llm.render_chat([{"role": "user", "content": "Hi"}]).text
    assert bytes(llm.render_chat("Hi").token_ids.astype("uint8")).decode() == llm.render_chat("Hi").text


def test_an_answer_is_a_message_of_the_next_chat() -> None:
    llm = fake("Hello!")
    messages: list[Any] = [{"role": "user", "content": "Hi"}]
    messages.append(llm.chat(messages).message)
    messages.append({"role": "user", "content": "Again"})
    assert "assistant\nHello!" in llm.render_chat(messages).text


def test_functions_are_shown_to_the_model_and_calls_come_back_with_arguments() -> None:
    llm = fake(CALL)
    assert '"city"' in llm.render_chat("Weather?", tools=[get_weather]).text
    reply = llm.chat("Weather?", tools=[get_weather])
    (call,) = reply.message.tool_calls
    assert (call.name, call.arguments) == ("get_weather", {"city": "Paris", "days": 2})
    assert reply.finish_reason == "tool_calls"
    assert len(call.id) == 9  # as Mistral's templates want it
    assert call.id.isalnum()


def test_nothing_is_executed_by_chat() -> None:
    ran: list[str] = []

    def get_weather(city: str, days: int = 1) -> str:
        """Get it."""
        ran.append(city)
        return city

    assert fake(CALL).chat("Weather?", tools=[get_weather]).message.tool_calls
    assert ran == []


@pytest.mark.parametrize("arguments", [{"city": 3}, {}, {"city": "Paris", "planet": "Mars"}])
def test_arguments_that_the_schema_forbids_raise_with_the_answer(arguments: dict[str, Any]) -> None:
    llm = fake(f"<tool_call>{json.dumps({'name': 'get_weather', 'arguments': arguments})}</tool_call>")
    with pytest.raises(GrammarError, match="get_weather do not fit its schema") as caught:
        llm.chat("Weather?", tools=[get_weather])
    assert caught.value.completion.message.tool_calls[0].arguments == arguments


def test_a_call_of_something_that_was_not_declared_raises() -> None:
    with pytest.raises(GrammarError, match="none of the tools"):
        fake('<tool_call>{"name": "format_disk", "arguments": {}}</tool_call>').chat("Hi", tools=[get_weather])


def test_schemas_of_tools_that_cannot_be_enforced_are_refused_at_once() -> None:
    declared = {"name": "f", "parameters": {"type": "object", "properties": {"n": {"type": "integer", "not": {}}}}}
    llm = fake("Hello!")
    with pytest.raises(GrammarError, match="the parameters of f") as caught:
        llm.chat("Hi", tools=[{"type": "function", "function": declared}])
    assert caught.value.tool == "f"
    assert caught.value.pointer == "/properties/n"
    assert llm.stats().submitted == 0


def test_an_answer_that_cannot_be_parsed_is_plain_content_with_a_remark() -> None:
    reply = fake("<tool_call>{oops</tool_call>").chat("Hi", tools=[get_weather])
    assert reply.message.content == "<tool_call>{oops</tool_call>"
    assert reply.message.parse_error
    assert reply.message.tool_calls == ()
    assert reply.finish_reason == "stop"


def test_events_tell_reasoning_text_and_calls_apart() -> None:
    llm = fake(f"<think>I look.</think>One moment. {CALL}")
    events = list(llm.stream_chat("Weather?", tools=[get_weather]))
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == "I look."
    assert "".join(event.text for event in events if isinstance(event, TextDelta)).strip() == "One moment."
    calls = [event for event in events if isinstance(event, ToolCallDelta)]
    assert calls[0].name == "get_weather"
    assert all(event.name is None for event in calls[1:])
    assert {event.id for event in calls} == {calls[0].id}
    assert json.loads("".join(event.arguments for event in calls)) == {"city": "Paris", "days": 2}
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.index, end.finish_reason, end.type) == (0, "tool_calls", "finished")
    assert end.completion is not None
    assert end.completion.message.tool_calls[0].id == calls[0].id


def test_several_calls_of_one_answer_have_an_index_and_an_id_each() -> None:
    others = CALL.replace("Paris", "Rome")
    llm = fake(f"{CALL}{others}")
    stream = llm.stream_chat("Weather?", tools=[get_weather], parallel_tool_calls=True)
    deltas = [event for event in stream if isinstance(event, ToolCallDelta)]
    assert [delta.call_index for delta in deltas if delta.name] == [0, 1]
    calls = stream.result().message.tool_calls
    assert [call.arguments["city"] for call in calls] == ["Paris", "Rome"]
    assert len({call.id for call in calls}) == 2
    for place, call in enumerate(calls):
        mine = [delta for delta in deltas if delta.call_index == place]
        assert {delta.id for delta in mine} == {call.id}
        assert json.loads("".join(delta.arguments for delta in mine)) == call.arguments


def test_deltas_of_text_have_all_log_probabilities_since_the_last_event() -> None:
    stream = fake("a <b and <tool> c").stream_chat("Hi", logprobs=True, top_logprobs=1)
    deltas = [event for event in stream if isinstance(event, TextDelta)]
    choice = stream.result().choices[0]
    assert choice.logprobs is not None
    assert tuple(token for delta in deltas for token in delta.token_ids) == choice.token_ids
    assert tuple(one for delta in deltas for one in delta.logprobs) == choice.logprobs
    assert fake("a").chat("Hi", logprobs=True).choices[0].logprobs is not None


def test_render_chat_shows_what_the_model_is_asked() -> None:
    llm = fake("{}")
    stream = llm.stream_chat("Hi", json_schema={"type": "object"})
    shown = llm.render_chat("Hi", json_schema={"type": "object"})
    assert stream.prompt.text == shown.text
    assert stream.prompt.token_ids.tolist() == shown.token_ids.tolist()
    assert stream.result().usage.prompt_tokens == len(shown.token_ids)


def test_a_streams_result_has_the_ids_that_its_events_had() -> None:
    stream = fake(CALL).stream_chat("Weather?", tools=[get_weather])
    ids = {event.id for event in stream if isinstance(event, ToolCallDelta)}
    assert {call.id for call in stream.result().message.tool_calls} == ids


@pytest.mark.parametrize("n_read", [0, 1, 5, 1000])
def test_a_streams_result_is_the_same_however_much_was_read(n_read: int) -> None:
    llm = fake("<think>hm</think>Hello, world!")
    whole = llm.chat("Hi").message
    stream = llm.stream_chat("Hi")
    for _, _event in zip(range(n_read), stream, strict=False):
        pass
    assert stream.result().message == whole


def test_several_outputs_are_told_apart_by_index() -> None:
    stream = fake("Hello!").stream_chat("Hi", n=3)
    texts = ["", "", ""]
    for event in stream:
        if isinstance(event, TextDelta):
            texts[event.index] += event.text
    assert texts == ["Hello!"] * 3
    assert [choice.index for choice in stream.result().choices] == [0, 1, 2]


def test_an_answer_that_is_cut_off_says_so() -> None:
    reply = fake("Hello, world!").chat("Hi", max_tokens=5)
    assert (reply.message.content, reply.finish_reason) == ("Hello", "length")


def test_a_cancelled_stream_keeps_what_came() -> None:
    stream = fake("x" * 100_000, step_s=0.001).stream_chat("Hi")
    first = next(stream)
    stream.cancel()
    reply = stream.result()
    assert isinstance(first, TextDelta)
    assert reply.finish_reason == "cancelled"
    assert reply.message.content
    assert set(reply.message.content) == {"x"}


def test_a_reasoning_budget_closes_reasoning() -> None:
    reply = fake("<think>" + "long " * 50).chat("Hi", reasoning_budget=12, max_tokens=60)
    assert reply.message.reasoning_content == "long long lo"
    assert reply.message.content


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"tool": []}, TypeError, "did you mean 'tools'"),
        ({"tools": [3]}, TypeError, "tool"),
        ({"tools": [get_weather, get_weather]}, InvalidRequestError, "get_weather"),
        ({"tools": [get_weather], "tool_choice": "get_time"}, InvalidRequestError, "get_weather"),
        ({"tool_choice": "required"}, InvalidRequestError, "tool"),
        ({"reasoning": False, "reasoning_budget": 3}, InvalidRequestError, "no effect"),
        ({"reasoning_budget": -1}, InvalidRequestError, "reasoning_budget is -1"),
        ({"chat_template_kwargs": {"x": {1, 2}}}, InvalidRequestError, "cannot be written as JSON"),
        ({"parallel_tool_calls": True}, InvalidRequestError, "no effect without tools"),
        (
            {"reasoning_budget": 3, "chat_template_kwargs": {"enable_thinking": False}},
            InvalidRequestError,
            "no effect with chat_template_kwargs",
        ),
        ({"tools": get_weather}, TypeError, "tools must be list or tuple, not function"),
        ({"toolz": None}, TypeError, "did you mean 'tools'"),
        ({"json_schema": Message}, TypeError, "cannot be the type Message; give output=Message"),
        ({"json_schema": list[Message]}, TypeError, "give output=list"),
        ({"choices": Color}, TypeError, "cannot be the type Color; give output=Color"),
    ],
)
def test_bad_options_raise_before_anything_is_computed(options: dict[str, Any], error: type, text: str) -> None:
    llm = fake("Hello!")
    with pytest.raises(error, match=text):
        llm.chat("Hi", **options)
    assert llm.stats().submitted == 0
    assert llm.chat("Hi").message.content == "Hello!"


def test_none_means_that_an_option_of_a_chat_is_not_given() -> None:
    names = [item.name for item in fields(ChatOptions)]
    assert {"tools", "tool_choice", "documents", "chat_template_kwargs"} <= set(names)
    given: dict[str, Any] = dict.fromkeys([*names, "stop", "seed", "max_tokens", "timeout_s", "json_schema"])
    assert fake("Hello!").chat("Hi", **given).message.content == "Hello!"
    assert fake("x").render_chat("Hi", **dict.fromkeys(names)).text == fake("x").render_chat("Hi").text


def test_a_call_can_be_required_of_a_fake_model() -> None:
    for choice in ("required", "get_weather"):
        assert fake(CALL).chat("Weather?", tools=[get_weather], tool_choice=choice).message.tool_calls
        assert fake("Grüße").chat("Weather?", tools=[get_weather], tool_choice=choice).message.content == "Grüße"


def test_documents_are_shown_to_a_fake_model() -> None:
    assert "the ark" in fake("x").render_chat("Hi", documents=[{"text": "the ark"}]).text


@pytest.mark.parametrize(
    "messages", [None, 3, [], [{"content": "x"}], [{"role": "user", "content": 3}], [{"role": "x"}]]
)
def test_bad_messages_raise(messages: Any) -> None:
    with pytest.raises((TypeError, InvalidRequestError)):
        fake("Hello!").chat(messages)


def test_images_say_what_is_missing() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(UnsupportedError, match="image"):
        fake("Hello!").chat([{"role": "user", "content": [part]}])


def test_the_asynchronous_face_does_the_same() -> None:
    async def main() -> None:
        async with AsyncLLM(FakeEngine(f"<think>hm</think>{CALL}")) as aio:
            reply = await aio.chat("Weather?", tools=[get_weather])
            assert isinstance(reply.message.tool_calls[0], ToolCall)
            events = [event async for event in aio.stream_chat("Weather?", tools=[get_weather])]
            assert isinstance(events[-1], Finished)
            assert events[-1].finish_reason == "tool_calls"
            stream = aio.stream_chat("Weather?", tools=[get_weather])
            assert (await stream.result()).message.reasoning_content == "hm"
            assert (await aio.render_chat("Hi")).text.endswith("assistant\n")
            with pytest.raises(InvalidRequestError):
                await aio.chat([])

    asyncio.run(main())


def test_a_cancelled_task_ends_its_chat() -> None:
    async def main() -> None:
        async with AsyncLLM(FakeEngine("x" * 100_000, step_s=0.001)) as aio:
            task = asyncio.create_task(aio.chat("Hi"))
            while aio.stats().running == 0:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(5):
                while aio.stats().running:
                    await asyncio.sleep(0.001)

    asyncio.run(main())
