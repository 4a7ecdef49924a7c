"""Conversations on a FakeEngine: turns, tools, undo, fork, files, overflow."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from inllama import (
    LLM,
    AsyncConversation,
    AsyncLLM,
    ConcurrentUseError,
    ContextFullError,
    Conversation,
    InvalidRequestError,
    StateError,
    TextDelta,
    ToolCallDelta,
)
from inllama.testing import FakeEngine
from inllama.testing.fake_template import FakeParser


def call(name: str, **arguments: Any) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    await asyncio.sleep(0)
    return a * b


def fail(reason: str) -> str:
    """Fail."""
    raise LookupError(reason)


def talk(reply: str | Callable[[str], str], **options: Any) -> Conversation:
    return Conversation(LLM(FakeEngine(reply)), **options)


def last_said(prompt: str) -> str:
    """The text of the last message in a prompt of the fake template."""
    return prompt.rsplit("|>\n<|assistant", 1)[0].rsplit("\n", 1)[1]


def roles(conversation: Conversation | AsyncConversation) -> list[str]:
    return [message["role"] for message in conversation.messages]


def test_a_conversation_remembers_both_sides() -> None:
    conversation = talk(lambda prompt: last_said(prompt).upper(), system="Shout.")
    assert conversation.send("one").message.content == "ONE"
    assert conversation.send("two").message.content == "TWO"
    assert roles(conversation) == ["system", "user", "assistant", "user", "assistant"]
    assert conversation.system == "Shout."
    conversation.system = None
    assert roles(conversation) == ["user", "assistant", "user", "assistant"]


def test_only_what_is_new_in_a_turn_is_computed() -> None:
    conversation = talk("An answer of some length.")
    for turn in range(10):
        reply = conversation.send(f"question {turn}")
        n_new = reply.usage.prompt_tokens - reply.usage.cached_tokens
        if turn > 0:
            assert n_new <= len("|>\n<|user\nquestion 0|>\n<|assistant\n") + 1


def test_functions_run_until_the_model_answers_in_words() -> None:
    def reply(prompt: str) -> str:
        said = last_said(prompt)
        return call("add", a=2, b=3) if said == "2 + 3?" else f"It is {said}."

    conversation = talk(reply)
    answer = conversation.send("2 + 3?", tools=[add])
    assert answer.message.content == "It is 5."
    assert roles(conversation) == ["user", "assistant", "tool", "assistant"]
    assert conversation.messages[2]["tool_call_id"] == conversation.messages[1]["tool_calls"][0]["id"]


def test_asynchronous_functions_run_too() -> None:
    conversation = talk(lambda prompt: call("multiply", a=6, b=7) if "?" in last_said(prompt) else last_said(prompt))
    assert conversation.send("6 * 7?", tools=[multiply]).message.content == "42"


def test_asynchronous_functions_run_where_an_event_loop_runs_already() -> None:
    def reply(prompt: str) -> str:
        said = last_said(prompt)
        return call("multiply", a=6, b=7) if said == "6 * 7?" else f"It is {said}."

    async def main() -> str:
        return talk(reply).send("6 * 7?", tools=[multiply]).message.content

    assert asyncio.run(main()) == "It is 42."


@pytest.mark.parametrize("arguments", ['{"a": 1, "a": 2, "b": 3}', '{"a": 1e999, "b": 3}', "[1]"])
def test_a_call_whose_arguments_cannot_be_read_is_not_run(arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []

    def add(a: int = 0, b: int = 0) -> int:
        """Add two numbers."""
        ran.append(a + b)
        return a + b

    def parse(_: FakeParser, text: str, is_partial: bool) -> Any:
        return ("", "", (("add", arguments, ""),), None) if text == "calling" else (text, "", (), None)

    monkeypatch.setattr(FakeParser, "parse", parse)
    conversation = talk(lambda prompt: "calling" if last_said(prompt) == "go" else "fine")
    reply = conversation.send("go", tools=[add])
    assert ran == []
    assert reply.message.tool_calls == ()
    assert reply.message.content == "calling"
    assert reply.message.parse_error is not None
    assert reply.finish_reason == "stop"
    assert conversation.send("again", tools=[add]).message.content == "fine"


def test_what_a_function_raises_is_told_to_the_model() -> None:
    conversation = talk(lambda prompt: call("fail", reason="lost") if "?" in last_said(prompt) else last_said(prompt))
    assert conversation.send("go?", tools=[fail]).message.content == "Error: LookupError: lost"


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_model_that_calls_for_ever_is_stopped_at_the_limit(limit: int) -> None:
    ran: list[int] = []

    def count(n: int) -> int:
        """Count."""
        ran.append(n)
        return n

    conversation = talk(call("count", n=1))
    reply = conversation.send("go", tools=[count], max_tool_rounds=limit)
    assert len(ran) == limit
    assert reply.finish_reason == "tool_calls"
    assert roles(conversation) == ["user", *["assistant", "tool"] * limit, "assistant"]


DECLARED = {"type": "function", "function": {"name": "ask", "parameters": {"type": "object", "properties": {}}}}
NAMED = {"type": "function", "function": {"name": "add"}}


class Watched(LLM):
    """Remembers the choices of its chats."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine)
        self.choices: list[Any] = []

    def stream_chat(self, messages: Any, params: Any = None, **options: Any) -> Any:
        self.choices.append(options.get("tool_choice"))
        return super().stream_chat(messages, params, **options)


