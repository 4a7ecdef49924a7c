"""Anthropic's Messages by the official client."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import pytest
from asking import ALONE, ANSWERED, CITY, MODEL, QUESTION, RESULT, is_idle, user, wait_until
from serving import served

from inllama import DecodeError, Engine
from inllama.server.message_body import CountBody, MessageBody
from inllama.testing import FakeEngine, Reply

Ask = Callable[..., Any]
WEATHER: Any = {"name": "get_weather", "description": "Get the weather in a city", "input_schema": CITY}
TIME: Any = {"name": "get_time", "description": "Get the time in a city", "input_schema": CITY}
TOOLS = [WEATHER, TIME]
OFF = {"type": "disabled"}
CAPITAL = "What is the capital of France?"
PARIS = "The capital of France is Paris."


@contextmanager
def claude_of(engine: Engine, *, api_key: str = "none", **options: Any) -> Generator[anthropic.Anthropic, None, None]:
    """Serve an engine for one client of Anthropic's."""
    with (
        served(engine, **options) as url,
        anthropic.Anthropic(base_url=url, api_key=api_key, max_retries=0) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def claude(demo_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=demo_url, api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def mirror() -> Iterator[anthropic.Anthropic]:
    """A client of a model that answers with its prompt."""
    with FakeEngine(lambda prompt: prompt) as engine, claude_of(engine) as made:
        yield made


@pytest.fixture
def ask(claude: anthropic.Anthropic) -> Ask:
    """Asks the demo model, which does not reason unless it is told to."""

    def asked(asked: Any, **options: Any) -> Any:
        messages = user(asked) if isinstance(asked, str) else asked
        given = {"max_tokens": 100, "temperature": 0, "thinking": OFF, **options}
        return claude.messages.create(model=MODEL, messages=messages, **with_temperature(given))

    return asked


def with_temperature(options: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's client has no field for it any more."""
    names = ("temperature", "top_k", "top_p")
    extra = {name: options.pop(name) for name in names if name in options}
    return {**options, "extra_body": {**extra, **options.get("extra_body", {})}}


# Messages.


def test_a_message_has_the_shape_of_anthropic(ask: Ask) -> None:
    message = ask(CAPITAL)
    assert message.id.startswith("msg_")
    assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": PARIS}]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.usage.output_tokens == 10


def test_instructions_may_be_a_text_or_blocks(mirror: anthropic.Anthropic) -> None:
    cached: Any = {"type": "text", "text": "Be polite.", "cache_control": {"type": "ephemeral"}}
    blocks: Any = [{"type": "text", "text": "Be brief."}, cached]
    for system in ("Be brief.\n\nBe polite.", blocks):
        asked: Any = mirror.messages.create(model="fake", messages=user("Hello"), max_tokens=100, system=system)
        assert asked.content[0].text.startswith("<|system\nBe brief.\n\nBe polite.|>\n<|user\nHello|>")


def test_what_changes_with_every_request_of_claude_code_is_left_out(mirror: anthropic.Anthropic) -> None:
    blocks: Any = [{"type": "text", "text": text} for text in ("x-anthropic-billing-header: cch=1;", "Be brief.")]
    asked: Any = mirror.messages.create(model="fake", messages=user("Hello"), max_tokens=100, system=blocks)
    assert asked.content[0].text.startswith("<|system\nBe brief.|>\n")


def test_blocks_reach_the_model(mirror: anthropic.Anthropic) -> None:
    talk: Any = [
        {"role": "user", "content": [{"type": "text", "text": "How is "}, {"type": "text", "text": "Oslo?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": ""},
                {"type": "text", "text": "I will look."},
                {"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Oslo"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "clear"}]},
                {"type": "tool_result", "tool_use_id": "c2", "content": "gone", "is_error": True},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]
    asked: Any = mirror.messages.create(model="fake", messages=talk, max_tokens=500)
    lines = asked.content[0].text.split("|>\n<|")
    assert lines[0] == "<|user\nHow is Oslo?"
    assert lines[1].startswith("assistant\nI will look.<tool_call>")
    assert json.loads(json.loads(lines[1].partition("<tool_call>")[2].removesuffix("</tool_call>"))["arguments"]) == {
        "city": "Oslo"
    }
    assert lines[2:5] == ["tool\nclear", "tool\nError: gone", "user\nAnd now?"]


def test_a_message_that_is_too_long_is_cut(ask: Ask) -> None:
    message = ask("Tell me a story.", max_tokens=5)
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 5)


def test_a_stop_sequence_is_named(ask: Ask) -> None:
    message = ask(CAPITAL, stop_sequences=["nowhere", " of"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", " of")
    assert message.content[0].text == "The capital"
    for options in ({"stop_sequences": ["nowhere"]}, {"extra_body": {"stop": [" of"]}}):
        other = ask(CAPITAL, **options)
        assert (other.stop_reason, other.stop_sequence) == ("end_turn", None)


def test_samplers_are_taken(ask: Ask) -> None:
    assert ask(CAPITAL, temperature=1.5, top_k=1).content[0].text == PARIS
    assert ask("Hello!", extra_body={"regex": "7{3}"}).content[0].text == "777"


def test_earlier_turns_are_seen(ask: Ask) -> None:
    talk = [*user("My name is Anna."), {"role": "assistant", "content": "Hello, Anna!"}, *user("What is my name?")]
    assert ask(talk).content[0].text == "Your name is Anna."


def test_an_answer_fits_its_schema(ask: Ask) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    message = ask("Hello!", output_config={"format": {"type": "json_schema", "schema": schema}})
    assert isinstance(json.loads(message.content[0].text)["ok"], bool)


# Thinking.


def test_thinking_is_a_block_before_the_text(ask: Ask) -> None:
    for thinking in ({"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}):
        thought, text = ask(CAPITAL, thinking=thinking).content
        assert (thought.type, thought.signature) == ("thinking", "")
        assert "France" in thought.thinking
        assert (text.type, text.text) == ("text", PARIS)


def test_thinking_has_a_budget(ask: Ask, demo: Engine) -> None:
    thought, text = ask(CAPITAL, thinking={"type": "enabled", "budget_tokens": 3}).content
    assert 0 < len(demo.encode(thought.thinking)) <= 4
    assert text.text


def test_the_thoughts_may_come_back(ask: Ask) -> None:
    first = ask("Hello!", thinking={"type": "enabled", "budget_tokens": 1024})
    assert first.content[0].type == "thinking"
    talk = [*user("Hello!"), {"role": "assistant", "content": first.content}, *user(CAPITAL)]
    assert ask(talk).content[0].text == PARIS


def test_the_effort_can_switch_it_off(ask: Ask) -> None:
    kinds = {
        effort: [
            block.type for block in ask(CAPITAL, thinking=anthropic.omit, output_config={"effort": effort}).content
        ]
        for effort in ("none", "high")
    }
    assert kinds == {"none": ["text"], "high": ["thinking", "text"]}


# Streams.


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        (CAPITAL, {}),
        (CAPITAL, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (QUESTION, {"tools": TOOLS, "thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("Tell me a story.", {"max_tokens": 9}),
        (CAPITAL, {"stop_sequences": [" of"]}),
    ],
    ids=["text", "thinking", "call", "cut", "stopped"],
)
def test_events_add_up_to_the_message(ask: Ask, claude: anthropic.Anthropic, asked: str, options: Any) -> None:
    whole = ask(asked, extra_body=ALONE, **options)
    given = with_temperature({"max_tokens": 100, "temperature": 0, "thinking": OFF, "extra_body": ALONE, **options})
    with claude.messages.stream(model=MODEL, messages=user(asked), **given) as stream:
        for _ in stream:
            pass
        final: Any = stream.get_final_message()

    def plain(message: Any) -> list[dict[str, Any]]:
        return [{**block.to_dict(), "id": None} for block in message.content]

    assert plain(final) == plain(whole)
    assert (final.stop_reason, final.stop_sequence) == (whole.stop_reason, whole.stop_sequence)
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens
    assert final.usage.cache_read_input_tokens == whole.usage.cache_read_input_tokens


def test_the_text_can_be_read_as_it_comes(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(
        model=MODEL, messages=user(CAPITAL), max_tokens=100, thinking={"type": "disabled"}
    ) as stream:
        pieces = list(stream.text_stream)
        assert "".join(pieces) == stream.get_final_text()
    assert len(pieces) > 5


def test_events_come_in_order() -> None:
    calls = "".join(
        f'<tool_call>{{"name": "get_time", "arguments": {{"city": "{city}"}}}}</tool_call>' for city in "AB"
    )
    with FakeEngine(f"<think>Let me see.</think>I look.{calls}") as engine, claude_of(engine) as client:
        events: list[Any] = list(
            client.messages.create(model="fake", messages=user("x"), max_tokens=500, tools=TOOLS, stream=True)
        )
    kinds = [event.type for event in events]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert [kind for index, kind in enumerate(kinds) if kind != kinds[index - 1]] == [
        "message_start",
        *block * 4,
        "message_delta",
        "message_stop",
    ]
    starts = [event for event in events if event.type == "content_block_start"]
    assert [event.index for event in starts] == [0, 1, 2, 3]
    assert [event.content_block.type for event in starts] == ["thinking", "text", "tool_use", "tool_use"]
    assert starts[2].content_block.id != starts[3].content_block.id
    for start in starts:
        deltas = [event.delta.to_dict() for event in events if event.type == block[1] and event.index == start.index]
        text = "".join(value for delta in deltas for name, value in delta.items() if name != "type")
        assert text == ["Let me see.", "I look.", '{"city": "A"}', '{"city": "B"}'][start.index]
    assert events[0].message.content == []
    assert events[0].message.usage.output_tokens == 0
    assert events[-2].delta.stop_reason == "tool_use"


def test_a_message_of_nothing_has_a_block() -> None:
    with FakeEngine("") as engine, claude_of(engine) as client:
        whole = client.messages.create(model="fake", messages=user("x"), max_tokens=5)
        with client.messages.stream(model="fake", messages=user("x"), max_tokens=5) as stream:
            final = stream.get_final_message()
    for message in (whole, final):
        assert [block.to_dict() for block in message.content] == [{"type": "text", "text": ""}]


def test_leaving_a_stream_cancels_the_request() -> None:
    with FakeEngine("word " * 400, step_s=0.01) as engine, claude_of(engine) as client:
        with client.messages.stream(model="fake", messages=user("Go on"), max_tokens=1000) as stream:
            assert next(iter(stream.text_stream)).startswith("w")
        wait_until(lambda: is_idle(engine))
        assert engine.stats().cancelled == 1


# Tools.


def test_a_tool_is_used_and_its_result_answered(ask: Ask) -> None:
    first = ask(QUESTION, tools=TOOLS)
    assert first.stop_reason == "tool_use"
    (use,) = first.content
    assert (use.type, use.name, use.input) == ("tool_use", "get_weather", {"city": "Paris"})
    result = {"type": "tool_result", "tool_use_id": use.id, "content": RESULT}
    talk = [*user(QUESTION), {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = ask(talk, tools=TOOLS)
    assert (second.stop_reason, second.content[0].text) == ("end_turn", ANSWERED)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"type": "auto"}, {"get_weather"}),
        ({"type": "any"}, {"get_weather"}),
        ({"type": "tool", "name": "get_time"}, {"get_time"}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"get_weather"}),
        ({"type": "none"}, set()),
    ],
    ids=str,
)
def test_the_choice_of_tools_is_kept(ask: Ask, choice: Any, names: set[str]) -> None:
    message = ask(QUESTION, tools=TOOLS, tool_choice=choice)
    assert {block.name for block in message.content if block.type == "tool_use"} == names
    assert message.stop_reason == ("tool_use" if names else "end_turn")


def test_tools_of_a_service_are_named_as_ignored(claude: anthropic.Anthropic) -> None:
    search: Any = {"type": "web_search_20250305", "name": "web_search"}
    raw = claude.messages.with_raw_response.create(
        model=MODEL, messages=user(QUESTION), max_tokens=4, tools=[search, WEATHER]
    )
    assert raw.headers["x-inllama-ignored"] == "tools[web_search_20250305]"


# Tokens.


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"system": "Be brief."},
        {"tools": TOOLS},
        {"system": [{"type": "text", "text": "Be brief."}], "tools": TOOLS, "tool_choice": {"type": "any"}},
        {"thinking": OFF},
        {"output_config": {"format": {"type": "json_schema", "schema": CITY}}},
    ],
    ids=["plain", "system", "tools", "all", "thinking", "structure"],
)
def test_counted_tokens_are_those_of_the_usage(claude: anthropic.Anthropic, options: dict[str, Any]) -> None:
    counted = claude.messages.count_tokens(model=MODEL, messages=user(QUESTION), **options)
    usage = claude.messages.create(model=MODEL, messages=user(QUESTION), max_tokens=4, **options).usage
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_instructions_and_tools_are_counted(claude: anthropic.Anthropic) -> None:
    def count(**options: Any) -> int:
        return claude.messages.count_tokens(model=MODEL, messages=user(QUESTION), **options).input_tokens

    assert count() < count(system="Be brief.") < count(system="Be brief.", tools=[WEATHER])
    assert count(tools=[WEATHER]) < count(tools=TOOLS)


def test_counting_computes_nothing(claude: anthropic.Anthropic, demo: Engine) -> None:
    n_steps = demo.stats().steps
    claude.messages.count_tokens(model=MODEL, messages=user(QUESTION))
    assert demo.stats().steps == n_steps


def test_the_second_time_the_prompt_is_cached(ask: Ask) -> None:
    first, second = (ask(QUESTION, extra_body={"cache_salt": "anthropic"}).usage for _ in range(2))
    assert first.cache_read_input_tokens == 0
    assert (second.input_tokens, second.cache_read_input_tokens) == (1, first.input_tokens - 1)


# Errors.


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "some"}}, "tool_choice"),
        ({"stop_sequences": [""]}, "stop"),
        ({"thinking": {"type": "sometimes"}}, "thinking"),
        ({"extra_body": {"mcp_servers": [{"type": "url"}]}}, "mcp_servers"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"output_config": {"format": {"type": "yaml"}}}, "output_config"),
        ({"system": [{"type": "image"}]}, "system"),
    ],
    ids=str,
)
def test_options_that_are_not_possible_are_refused(ask: Ask, options: dict[str, Any], text: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=text) as caught:
        ask("Hello!", **options)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["request_id"] == caught.value.response.headers["x-request-id"]


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}],
        [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}],
        [{"type": "mystery"}],
        ["Hello"],
        [{"type": "text"}],
        3,
        [{"type": "tool_result", "tool_use_id": "c1", "content": 3}],
        [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "image"}]}],
    ],
    ids=str,
)
def test_blocks_that_cannot_be_read_are_refused(claude: anthropic.Anthropic, content: Any) -> None:
    options: Any = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
    for ask in (
        lambda: claude.messages.create(max_tokens=5, **options),
        lambda: claude.messages.create(max_tokens=5, stream=True, **options),
        lambda: claude.messages.count_tokens(**options),
    ):
        with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]"):
            ask()


