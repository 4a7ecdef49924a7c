"""Chats of the official client: answers, options, structures, tools, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import openai
import pytest
from asking import ALONE, ANSWERED, MODEL, PET, QUESTION, RESULT, TIME, TOOLS, WEATHER, client_of, user
from pydantic import BaseModel

from inllama import Engine
from inllama.server.chat_body import ChatBody
from inllama.testing import FakeEngine

Ask = Callable[..., Any]


@pytest.fixture
def ask(client: openai.OpenAI) -> Ask:
    """Asks the demo model, which does not reason unless it is told to."""

    def asked(content: Any, **options: Any) -> Any:
        messages = content if isinstance(content, list) and "role" in content[0] else user(content)
        given = {"temperature": 0, "max_tokens": 100, "reasoning_effort": "none", **options}
        return client.chat.completions.create(model=MODEL, messages=messages, **given)

    return asked


@pytest.fixture(scope="module")
def mirror() -> Iterator[openai.OpenAI]:
    """A client of a model that answers with its prompt."""
    with FakeEngine(lambda prompt: prompt) as engine, client_of(engine) as made:
        yield made


@pytest.fixture(scope="module")
def fake() -> Iterator[openai.OpenAI]:
    """A client of a model that reasons and answers always the same."""
    with FakeEngine("<think>Let me see.</think>Good day!") as engine, client_of(engine) as made:
        yield made


# Answers.


def test_an_answer_has_the_shape_of_openai(ask: Ask) -> None:
    answer = ask("What is the capital of France?")
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == MODEL
    assert answer.created > 1_700_000_000
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert (choice.message.role, choice.message.content) == ("assistant", "The capital of France is Paris.")
    assert choice.message.tool_calls is None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_model_may_be_left_out(client: openai.OpenAI) -> None:
    body = {"messages": user("Hello!"), "max_tokens": 4}
    answer: Any = client.post("/chat/completions", cast_to=object, body=body)
    assert answer["model"] == MODEL


def test_the_second_time_the_prompt_is_cached(ask: Ask) -> None:
    salted = {"extra_body": {"cache_salt": "the second time"}}
    first, second = ask(QUESTION, **salted), ask(QUESTION, **salted)
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert second.usage.prompt_tokens_details.cached_tokens == second.usage.prompt_tokens - 1


def test_completion_tokens_are_those_of_all_answers(ask: Ask) -> None:
    one = ask("Tell me a story.", max_tokens=7)
    three = ask("Tell me a story.", max_tokens=7, n=3)
    assert (one.usage.completion_tokens, three.usage.completion_tokens) == (7, 21)
    assert one.usage.prompt_tokens == three.usage.prompt_tokens


def test_n_answers_come_in_order(ask: Ask) -> None:
    answer = ask("Tell me a story.", n=3, temperature=1.5, seed=3, max_tokens=20)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) == 3


def test_the_same_seed_gives_the_same_answer(ask: Ask) -> None:
    def tell(seed: int) -> str:
        options = {"temperature": 1.5, "max_tokens": 20, "extra_body": ALONE}
        text: str = ask("Tell me a story.", seed=seed, **options).choices[0].message.content
        return text

    assert tell(1) == tell(1) != tell(2)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_that_is_too_long_is_cut(ask: Ask, name: str) -> None:
    answer = ask("Tell me a story.", **{"max_tokens": None, name: 5})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5


@pytest.mark.parametrize("stop", [" of", ["nowhere", " of"]])
def test_a_stop_text_ends_an_answer_and_is_not_part_of_it(ask: Ask, stop: Any) -> None:
    (choice,) = ask("What is the capital of France?", stop=stop).choices
    assert (choice.message.content, choice.finish_reason) == ("The capital", "stop")


def test_roles_reach_the_model(mirror: openai.OpenAI) -> None:
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello", "name": "ada"},
        {"role": "assistant", "content": "Hi there."},
        {"role": "user", "content": [{"type": "text", "text": "How "}, {"type": "text", "text": "are you?"}]},
    ]
    asked = mirror.chat.completions.create(model="fake", messages=messages).choices[0].message.content
    assert asked == (
        "<|system\nBe brief.|>\n<|user\nHello|>\n<|assistant\nHi there.|>\n<|user\nHow are you?|>\n<|assistant\n"
    )


def test_a_developer_is_what_a_system_is(ask: Ask) -> None:
    prompts = [
        ask([{"role": role, "content": "You are Bob, a helpful assistant."}, *user("Hello!")]).usage.prompt_tokens
        for role in ("system", "developer")
    ]
    assert prompts[0] == prompts[1] > ask("Hello!").usage.prompt_tokens


def test_parts_of_text_are_lines(ask: Ask) -> None:
    parts = [{"type": "text", "text": "Hello!"}, {"type": "text", "text": "What is the capital of France?"}]
    for whole, split in ((parts[1]["text"], parts[1:]), ("Hello!\nWhat is the capital of France?", parts)):
        one, other = ask(whole), ask([{"role": "user", "content": split}])
        assert one.choices[0].message.content == other.choices[0].message.content
        assert one.usage.prompt_tokens == other.usage.prompt_tokens


def test_earlier_turns_are_seen(ask: Ask) -> None:
    talk = [*user("My name is Anna."), {"role": "assistant", "content": "Hello, Anna!"}, *user("What is my name?")]
    assert ask(talk).choices[0].message.content == "Your name is Anna."


# Reasoning.


def test_reasoning_is_apart_from_content(ask: Ask) -> None:
    message = ask("What is the capital of France?", reasoning_effort="medium").choices[0].message
    assert message.content == "The capital of France is Paris."
    assert "France" in message.reasoning_content
    assert "think>" not in message.content + message.reasoning_content


def test_reasoning_can_be_switched_off(ask: Ask) -> None:
    for options in (
        {},
        {"reasoning_effort": openai.omit, "extra_body": {"reasoning": False}},
        {"reasoning_effort": openai.omit, "extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
    ):
        message = ask("What is the capital of France?", **options).choices[0].message
        assert message.content == "The capital of France is Paris."
        assert "reasoning_content" not in message.to_dict()


def test_reasoning_has_a_budget(ask: Ask, demo: Engine) -> None:
    options = {"reasoning_effort": "high", "extra_body": {"reasoning_budget": 3}}
    message = ask("What is the capital of France?", **options).choices[0].message
    assert 0 < len(demo.encode(message.reasoning_content)) <= 4
    assert message.content


def test_reasoning_of_earlier_answers_may_come_back(ask: Ask) -> None:
    first = ask("Hello!", reasoning_effort="low").choices[0].message
    assert first.reasoning_content
    talk = [*user("Hello!"), first.to_dict(), *user("What is the capital of France?")]
    assert ask(talk).choices[0].message.content == "The capital of France is Paris."


# Which tokens are chosen.


def test_a_bias_bans_and_forces_tokens(ask: Ask, demo: Engine) -> None:
    hello, dog = (demo.encode(text, add_special=False)[0] for text in ("Hello", " dog"))
    assert ask("Hello!").choices[0].message.content.startswith("Hello")
    assert not ask("Hello!", logit_bias={str(hello): -100}).choices[0].message.content.startswith("Hello")
    assert ask("Hello!", logit_bias={str(dog): 100}, max_tokens=3).choices[0].message.content.split() == ["dog"] * 3


def test_logprobs_are_those_of_each_token(ask: Ask) -> None:
    answer = ask("What is the capital of France?", logprobs=True, top_logprobs=4)
    tokens = answer.choices[0].logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode() == answer.choices[0].message.content
    for token in tokens:
        likely = [other.logprob for other in token.top_logprobs]
        assert len(likely) == 4
        assert likely == sorted(likely, reverse=True)
        assert sum(map(math.exp, likely)) <= 1 + 1e-5
        assert (token.token, token.logprob) == (token.top_logprobs[0].token, likely[0])


def test_logprobs_can_be_those_of_the_chosen_tokens_alone(ask: Ask) -> None:
    tokens = ask("Hello!", logprobs=True, max_tokens=3).choices[0].logprobs.content
    assert [token.top_logprobs for token in tokens] == [[], [], []]
    assert all(token.logprob <= 0 for token in tokens)


def test_penalties_keep_tokens_from_coming_again(ask: Ask) -> None:
    def tokens(**options: Any) -> list[str]:
        content = ask("Tell me a story.", max_tokens=50, logprobs=True, **options).choices[0].logprobs.content
        return [token.token for token in content]

    free = tokens()
    assert len(set(free)) < len(free)
    for name in ("presence_penalty", "frequency_penalty"):
        penalized = tokens(**{name: 100})
        assert len(set(penalized)) == len(penalized)


@pytest.mark.parametrize(
    "options",
    [{"top_k": 1}, {"min_p": 1.0}, {"top_k": 40, "top_p": 0.0}, {"typical_p": 0.0, "top_k": 1}],
    ids=str,
)
def test_truncating_samplers_leave_the_likeliest_token(ask: Ask, options: dict[str, Any]) -> None:
    top_p = {"top_p": options.pop("top_p")} if "top_p" in options else {}
    answer = ask("What is the capital of France?", temperature=2.0, seed=1, extra_body=options, **top_p)
    assert answer.choices[0].message.content == "The capital of France is Paris."


@pytest.mark.parametrize(
    "options",
    [
        {"repeat_penalty": 1.1, "penalty_last_n": 32},
        {"dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 2, "dry_sequence_breakers": ["\n", ":"]},
        {"mirostat": 1, "mirostat_tau": 5.0, "mirostat_eta": 0.1},
        {"mirostat": 2},
        {"xtc_probability": 0.5, "xtc_threshold": 0.1},
        {"dynatemp_range": 0.5, "dynatemp_exponent": 1.0},
        {"top_n_sigma": 1.0},
        {"min_tokens": 2, "stop_token_ids": [5]},
    ],
    ids=str,
)
def test_samplers_of_llama_cpp_are_taken(client: openai.OpenAI, options: dict[str, Any]) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=user("Hello!"), temperature=0.5, seed=1, max_tokens=8, extra_body=options
    )
    assert "x-inllama-ignored" not in raw.headers
    assert 0 < raw.parse().usage.completion_tokens <= 8  # type: ignore[union-attr]


def test_the_end_can_be_ignored(ask: Ask) -> None:
    answer = ask("Hello!", max_tokens=60, extra_body={"ignore_eos": True})
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 60)


# Structures.


@pytest.mark.parametrize(
    ("options", "possible"),
    [
        ({"grammar": 'root ::= "yes" | "no"'}, {"yes", "no"}),
        ({"regex": "7{3}"}, {"777"}),
        ({"choices": ["red", "green"]}, {"red", "green"}),
        ({"json_schema": {"const": 12}}, {"12"}),
    ],
    ids=["grammar", "regex", "choices", "json_schema"],
)
@pytest.mark.parametrize("effort", ["none", "high"])
def test_structures_of_inllama_are_enforced(ask: Ask, options: Any, possible: set[str], effort: str) -> None:
    (choice,) = ask("Hello!", reasoning_effort=effort, extra_body=options).choices
    assert choice.message.content.strip() in possible
    assert choice.finish_reason == "stop"


def test_a_json_object_is_one(fake: openai.OpenAI) -> None:
    kind: Any = {"type": "json_object"}
    answer = fake.chat.completions.create(model="fake", messages=user("Hi"), response_format=kind, max_tokens=40)
    assert answer.choices[0].message.content.startswith("{")  # type: ignore[union-attr]


def test_an_answer_fits_its_schema(ask: Ask) -> None:
    kind = {"type": "json_schema", "json_schema": {"name": "pet", "strict": True, "schema": PET}}
    for seed in range(3):
        content = ask("Hello!", response_format=kind, temperature=1.0, seed=seed).choices[0].message.content
        pet = json.loads(content)
        assert set(pet) == {"kind", "is_good"}
        assert pet["kind"] in ("dog", "cat")
        assert isinstance(pet["is_good"], bool)


class Pet(BaseModel):
    kind: Literal["dog", "cat"]
    is_good: bool


def test_parse_gives_an_instance(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=user("Hello!"), response_format=Pet, max_tokens=100, temperature=0
    )
    pet = answer.choices[0].message.parsed
    assert isinstance(pet, Pet)
    assert pet == Pet.model_validate_json(answer.choices[0].message.content or "")


def test_parse_gives_the_arguments_of_a_call(client: openai.OpenAI) -> None:
    class get_weather(BaseModel):
        """Get the weather in a city"""

        city: str

    tool = openai.pydantic_function_tool(get_weather)
    answer = client.chat.completions.parse(model=MODEL, messages=user(QUESTION), tools=[tool], temperature=0)
    calls: Any = answer.choices[0].message.tool_calls
    (call,) = calls
    assert call.function.parsed_arguments == get_weather(city="Paris")


# Tools.


def test_a_tool_is_called_and_its_result_answered(ask: Ask) -> None:
    first = ask(QUESTION, tools=TOOLS).choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.content is None
    (call,) = first.message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    talk = [*user(QUESTION), first.message, {"role": "tool", "tool_call_id": call.id, "content": RESULT}]
    second = ask(talk, tools=TOOLS).choices[0]
    assert (second.finish_reason, second.message.content) == ("stop", ANSWERED)


def test_no_tool_is_called_where_none_shall_be(ask: Ask) -> None:
    (choice,) = ask(QUESTION, tools=TOOLS, tool_choice="none").choices
    assert choice.message.tool_calls is None
    assert choice.finish_reason == "stop"


@pytest.mark.parametrize(
    ("choice", "possible"),
    [
        ("required", {"get_weather", "get_time"}),
        ({"type": "function", "function": {"name": "get_time"}}, {"get_time"}),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TIME]}}, {"get_time"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "get_weather"}}]},
            },
            {"get_weather"},
        ),
    ],
    ids=["required", "named", "allowed and required", "allowed"],
)
def test_the_choice_of_tools_is_kept(ask: Ask, choice: Any, possible: set[str]) -> None:
    message = ask(QUESTION, tools=TOOLS, tool_choice=choice).choices[0].message
    assert {call.function.name for call in message.tool_calls} <= possible


def test_one_call_at_a_time_if_asked_for(ask: Ask) -> None:
    nameless = {"type": "function", "function": {"name": "f"}}  # which the model calls again and again
    many = ask("What is 3 + 4?", tools=[nameless], tool_choice="required").choices[0].message
    assert len(many.tool_calls) > 1
    options = {"tools": [nameless], "tool_choice": "required", "parallel_tool_calls": False}
    assert len(ask("What is 3 + 4?", **options).choices[0].message.tool_calls) == 1


def test_several_calls_have_ids_of_their_own() -> None:
    calls = [{"name": "get_weather", "arguments": {"city": city}} for city in ("Oslo", "Rome")]
    reply = "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in calls)
    with FakeEngine(reply) as engine, client_of(engine) as client:
        answer = client.chat.completions.create(model="fake", messages=user(QUESTION), tools=TOOLS)
    made: Any = answer.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in made] == ["Oslo", "Rome"]
    assert len({call.id for call in made}) == 2


def test_the_arguments_of_a_call_are_for_the_client_to_check() -> None:
    reply = '<tool_call>{"name": "get_weather", "arguments": {"town": "Oslo"}}</tool_call>'
    with FakeEngine(reply) as engine, client_of(engine) as client:
        answer = client.chat.completions.create(model="fake", messages=user(QUESTION), tools=[WEATHER])
    calls: Any = answer.choices[0].message.tool_calls
    (call,) = calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.to_dict()["function"] == {"name": "get_weather", "arguments": '{"town": "Oslo"}'}


# What is refused.


@pytest.mark.parametrize(
    ("options", "param", "code"),
    [
        ({"temperature": -1}, "temperature", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"top_logprobs": 3}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"n": 500}, "n", "too_many_outputs"),
        ({"stop": [""]}, "stop", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, None, "unsupported_field"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort", "invalid_value"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "invalid_value"),
        ({"response_format": {"type": "yaml"}}, "response_format", "invalid_value"),
        ({"logit_bias": {"hello": 1}}, "logit_bias", "invalid_value"),
        ({"extra_body": {"top_k": -1}}, "top_k", "invalid_value"),
        ({"extra_body": {"repeat_penalty": "much"}}, "repeat_penalty", "invalid_value"),
        ({"extra_body": {"priority": 1}}, "priority", "invalid_value"),
        ({"extra_body": {"grammar": "root ::= ("}}, None, "invalid_structure"),
        ({"extra_body": {"regex": "a", "choices": ["a"]}}, "choices", "invalid_value"),
    ],
    ids=str,
)
def test_options_that_are_not_possible_are_refused(ask: Ask, options: Any, param: str | None, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask("Hello!", **options)
    assert (caught.value.code, caught.value.type) == (code, "invalid_request_error")
    if param is not None:
        assert caught.value.param == param
        assert param in caught.value.message


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{"role": "wizard", "content": "Hi"}], "messages[0].role"),
        ([{"content": "Hi"}], "messages[0].role"),
        ([{"role": "user", "content": 3}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}], "messages[0]"),
        ([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}], "messages[0]"),
        ([], "messages"),
        ("Hello", "messages"),
    ],
    ids=str,
)
def test_messages_that_cannot_be_read_are_refused(client: openai.OpenAI, messages: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=messages)
    assert (caught.value.param or "").startswith(param)


def test_a_chat_that_is_too_long_is_refused(ask: Ask) -> None:
    with pytest.raises(openai.BadRequestError, match="2048") as caught:
        ask("word " * 3000)
    assert caught.value.code == "context_length_exceeded"


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-5", messages=user("Hello!"))
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert MODEL in caught.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")


def test_a_model_has_the_names_that_it_is_given() -> None:
    with FakeEngine("Hi") as engine, client_of(engine, model_names=("gpt-5",)) as client:
        assert [model.id for model in client.models.list()] == ["gpt-5", "fake"]
        assert client.chat.completions.create(model="gpt-5", messages=user("Hello!")).model == "gpt-5"
        assert client.models.retrieve("fake").id == "fake"
    with FakeEngine("Hi") as engine, client_of(engine, model_names=("*",)) as client:
        assert client.chat.completions.create(model="anything", messages=user("Hello!")).model == "anything"


def test_a_key_is_needed_where_there_are_keys() -> None:
    with (
        FakeEngine("Hi") as engine,
        client_of(engine, api_key="right-key", api_keys=("other-key", "right-key")) as client,
    ):
        assert client.chat.completions.create(model="fake", messages=user("Hi")).choices[0].message.content == "Hi"
        stranger: Any = client.with_options(api_key="wrong-key").chat.completions
        with pytest.raises(openai.AuthenticationError) as caught:
            stranger.create(model="fake", messages=user("Hi"))
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "authentication_error")
    assert "wrong-key" not in caught.value.message


# Fields that are not ours.


def test_an_unknown_field_is_named_in_a_header(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=user("Hello!"),
        max_tokens=3,
        user="ada",
        metadata={"a": "b"},
        extra_body={"emoji": True, "tempurature": 0.5, "nothing": None},
    )
    assert raw.headers["x-inllama-ignored"] == "emoji, tempurature"
    assert raw.parse().choices[0].message.content is not None


def test_a_strict_server_refuses_unknown_fields() -> None:
    with FakeEngine("Hi") as engine, client_of(engine, strict=True) as client:
        ask = client.chat.completions.create
        assert ask(model="fake", messages=user("Hello!"), user="ada").choices[0].message.content == "Hi"
        with pytest.raises(openai.BadRequestError) as caught:
            ask(model="fake", messages=user("Hello!"), extra_body={"tempurature": 0.5})
    assert (caught.value.param, caught.value.code) == ("tempurature", "unknown_field")


@pytest.mark.parametrize(
    "field",
    [
        {"audio": {"voice": "alloy", "format": "wav"}},
        {"modalities": ["text", "audio"]},
        {"prediction": {"type": "content", "content": "Hi"}},
        {"store": True},
        {"functions": [{"name": "f"}]},
        {"function_call": "auto"},
        {"web_search_options": {}},
        {"service_tier": "flex"},
        {"verbosity": "low"},
        {"moderation": {"model": "m"}},
    ],
    ids=lambda field: next(iter(field)),
)
def test_fields_of_openai_that_are_not_there_are_refused(fake: openai.OpenAI, field: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        fake.chat.completions.create(model="fake", messages=user("Hello!"), extra_body=field)
    (name,) = field
    assert (caught.value.param, caught.value.code) == (name, "unsupported_field")
    assert name in caught.value.message


def test_they_may_ask_for_nothing(fake: openai.OpenAI) -> None:
    raw = fake.chat.completions.with_raw_response.create(
        model="fake",
        messages=user("Hello!"),
        modalities=["text"],
        store=False,
        service_tier="auto",
        verbosity="medium",
        functions=[],
        audio=None,
        response_format={"type": "text"},
    )
    assert "x-inllama-ignored" not in raw.headers
    message: Any = raw.parse().choices[0].message
    assert (message.reasoning_content, message.content) == ("Let me see.", "Good day!")


def test_every_field_of_openai_is_known() -> None:
    from openai.types.chat.completion_create_params import CompletionCreateParamsBase as Params

    assert set(Params.__annotations__) - ChatBody.HINTS - set(ChatBody.UNSUPPORTED) <= set(ChatBody.model_fields)
    assert not set(ChatBody.UNSUPPORTED) & (ChatBody.HINTS | set(ChatBody.model_fields))