class AsyncWatched(AsyncLLM):
    """The same, asynchronous."""

    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine)
        self.choices: list[Any] = []

    def stream_chat(self, messages: Any, params: Any = None, **options: Any) -> Any:
        self.choices.append(options.get("tool_choice"))
        return super().stream_chat(messages, params, **options)


def sum_up(prompt: str) -> str:
    said = last_said(prompt)
    return call("add", a=2, b=3) if said == "2 + 3?" else f"It is {said}."


@pytest.mark.parametrize(
    ("choice", "later"), [("required", "auto"), ("add", "auto"), (NAMED, "auto"), ("auto", "auto"), (None, None)]
)
def test_a_call_is_required_once_and_then_the_model_answers(
    choice: Any, later: Any, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(FakeEngine(sum_up))
    conversation = Conversation(watched)
    with caplog.at_level(logging.WARNING, "inllama"):
        reply = conversation.send("2 + 3?", tools=[add, fail], tool_choice=choice)
    assert reply.message.content == "It is 5."
    assert watched.choices == [choice, later]
    assert caplog.records == []  # other tools were shown, which is not the template's doing

    async def main() -> None:
        async with AsyncWatched(FakeEngine(sum_up)) as aio:
            reply = await AsyncConversation(aio, tools=[add, fail]).send("2 + 3?", tool_choice=choice)
            assert reply.message.content == "It is 5."
            assert aio.choices == [choice, later]

    asyncio.run(main())


def test_functions_of_the_conversation_run_in_every_turn() -> None:
    conversation = talk(sum_up, tools=[add])
    for _ in range(2):
        assert conversation.send("2 + 3?").message.content == "It is 5."
    assert conversation.fork().send("2 + 3?").message.content == "It is 5."
    assert conversation.send("2 + 3?", max_tool_rounds=0).message.tool_calls

    async def main() -> None:
        async with AsyncLLM(FakeEngine(sum_up)) as aio:
            asynchronous = AsyncConversation(aio, tools=(one for one in (add, multiply)))
            for _ in range(2):
                assert (await asynchronous.send("2 + 3?")).message.content == "It is 5."

    asyncio.run(main())


def test_tools_of_a_turn_take_the_place_of_the_conversations() -> None:
    def count(n: int) -> int:
        """Count."""
        return n

    conversation = talk(
        lambda prompt: call("count", n=1) if "?" in last_said(prompt) else last_said(prompt), tools=[add]
    )
    assert conversation.send("go?", tools=[count]).message.content == "1"
    shown: list[str] = []
    conversation = talk(lambda prompt: shown.append(prompt) or "fine", tools=[add])
    conversation.send("Hi", tools=[])
    conversation.send("Hi")
    assert ["tools" in prompt for prompt in shown] == [False, True]


def test_calls_of_declarations_without_a_function_are_returned() -> None:
    both = call("ask") + call("add", a=1, b=1)
    for wanted in (call("ask"), both):
        conversation = talk(lambda prompt, wanted=wanted: wanted, tools=[add, DECLARED])
        reply = conversation.send("go", parallel_tool_calls=True)
        assert reply.finish_reason == "tool_calls"
        assert roles(conversation) == ["user", "assistant"]
    assert talk(sum_up, tools=[add, DECLARED]).send("2 + 3?").message.content == "It is 5."


@pytest.mark.parametrize(("tools", "error"), [([3], TypeError), (add, TypeError), ([add, add], InvalidRequestError)])
def test_bad_tools_of_a_conversation_are_refused_at_once(tools: Any, error: type) -> None:
    with pytest.raises(error):
        talk("y", tools=tools)


def test_only_one_turn_at_a_time_and_no_turn_is_lost() -> None:
    with FakeEngine("x" * 200, step_s=0.002) as engine:
        conversation = Conversation(LLM(engine))
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(conversation.send, "one")
            while engine.stats().running == 0:
                time.sleep(0.001)
            with pytest.raises(ConcurrentUseError, match="fork"):
                conversation.send("two")
            first.result()
        assert roles(conversation) == ["user", "assistant"]
        assert conversation.send("three").message.content
        assert len(conversation) == 4


def test_only_one_task_at_a_time() -> None:
    async def main() -> None:
        async with AsyncLLM(FakeEngine("x" * 50, step_s=0.001)) as aio:
            conversation = AsyncConversation(aio)
            results = await asyncio.gather(*(conversation.send(said) for said in "abc"), return_exceptions=True)
            assert [isinstance(result, ConcurrentUseError) for result in results] == [False, True, True]
            assert len(conversation) == 2
            task = asyncio.create_task(conversation.send("d"))
            while aio.stats().running == 0:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await conversation.send("e")
            assert [message["content"] for message in conversation.messages[::2]] == ["a", "e"]

    asyncio.run(main())


@pytest.mark.parametrize("change", ["send", "undo", "system"])
def test_a_stream_does_not_overwrite_what_came_meanwhile(change: str) -> None:
    conversation = talk("Fine.")
    conversation.send("zero")
    turn = conversation.stream("one")
    next(turn)
    if change == "send":
        conversation.send("two")
    elif change == "undo":
        conversation.undo()
    else:
        conversation.system = "Be brief."
    before = conversation.messages
    with pytest.raises(ConcurrentUseError, match="was changed"):
        list(turn)
    assert conversation.messages == before
    assert conversation.send("three").message.content == "Fine."


def test_a_stream_shows_the_events_of_all_rounds() -> None:
    conversation = talk(lambda prompt: call("add", a=1, b=1) if "?" in last_said(prompt) else f"= {last_said(prompt)}")
    turn = conversation.stream("1 + 1?", tools=[add])
    events = list(turn)
    assert any(isinstance(event, ToolCallDelta) for event in events)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "= 2"
    assert turn.result().message.content == "= 2"


def test_a_turn_that_is_not_read_to_its_end_never_was() -> None:
    conversation = talk("A long answer.")
    for _ in conversation.stream("Hi"):
        break
    assert len(conversation) == 0
    with conversation.stream("Hi") as turn:
        next(turn)
    assert len(conversation) == 0
    with pytest.raises(InvalidRequestError, match="closed before"):
        turn.result()


def test_a_cancelled_turn_keeps_what_came() -> None:
    conversation = Conversation(LLM(FakeEngine("x" * 100_000, step_s=0.001)))
    turn = conversation.stream("Hi")
    next(turn)
    turn.cancel()
    assert turn.result().finish_reason == "cancelled"
    assert roles(conversation) == ["user", "assistant"]
    assert conversation.messages[1]["content"].startswith("x")


def test_an_error_leaves_the_conversation_as_it_was() -> None:
    conversation = talk("Hello!")
    conversation.send("Hi")
    before = conversation.messages
    for said in ({"role": "nobody", "content": "x"}, 3):
        with pytest.raises((InvalidRequestError, TypeError)):
            conversation.send(said)
    with pytest.raises(TypeError, match="did you mean"):
        conversation.send("Hi", temperatur=1)
    assert conversation.messages == before


def test_undo_takes_a_whole_turn_back() -> None:
    conversation = talk(lambda prompt: call("add", a=1, b=1) if "?" in last_said(prompt) else "done", system="S")
    conversation.send("first")
    conversation.send("1 + 1?", tools=[add])
    assert conversation.undo() == "1 + 1?"
    assert roles(conversation) == ["system", "user", "assistant"]
    assert conversation.undo() == "first"
    assert conversation.undo() is None
    assert roles(conversation) == ["system"]


def test_a_fork_goes_its_own_way_over_the_same_memory() -> None:
    conversation = talk("Yes.")
    conversation.send("A first question that both share")
    other = conversation.fork()
    n_cached = other.send("left").usage.cached_tokens
    conversation.send("right")
    assert n_cached > len("A first question that both share")
    assert [talk.messages[2]["content"] for talk in (conversation, other)] == ["right", "left"]


def test_a_saved_conversation_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    conversation = talk("Grüße 🎉", system="S")
    conversation.send("Hi")
    conversation.save(path)
    loaded = Conversation.load(LLM(FakeEngine("more")), path)
    assert loaded.messages == conversation.messages
    assert loaded.send("and?").message.content == "more"
    assert list(tmp_path.iterdir()) == [path]


def test_a_conversation_saved_with_the_kv_cache_is_not_computed_again(tmp_path: Path) -> None:
    conversation = talk("Yes.", system="S" * 50)
    conversation.send("Hi")
    conversation.save(tmp_path / "talk", kv=True)
    loaded = Conversation.load(LLM(FakeEngine("more")), tmp_path / "talk")
    reply = loaded.send("and?")
    assert reply.message.content == "more"
    assert reply.usage.cached_tokens > 50
    assert reply.usage.cached_tokens == conversation.send("and?").usage.cached_tokens


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is no conversation"),
        ("[]", "is no conversation of inllama"),
        ('{"format": "inllama.conversation", "version": 99, "messages": []}', "has version 99"),
        ('{"format": "inllama.conversation", "version": 1, "messages": [{"role": 1}]}', "is damaged"),
        ('{"format": "inllama.conversation", "version": 1}', "is damaged"),
        ("[" * 100_000, "is no conversation"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "talk.json"
    path.write_text(text)
    with pytest.raises(StateError, match=what):
        Conversation.load(LLM(FakeEngine("x")), path)


def small(reply: str, **options: Any) -> Conversation:
    return Conversation(LLM(FakeEngine(reply, n_ctx=200)), **options)


def test_a_conversation_that_does_not_fit_raises_and_stays_usable() -> None:
    conversation = small("y")
    conversation.send("x" * 80)
    with pytest.raises(ContextFullError):
        conversation.send("x" * 120)
    assert len(conversation) == 2
    assert conversation.send("short").message.content == "y"


def test_the_oldest_turns_are_dropped_where_that_is_asked_for() -> None:
    conversation = small("y", overflow="drop_oldest", system="S")
    for _ in range(6):
        conversation.send("x" * 60)
    assert roles(conversation)[0] == "system"
    assert len(conversation) < 9
    with pytest.raises(ContextFullError):
        conversation.send("x" * 300)


def test_a_function_decides_what_is_left_out() -> None:
    seen: list[int] = []

    def keep_last(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        seen.append(len(messages))
        return messages[-1:]

    conversation = small("y", overflow=keep_last)
    conversation.send("x" * 80)
    conversation.send("z" * 100)
    assert seen == [3]
    assert conversation.messages[0]["content"] == "z" * 100


@pytest.mark.parametrize("overflow", [lambda messages: messages, lambda messages: messages[-1:]])
def test_a_function_that_makes_no_room_is_not_asked_for_ever(overflow: Any) -> None:
    conversation = small("y", overflow=overflow)
    with pytest.raises(ContextFullError):
        conversation.send("x" * 300)
    assert len(conversation) == 0

    async def main() -> None:
        async with AsyncLLM(FakeEngine("y", n_ctx=200)) as aio:
            with pytest.raises(ContextFullError):
                await AsyncConversation(aio, overflow=overflow).send("x" * 300)

    asyncio.run(main())


@pytest.mark.parametrize("max_tokens", [None, 10])
def test_turns_are_dropped_before_the_answer_has_no_room(max_tokens: int | None) -> None:
    conversation = small("y" * 50, overflow="drop_oldest", max_tokens=max_tokens)
    for size in (20, 30, 40, 50):
        turn = conversation.stream("x" * size)
        reply = turn.result()
        assert reply.usage.prompt_tokens + min(max_tokens or 25, 25) <= 200
    assert len(conversation) < 8


def test_a_template_that_changes_history_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    conversation = talk("y")
    conversation.send("one")
    conversation._history.messages[0]["content"] = "another"
    with caplog.at_level(logging.WARNING, "inllama"):
        conversation.send("two")
        conversation._history.messages[0]["content"] = "a third"
        conversation.send("three")
    assert len([record for record in caplog.records if "changes earlier turns" in record.message]) == 1


def test_other_instructions_or_tools_are_not_blamed_on_the_template(caplog: pytest.LogCaptureFixture) -> None:
    conversation = talk("y", system="One.")
    with caplog.at_level(logging.WARNING, "inllama"):
        conversation.send("a")
        conversation.system = "Two."
        conversation.send("b")
        conversation.send("c", tools=[add])
        conversation.send("d")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_tool_rounds": -1}, InvalidRequestError),
        ({"max_tool_rounds": 1.5}, TypeError),
        ({"tools": [3]}, TypeError),
    ],
)
def test_bad_options_of_a_turn(options: dict[str, Any], error: type) -> None:
    with pytest.raises(error):
        talk("y").send("Hi", **options)


def test_a_declaration_without_a_function_cannot_be_run() -> None:
    declared = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    with pytest.raises(InvalidRequestError, match="without a function"):
        talk("y").send("Hi", tools=[declared])


def test_overflow_must_be_known() -> None:
    with pytest.raises(InvalidRequestError, match="drop_oldest"):
        talk("y", overflow="forget")


def test_asynchronous_conversations_do_the_same() -> None:
    def reply(prompt: str) -> str:
        said = last_said(prompt)
        return {"6 * 7?": call("multiply", a=6, b=7), "2 + 3?": call("add", a=2, b=3)}.get(said, f"It is {said}.")

    async def main() -> None:
        async with AsyncLLM(FakeEngine(reply)) as aio:
            conversation = AsyncConversation(aio, system="S")
            assert (await conversation.send("6 * 7?", tools=[multiply])).message.content == "It is 42."
            assert (await conversation.send("2 + 3?", tools=[add])).message.content == "It is 5."
            other = conversation.fork()
            events = [event async for event in other.stream("x")]
            assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "It is x."
            assert other.undo() == "x"
            assert other.messages == conversation.messages
            async for _ in other.stream("y"):
                break
            assert other.messages == conversation.messages

    asyncio.run(main())