def test_another_model_is_not_found(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match=MODEL) as caught:
        claude.messages.create(model="claude-opus", messages=user("Hello!"), max_tokens=5)
    body: Any = caught.value.body
    assert body["error"]["type"] == "not_found_error"


def test_a_key_is_needed_where_there_are_keys() -> None:
    with FakeEngine("Hi") as engine, claude_of(engine, api_key="right-key", api_keys=("right-key",)) as client:
        options: Any = {"model": "fake", "messages": user("Hello!"), "max_tokens": 5}
        assert client.messages.create(**options).content[0].text == "Hi"
        bearer = anthropic.Anthropic(base_url=client.base_url, auth_token="right-key", api_key=None, max_retries=0)
        with bearer:
            assert bearer.messages.create(**options).content[0].text == "Hi"
        stranger: Any = client.with_options(api_key="wrong-key").messages
        with pytest.raises(anthropic.AuthenticationError) as caught:
            stranger.create(**options)
    body: Any = caught.value.body
    assert body["error"]["type"] == "authentication_error"
    assert "wrong-key" not in str(body)


def test_a_full_queue_says_when_to_come_again() -> None:
    with (
        FakeEngine("word " * 400, step_s=0.01, max_running=1, max_queue=0) as engine,
        claude_of(engine) as client,
        client.messages.stream(model="fake", messages=user("Go on"), max_tokens=1000) as running,
    ):
        next(iter(running.text_stream))
        with pytest.raises(anthropic.RateLimitError) as caught:
            client.messages.create(model="fake", messages=user("Go on"), max_tokens=5)
    body: Any = caught.value.body
    assert body["error"]["type"] == "rate_limit_error"
    assert caught.value.response.headers["retry-after"] == "1"


