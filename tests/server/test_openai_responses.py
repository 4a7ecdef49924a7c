"""OpenAI's Responses: turns that go on from each other, their events, and how long they are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal

import openai
import pytest
from asking import ALONE, ANSWERED, CITY, MODEL, PET, QUESTION, RESULT, client_of, is_idle, wait_until
from pydantic import BaseModel

from inllama import DecodeError, Engine
from inllama.server.response_body import ResponseBody
from inllama.testing import FakeEngine, Reply

Ask = Callable[..., Any]
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city",
    "parameters": CITY,
    "strict": True,
}
TIME: Any = {**WEATHER, "name": "get_time", "description": "Get the time in a city"}
CAPITAL = "What is the capital of France?"
PARIS = "The capital of France is Paris."
REPLY = "<think>Let me see.</think>Good day!"


@pytest.fixture
def ask(client: openai.OpenAI) -> Ask:
    """Asks the demo model, which does not reason unless it is told to."""

    def asked(asked: Any = openai.omit, **options: Any) -> Any:
        given = {"temperature": 0, "max_output_tokens": 100, "reasoning": {"effort": "none"}, **options}
        return client.responses.create(model=MODEL, input=asked, **given)

    return asked


@pytest.fixture(scope="module")
def fake() -> Iterator[openai.OpenAI]:
    """A client of a model that reasons and answers always the same."""
    with FakeEngine(REPLY) as engine, client_of(engine) as made:
        yield made


@pytest.fixture(scope="module")
def mirror() -> Iterator[openai.OpenAI]:
    """A client of a model that answers with its prompt."""
    with FakeEngine(lambda prompt: prompt) as engine, client_of(engine) as made:
        yield made


def accumulated(events: list[Any]) -> dict[str, Any]:
    """Return by item the text that the deltas add up to."""
    texts: dict[str, Any] = {}
    for event in events:
        if event.type.endswith(".delta"):
            texts[event.item_id] = texts.get(event.item_id, "") + event.delta
    return texts


# Responses.


def test_a_response_has_the_shape_of_openai(ask: Ask) -> None:
    response = ask(CAPITAL, metadata={"a": "b"}, top_p=0.5, instructions="Be brief.")
    assert response.id.startswith("resp_")
    assert (response.object, response.model, response.status) == ("response", MODEL, "completed")
    assert (response.error, response.incomplete_details) == (None, None)
    assert (response.temperature, response.top_p, response.max_output_tokens) == (0, 0.5, 100)
    assert (response.metadata, response.instructions) == ({"a": "b"}, "Be brief.")
    (message,) = response.output
    assert (message.type, message.role, message.status) == ("message", "assistant", "completed")
    assert message.id.startswith("msg_")
    (part,) = message.content
    assert (part.type, part.text, part.annotations) == ("output_text", PARIS, [])
    assert response.output_text == PARIS
    usage = response.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.output_tokens_details.reasoning_tokens == 0


def test_input_may_be_items(ask: Ask) -> None:
    talk = [
        {"role": "user", "content": "My name is Anna."},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello, Anna!"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "What is my name?"}]},
    ]
    assert ask(talk).output_text == "Your name is Anna."


def test_items_and_instructions_reach_the_model(mirror: openai.OpenAI) -> None:
    talk: Any = [
        {"role": "developer", "content": "Be polite."},
        {"role": "user", "content": "Hello"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": "I will look."},
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": '{"city": "Oslo"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "clear"},
        {"role": "user", "content": "Thanks"},
    ]
    asked = mirror.responses.create(model="fake", input=talk, instructions="Be brief.").output_text
    lines = asked.split("|>\n<|")
    assert [line.removeprefix("<|").partition("\n")[0] for line in lines] == [
        "system",
        "user",
        "assistant",
        "tool",
        "user",
        "assistant",
    ]
    assert lines[0] == "<|system\nBe brief.\n\nBe polite."
    assert "I will look." in lines[2]
    assert '"name": "get_weather"' in lines[2]
    assert lines[3] == "tool\nclear"


def test_reasoning_is_an_item_before_the_answer(ask: Ask) -> None:
    reasoning, message = ask(CAPITAL, reasoning={"effort": "medium"}).output
    assert (reasoning.type, reasoning.status, reasoning.summary) == ("reasoning", "completed", [])
    assert reasoning.id.startswith("rs_")
    assert "France" in reasoning.content[0].text
    assert message.content[0].text == PARIS


def test_tokens_of_reasoning_are_counted(fake: openai.OpenAI) -> None:
    usage: Any = fake.responses.create(model="fake", input="Hello!").usage
    assert usage.output_tokens == len(REPLY)
    assert usage.output_tokens_details.reasoning_tokens == len("Let me see.")


def test_a_response_that_is_too_long_is_incomplete(ask: Ask) -> None:
    response = ask("Tell me a story.", max_output_tokens=5)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.output_tokens == 5
    assert response.output[0].status == "incomplete"
    last = list(ask("Tell me a story.", max_output_tokens=5, stream=True))[-1]
    assert (last.type, last.response.status) == ("response.incomplete", "incomplete")


def test_logprobs_are_those_of_each_token(ask: Ask) -> None:
    for options in ({"top_logprobs": 2}, {"include": ["message.output_text.logprobs"]}):
        (part,) = ask(CAPITAL, **options).output[0].content
        assert "".join(token.token for token in part.logprobs) == PARIS
        assert {len(token.top_logprobs) for token in part.logprobs} == {options.get("top_logprobs", 0)}


def test_samplers_of_inllama_are_taken(ask: Ask) -> None:
    assert ask("Hello!", extra_body={"regex": "7{3}"}).output_text == "777"
    assert ask(CAPITAL, extra_body={"stop": " of"}).output_text == "The capital"


# Structures.


def test_a_response_fits_its_schema(ask: Ask) -> None:
    kind = {"format": {"type": "json_schema", "name": "pet", "schema": PET, "strict": True}}
    response = ask("Hello!", text=kind)
    assert set(json.loads(response.output_text)) == {"kind", "is_good"}
    assert response.text.format.to_dict() == kind["format"]


def test_a_json_object_is_one(ask: Ask) -> None:
    assert ask("Hello!", text={"format": {"type": "json_object"}}).output_text.strip().startswith("{")


class Pet(BaseModel):
    kind: Literal["dog", "cat"]
    is_good: bool


def test_parse_gives_an_instance(client: openai.OpenAI) -> None:
    response = client.responses.parse(model=MODEL, input="Hello!", text_format=Pet, temperature=0)
    assert isinstance(response.output_parsed, Pet)
    assert response.output_parsed == Pet.model_validate_json(response.output_text)


def test_the_helper_of_the_client_gathers_a_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="Hello!", text_format=Pet, temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_response()
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == final.output_text
    assert final.output_parsed == Pet.model_validate_json(text)


# Events.


def test_events_come_in_order(fake: openai.OpenAI) -> None:
    events = list(fake.responses.create(model="fake", input="Hello!", stream=True))
    kinds = [event.type for event in events]
    assert [kind for index, kind in enumerate(kinds) if kind != kinds[index - 1]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        (CAPITAL, {}),
        (CAPITAL, {"reasoning": {"effort": "high"}}),
        (QUESTION, {"tools": [WEATHER, TIME], "reasoning": {"effort": "high"}}),
        (CAPITAL, {"top_logprobs": 2}),
        ("Tell me a story.", {"max_output_tokens": 9}),
        (CAPITAL, {"max_output_tokens": 9, "reasoning": {"effort": "high"}}),
    ],
    ids=["text", "reasoning", "call", "logprobs", "cut", "cut in its reasoning"],
)
def test_events_add_up_to_the_response(ask: Ask, asked: str, options: dict[str, Any]) -> None:
    whole = ask(asked, extra_body=ALONE, **options)
    events = list(ask(asked, extra_body=ALONE, stream=True, **options))
    final = events[-1].response
    assert final.output_text == whole.output_text
    assert [item.type for item in final.output] == [item.type for item in whole.output]
    assert (final.status, final.usage) == (whole.status, whole.usage)
    assert {event.response.id for event in events if hasattr(event, "response")} == {final.id}
    texts = accumulated(events)
    added = [event for event in events if event.type == "response.output_item.added"]
    done = [event for event in events if event.type == "response.output_item.done"]
    assert [event.output_index for event in added] == list(range(len(final.output)))
    assert [event.item.id for event in added] == [event.item.id for event in done] == [item.id for item in final.output]
    for item, ended in zip(final.output, done, strict=True):
        text = item.arguments if item.type == "function_call" else item.content[0].text
        assert texts[item.id] == text
        assert ended.item.to_dict() == item.to_dict()
    for event in events:
        if event.type.endswith((".delta", ".done")) and hasattr(event, "item_id"):
            assert event.item_id == final.output[event.output_index].id


@pytest.mark.parametrize(
    "reply", ["", '<tool_call>{"name": "get_weather", "arguments": {"ci</tool_call>'], ids=["none", "no call"]
)
def test_a_text_that_comes_at_the_end_has_events(reply: str) -> None:
    with FakeEngine(reply) as engine, client_of(engine) as client:
        events: list[Any] = list(client.responses.create(model="fake", input=QUESTION, tools=[WEATHER], stream=True))
    (item,) = events[-1].response.output
    assert item.content[0].text == reply
    assert [event.item.id for event in events if hasattr(event, "item")] == [item.id, item.id]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == reply


def test_a_text_behind_a_call_is_an_item_of_its_own() -> None:
    call = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>'
    with FakeEngine(f"First. {call} Then.") as engine, client_of(engine) as client:
        events: list[Any] = list(client.responses.create(model="fake", input=QUESTION, tools=[WEATHER], stream=True))
    added = [event.item for event in events if event.type == "response.output_item.added"]
    assert [item.type for item in added] == ["message", "function_call", "message"]
    assert len({item.id for item in added}) == 3
    texts = accumulated(events)
    assert [texts[item.id].strip() for item in added[::2]] == ["First.", "Then."]


def test_a_call_that_was_cut_is_not_complete() -> None:
    reply = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>'
    with FakeEngine(reply) as engine, client_of(engine) as client:
        options: Any = {"model": "fake", "input": QUESTION, "tools": [WEATHER], "max_output_tokens": len(reply) - 20}
        whole = client.responses.create(**options)
        events: list[Any] = list(client.responses.create(**options, stream=True))
    assert whole.status == events[-1].response.status == "incomplete"
    for item in (
        *whole.output,
        *events[-1].response.output,
        *(event.item for event in events if hasattr(event, "item")),
    ):
        assert item.status != "completed"


def test_a_response_that_fails_says_so_at_its_end() -> None:
    reply = Reply("It was a", error=DecodeError("the computation failed"), error_after=6)
    with FakeEngine(reply) as engine, client_of(engine) as client:
        events: Any = client.responses.create(model="fake", input="Hello!", stream=True)
        *earlier, last = events
        assert list(accumulated(earlier).values()) == ["It was"]
        assert (last.type, last.response.status) == ("response.failed", "failed")
        assert last.response.error.code == "server_error"
        assert "the computation failed" in last.response.error.message
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(last.response.id)


def test_leaving_a_stream_cancels_the_request() -> None:
    with FakeEngine("word " * 400, step_s=0.01) as engine, client_of(engine) as client:
        with client.responses.create(model="fake", input="Go on", stream=True) as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    break
        wait_until(lambda: is_idle(engine))
        assert engine.stats().cancelled == 1


# Turns.


def test_a_turn_goes_on_from_another(ask: Ask) -> None:
    first = ask("Hello! My name is Anna.", extra_body={"cache_salt": "turns"})
    second = ask("What is my name?", previous_response_id=first.id, extra_body={"cache_salt": "turns"})
    assert second.output_text == "Your name is Anna."
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.total_tokens
    assert second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens - 4
    third = ask("What is my name?", previous_response_id=second.id)
    assert third.usage.input_tokens > second.usage.total_tokens


def test_two_turns_may_go_on_from_the_same(ask: Ask) -> None:
    first = ask("Hello! My name is Anna.")
    answers = [ask(text, previous_response_id=first.id).output_text for text in ("What is my name?", CAPITAL)]
    assert answers == ["Your name is Anna.", PARIS]


def test_a_turn_may_go_on_from_one_that_was_cut(ask: Ask) -> None:
    for effort in ("none", "high"):
        first = ask(CAPITAL, max_output_tokens=3, reasoning={"effort": effort})
        assert first.status == "incomplete"
        assert ask(CAPITAL, previous_response_id=first.id).output_text == PARIS


def test_a_streamed_response_is_kept_too(ask: Ask, client: openai.OpenAI) -> None:
    final = list(ask("Hello! My name is Anna.", stream=True))[-1].response
    assert client.responses.retrieve(final.id).to_dict() == final.to_dict()
    assert ask("What is my name?", previous_response_id=final.id).output_text == "Your name is Anna."


def test_instructions_are_for_one_response(mirror: openai.OpenAI) -> None:
    first = mirror.responses.create(model="fake", input="one", instructions="Be brief.")
    second = mirror.responses.create(model="fake", input="two", previous_response_id=first.id)
    assert first.output_text.startswith("<|system\nBe brief.|>")
    assert second.output_text.startswith("<|user\none|>")
    assert second.output_text.endswith("<|user\ntwo|>\n<|assistant\n")


def test_a_function_is_called_and_its_result_answered(ask: Ask) -> None:
    first = ask(QUESTION, tools=[WEATHER, TIME])
    (call,) = first.output
    assert (call.type, call.name, call.status) == ("function_call", "get_weather", "completed")
    assert json.loads(call.arguments) == {"city": "Paris"}
    assert call.id.startswith("fc_")
    assert [tool.to_dict() for tool in first.tools] == [WEATHER, TIME]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}
    second = ask([result], previous_response_id=first.id, tools=[WEATHER, TIME])
    assert second.output_text == ANSWERED
    alone = ask([{"role": "user", "content": QUESTION}, call.to_dict(), result], tools=[WEATHER, TIME])
    assert alone.output_text == ANSWERED


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("none", set()),
        ({"type": "function", "name": "get_time"}, {"get_time"}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_time"}]},
            {"get_time"},
        ),
    ],
    ids=["none", "named", "allowed"],
)
def test_the_choice_of_tools_is_kept(ask: Ask, choice: Any, names: set[str]) -> None:
    response = ask(QUESTION, tools=[WEATHER, TIME], tool_choice=choice)
    assert {item.name for item in response.output if item.type == "function_call"} == names


def test_tools_of_a_service_are_named_as_ignored(client: openai.OpenAI) -> None:
    raw = client.responses.with_raw_response.create(
        model=MODEL, input=QUESTION, tools=[{"type": "web_search"}, WEATHER], max_output_tokens=4
    )
    assert raw.headers["x-inllama-ignored"] == "tools[web_search]"


# What is kept.


def test_a_response_can_be_had_again_and_deleted(ask: Ask, client: openai.OpenAI) -> None:
    response = ask("Hello!")
    assert client.responses.retrieve(response.id).to_dict() == response.to_dict()
    client.responses.delete(response.id)
    for again in (
        lambda: client.responses.retrieve(response.id),
        lambda: client.responses.delete(response.id),
        lambda: client.responses.input_items.list(response.id),
        lambda: ask("Hello!", previous_response_id=response.id),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            again()
        assert caught.value.code == "response_not_found"


def test_the_items_of_the_input_can_be_had_again(ask: Ask, client: openai.OpenAI) -> None:
    first = ask("Hello!")
    second = ask([{"role": "user", "content": "How are you?"}], previous_response_id=first.id)
    (item,) = client.responses.input_items.list(first.id)
    assert (item.type, item.role, item.content) == ("message", "user", "Hello!")  # type: ignore[union-attr]
    (item,) = client.responses.input_items.list(second.id)
    assert (item.role, item.content) == ("user", "How are you?")  # type: ignore[union-attr]


def test_a_response_need_not_be_kept(ask: Ask, client: openai.OpenAI) -> None:
    response = ask("Hello!", store=False)
    assert response.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_an_unknown_response_is_not_found(ask: Ask, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask("Hello!", previous_response_id="resp_nothing")
    assert (caught.value.code, caught.value.param) == ("response_not_found", "previous_response_id")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_nothing")


def test_only_the_youngest_are_kept() -> None:
    with FakeEngine("Hi") as engine, client_of(engine, max_stored=2) as client:
        names = [client.responses.create(model="fake", input=f"{index}").id for index in range(4)]
        for name in names[:2]:
            with pytest.raises(openai.NotFoundError):
                client.responses.retrieve(name)
        assert [client.responses.retrieve(name).id for name in names[2:]] == names[2:]


def test_what_is_kept_takes_only_so_much_memory() -> None:
    with FakeEngine("Hi") as engine, client_of(engine, max_stored_bytes=10_000) as client:
        names = [client.responses.create(model="fake", input="word " * 500).id for _ in range(5)]
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(names[0])
        assert client.responses.retrieve(names[-1]).id == names[-1]
        large = client.responses.create(model="fake", input="word " * 5000)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(large.id)


def test_nobody_sees_the_responses_of_another_key() -> None:
    keys = ("the-first-key", "the-second-key")
    with FakeEngine("Hi") as engine, client_of(engine, api_key=keys[0], api_keys=keys) as one:
        other = one.with_options(api_key=keys[1])
        mine = one.responses.create(model="fake", input="secret")
        for take in (
            lambda: other.responses.retrieve(mine.id),
            lambda: other.responses.delete(mine.id),
            lambda: other.responses.input_items.list(mine.id),
            lambda: other.responses.create(model="fake", input="Go on", previous_response_id=mine.id),
        ):
            with pytest.raises(openai.NotFoundError) as caught:
                take()
            assert caught.value.code == "response_not_found"
        assert one.responses.retrieve(mine.id).id == mine.id


# What is refused.


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"truncation": "auto"}, "truncation"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text"),
        ({"text": {"format": {"type": "yaml"}}}, "text"),
        ({"max_output_tokens": 0}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"reasoning": {"effort": "extreme"}}, "reasoning"),
    ],
    ids=str,
)
def test_options_that_are_not_possible_are_refused(fake: openai.OpenAI, options: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        fake.responses.create(model="fake", input="Hello!", extra_body=options)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "items",
    [
        [{"type": "item_reference", "id": "msg_1"}],
        [{"type": "computer_call"}],
        [{"type": "message", "role": "user", "content": 3}],
        [{"type": "message", "role": "user", "content": ["Hi"]}],
        [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}],
        [{"role": "wizard", "content": "Hi"}],
        [{"type": "function_call", "call_id": "c1"}],
        [{"type": "function_call_output", "call_id": "c1", "output": 3}],
        [{}],
    ],
    ids=str,
)
def test_items_that_cannot_be_read_are_refused(client: openai.OpenAI, items: Any) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model=MODEL, input=items, stream=stream)
        assert caught.value.message


def test_fields_of_a_service_ask_for_nothing(fake: openai.OpenAI) -> None:
    raw = fake.responses.with_raw_response.create(
        model="fake",
        input="Hello!",
        background=False,
        truncation="disabled",
        service_tier="auto",
        prompt_cache_key="k",
        user="ada",
        include=["reasoning.encrypted_content"],
        extra_body={"tempurature": 1},
    )
    assert raw.headers["x-inllama-ignored"] == "tempurature"
    assert raw.parse().output_text == "Good day!"


def test_every_field_of_openai_is_known() -> None:
    from openai.types.responses.response_create_params import ResponseCreateParamsBase as Params

    known = ResponseBody.HINTS | set(ResponseBody.UNSUPPORTED) | set(ResponseBody.model_fields)
    assert set(Params.__annotations__) <= known
    assert not set(ResponseBody.UNSUPPORTED) & (ResponseBody.HINTS | set(ResponseBody.model_fields))


def test_an_engine_is_asked_nothing_by_a_probe(demo: Engine, client: openai.OpenAI) -> None:
    n_tokens = demo.stats().completion_tokens
    response = client.responses.create(model=MODEL, input="Hello!", extra_body={"generate": False})
    assert (response.status, response.output, response.output_text) == ("completed", [], "")
    kinds = [
        event.type
        for event in client.responses.create(model=MODEL, input="Hello!", stream=True, extra_body={"generate": False})
    ]
    assert kinds == ["response.created", "response.in_progress", "response.completed"]
    assert demo.stats().completion_tokens == n_tokens
