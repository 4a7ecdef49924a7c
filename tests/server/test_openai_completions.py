"""Continued texts of the official client."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from asking import ALONE, MODEL, client_of, is_idle, wait_until

from inllama import LLM, Engine, Model
from inllama.server.completion_body import CompletionBody
from inllama.testing import FakeEngine

ROOT = Path(__file__).parents[2]
STORY = "Once upon a time"
PROMPTS = [STORY, "One day, a dog", "The little girl"]

Ask = Callable[..., Any]


@pytest.fixture
def ask(client: openai.OpenAI) -> Ask:
    def asked(prompt: Any, **options: Any) -> Any:
        return client.completions.create(model=MODEL, prompt=prompt, **{"temperature": 0, "max_tokens": 8, **options})

    return asked


@pytest.fixture(scope="module")
def mirror() -> Iterator[openai.OpenAI]:
    """A client of a model that answers with its prompt."""
    with FakeEngine(lambda prompt: f"<{prompt}>") as engine, client_of(engine) as made:
        yield made


def texts_of(answer: Any) -> list[str]:
    assert [choice.index for choice in answer.choices] == list(range(len(answer.choices)))
    return [choice.text for choice in answer.choices]


def streamed_texts(chunks: list[Any]) -> list[str]:
    texts: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
    return [texts[index] for index in range(len(texts))]


# Prompts.


def test_a_text_is_continued(ask: Ask, demo: Engine) -> None:
    answer = ask(STORY, extra_body=ALONE)
    assert (answer.object, answer.model) == ("text_completion", MODEL)
    assert answer.id.startswith("cmpl-")
    (choice,) = answer.choices
    assert choice.text == LLM(demo).generate(STORY, temperature=0, max_tokens=8, reproducible=True).text
    assert (choice.finish_reason, choice.logprobs) == ("length", None)
    assert answer.usage.prompt_tokens == len(demo.encode(STORY))
    assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (8, answer.usage.prompt_tokens + 8)


def test_many_texts_come_back_in_order(mirror: openai.OpenAI) -> None:
    texts = [f"text {index}" for index in range(20)]
    answer = mirror.completions.create(model="fake", prompt=texts)
    assert texts_of(answer) == [f"<{text}>" for text in texts]
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}


def test_each_text_has_n_outputs_one_after_the_other(mirror: openai.OpenAI) -> None:
    answer = mirror.completions.create(model="fake", prompt=["a", "b"], n=2, best_of=2)
    assert texts_of(answer) == ["<a>", "<a>", "<b>", "<b>"]


def test_tokens_are_prompts_too(ask: Ask, demo: Engine) -> None:
    tokens = [demo.encode(text) for text in PROMPTS]
    expected = texts_of(ask(PROMPTS, extra_body=ALONE))
    assert texts_of(ask(tokens[0], extra_body=ALONE)) == expected[:1]
    assert texts_of(ask(tokens, extra_body=ALONE)) == expected


def test_the_usage_is_that_of_all_prompts(mirror: openai.OpenAI) -> None:
    usage: Any = mirror.completions.create(model="fake", prompt=["abc", "de"], n=2).usage
    n_bytes = 2 * len("<abc>") + 2 * len("<de>")
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (5, n_bytes, 5 + n_bytes)


def test_an_output_may_begin_with_its_prompt(mirror: openai.OpenAI) -> None:
    answer = mirror.completions.create(model="fake", prompt=["a", "b"], echo=True)
    assert texts_of(answer) == ["a<a>", "b<b>"]
    tokens = mirror.completions.create(model="fake", prompt=list(b"abc"), echo=True)
    assert texts_of(tokens) == ["abc<abc>"]
    stream = mirror.completions.create(model="fake", prompt=["a", "b"], echo=True, stream=True)
    assert streamed_texts(list(stream)) == ["a<a>", "b<b>"]


# Options.


def test_stop_texts_end_outputs(ask: Ask) -> None:
    free = ask(STORY, max_tokens=12).choices[0].text
    word = free.split()[3]
    (choice,) = ask(STORY, max_tokens=12, stop=[word, "nowhere"]).choices
    assert (choice.text, choice.finish_reason) == (free.partition(word)[0], "stop")


def test_the_same_seed_gives_the_same_text(ask: Ask) -> None:
    one, same, other = (
        ask(STORY, temperature=1.5, max_tokens=20, seed=seed, extra_body=ALONE).choices[0].text for seed in (5, 5, 6)
    )
    assert one == same != other


def test_logprobs_are_those_of_each_token(ask: Ask) -> None:
    answer = ask(STORY, logprobs=3)
    (choice,) = answer.choices
    found = choice.logprobs
    assert "".join(found.tokens) == choice.text
    assert found.text_offset == [len("".join(found.tokens[:index])) for index in range(8)]
    for token, logprob, likely in zip(found.tokens, found.token_logprobs, found.top_logprobs, strict=True):
        assert len(likely) == 3
        assert likely[token] == logprob == max(likely.values())
        assert sum(map(math.exp, likely.values())) <= 1 + 1e-5


def test_options_of_inllama_are_taken(ask: Ask, client: openai.OpenAI) -> None:
    assert ask(STORY, extra_body={"regex": "7{3}"}).choices[0].text == "777"
    raw = client.completions.with_raw_response.create(
        model=MODEL, prompt=STORY, max_tokens=2, user="ada", extra_body={"top_k": 1, "tempurature": 1}
    )
    assert raw.headers["x-inllama-ignored"] == "tempurature"


def test_control_tokens_in_a_prompt_are_text_unless_they_are_asked_for(ask: Ask) -> None:
    prompt = "<|im_start|>user\nHello!<|im_end|>\n"
    text, tokens = (ask(prompt, extra_body={"parse_special": special}).usage.prompt_tokens for special in (False, True))
    assert tokens < text == ask(prompt).usage.prompt_tokens


# Streams.


@pytest.mark.parametrize(
    "options",
    [{}, {"n": 2, "temperature": 1.2, "seed": 7}, {"stop": [" a"]}, {"temperature": 1.2, "seed": 1}],
    ids=str,
)
def test_chunks_add_up_to_the_texts(ask: Ask, options: dict[str, Any]) -> None:
    whole = ask(PROMPTS, extra_body=ALONE, **options)
    chunks = list(ask(PROMPTS, extra_body=ALONE, stream=True, **options))
    assert streamed_texts(chunks) == texts_of(whole)
    ends = {choice.index: choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason}
    assert ends == {choice.index: choice.finish_reason for choice in whole.choices}
    assert len({(chunk.id, chunk.object, chunk.model) for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_texts_are_streamed_side_by_side() -> None:
    with FakeEngine("word " * 10, step_s=0.002) as engine, client_of(engine) as client:
        chunks = list(client.completions.create(model="fake", prompt=["a", "b", "c"], stream=True))
    order = [choice.index for chunk in chunks for choice in chunk.choices]
    assert streamed_texts(chunks) == ["word " * 10] * 3
    assert order != sorted(order)


def test_the_usage_comes_last_if_it_is_wanted(ask: Ask) -> None:
    whole = ask(PROMPTS, extra_body=ALONE)
    *chunks, last = ask(PROMPTS, extra_body=ALONE, stream=True, stream_options={"include_usage": True})
    assert (last.choices, last.usage) == ([], whole.usage)
    assert all(chunk.usage is None for chunk in chunks)


def test_streamed_logprobs_are_those_of_the_answer(ask: Ask) -> None:
    whole = ask(STORY, logprobs=2, extra_body=ALONE).choices[0].logprobs
    chunks = list(ask(STORY, logprobs=2, extra_body=ALONE, stream=True))
    parts = [choice.logprobs for chunk in chunks for choice in chunk.choices if choice.logprobs]
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        assert [value for part in parts for value in getattr(part, name)] == getattr(whole, name)


def test_leaving_a_stream_of_several_texts_cancels_all() -> None:
    with FakeEngine("word " * 400, step_s=0.01) as engine, client_of(engine) as client:
        with client.completions.create(model="fake", prompt=["a", "b"], stream=True) as stream:
            next(stream)
            wait_until(lambda: engine.stats().running == 2)
        wait_until(lambda: is_idle(engine))
        assert engine.stats().cancelled == 2


# Filling in.


@pytest.fixture(scope="module")
def filling_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    sys.path.insert(0, str(ROOT / "tools"))
    from fixtures.architectures import llama
    from fixtures.vocabularies import vocabulary_to_fill_in

    path = llama(tmp_path_factory.mktemp("models") / "fill_in.gguf", vocab=vocabulary_to_fill_in())
    with Model(path) as model, Engine(model) as engine, client_of(engine) as made:
        yield made


def test_a_model_that_can_fills_in(filling_client: openai.OpenAI) -> None:
    def fill(**options: Any) -> Any:
        given = {"prompt": "def f(", "max_tokens": 4, "temperature": 0, **options}
        return filling_client.completions.create(model="fill_in.gguf", **given)

    plain, filled = fill(), fill(suffix="return x")
    assert filled.usage.completion_tokens <= 4
    # The suffix and three marks come to the prompt.
    assert filled.usage.prompt_tokens >= plain.usage.prompt_tokens + len("return x")


def test_what_is_filled_in_has_no_echo(filling_client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        filling_client.completions.create(model="fill_in.gguf", prompt="def f(", suffix="x", echo=True)
    assert (caught.value.param, caught.value.code) == ("echo", "unsupported_field")


def test_one_that_cannot_says_so(ask: Ask) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot fill in") as caught:
        ask("def f(", suffix="return x")
    assert caught.value.code == "unsupported"


# What is refused.


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [["a"]]}, "prompt"),
        ({"prompt": {"text": "a"}}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"prompt": [1, 2], "suffix": "x"}, "suffix"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"prompt": ["a"] * 50, "n": 3}, "n"),
        ({"logprobs": 21}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
    ids=str,
)
def test_options_that_are_not_possible_are_refused(ask: Ask, options: dict[str, Any], param: str) -> None:
    prompt = options.pop("prompt", STORY)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(prompt, **options)
    assert caught.value.param == param


@pytest.mark.parametrize("tokens", [[-1], [99_999], [2**40], [[1], [99_999]]], ids=str)
def test_tokens_that_do_not_exist_are_refused(ask: Ask, tokens: Any) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError):
            ask(tokens, stream=stream)
    assert ask(STORY).choices[0].text


def test_one_text_of_many_that_does_not_fit_ends_all(ask: Ask, demo: Engine) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            ask([STORY, "word " * 3000], stream=stream)
        assert caught.value.code == "context_length_exceeded"
    wait_until(lambda: is_idle(demo))


def test_every_field_of_openai_is_known() -> None:
    from openai.types.completion_create_params import CompletionCreateParamsBase as Params

    known = CompletionBody.HINTS | set(CompletionBody.UNSUPPORTED) | set(CompletionBody.model_fields)
    assert set(Params.__annotations__) <= known


def test_a_stream_is_lines_of_json(client: openai.OpenAI) -> None:
    with client.completions.with_streaming_response.create(model=MODEL, prompt=STORY, stream=True, max_tokens=3) as raw:
        *lines, last = [line for line in raw.iter_lines() if line]
    assert last == "data: [DONE]"
    assert all(json.loads(line.removeprefix("data: "))["object"] == "text_completion" for line in lines)