def test_an_error_after_the_first_events_is_raised_in_the_client() -> None:
    reply = Reply("It was a", error=DecodeError("the computation failed"), error_after=6)
    with FakeEngine(reply) as engine, claude_of(engine) as client:
        came: list[Any] = []
        stream = client.messages.create(model="fake", messages=user("Hello!"), max_tokens=50, stream=True)
        with pytest.raises(anthropic.APIError, match="the computation failed"):
            came.extend(stream)
        assert "".join(event.delta.text for event in came if event.type == "content_block_delta") == "It was"


# Fields.


def test_an_unknown_field_is_named_in_a_header(claude: anthropic.Anthropic) -> None:
    raw = claude.messages.with_raw_response.create(
        model=MODEL,
        messages=user("Hello!"),
        max_tokens=4,
        metadata={"user_id": "ada"},
        service_tier="auto",
        extra_body={"emoji": True},
        extra_headers={"anthropic-beta": "something-2025-01-01"},
    )
    assert raw.headers["x-inllama-ignored"] == "emoji"


@pytest.mark.parametrize(("name", "body"), [("message", MessageBody), ("message_count_tokens", CountBody)])
def test_every_field_of_anthropic_is_known(name: str, body: Any) -> None:
    from anthropic.types import message_count_tokens_params, message_create_params

    params: Any = {
        "message": message_create_params.MessageCreateParamsBase,
        "message_count_tokens": message_count_tokens_params.MessageCountTokensParams,
    }[name]
    assert set(params.__annotations__) <= body.HINTS | set(body.UNSUPPORTED) | set(body.model_fields)
    assert not set(body.UNSUPPORTED) & (body.HINTS | set(body.model_fields))
