"""Several models behind one server: routed by name, loaded when named, unloaded when idle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from raw_http import ask
from serving import serving_app

from inllama import ModelLoadError, ModelPool
from inllama.testing import FakeEngine

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Who are you?"}]


def fake(model: str, **options: Any) -> FakeEngine:
    return FakeEngine(f"I am {model}.", **options)


def pool_of(load: Callable[..., FakeEngine] = fake, memory: int = 20) -> ModelPool:
    models = {"a": "A", "b": "B", "c": "C"}
    return ModelPool(models, memory=memory, load=load, size_of=lambda *_, **__: 10)


@contextmanager
def served_pool(pool: ModelPool, **options: Any) -> Iterator[tuple[str, openai.OpenAI]]:
    with (
        pool,
        serving_app(pool, **options) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield server.url, client


def said(client: openai.OpenAI, model: str) -> str | None:
    answer = client.chat.completions.create(model=model, messages=MESSAGES)
    assert answer.model == model
    return answer.choices[0].message.content


def states(url: str) -> dict[str, str]:
    return {one["id"]: one["status"]["state"] for one in ask(url, "GET", "/v1/models").json["data"]}


def test_requests_go_to_the_model_that_they_name() -> None:
    with served_pool(pool_of()) as (_, client):
        assert said(client, "b") == "I am B."
        assert said(client, "a") == "I am A."
        with pytest.raises(openai.NotFoundError, match="there is a, b, c"):
            said(client, "d")


def test_without_a_name_the_first_model_answers() -> None:
    with served_pool(pool_of()) as (url, _):
        answer = ask(url, "POST", "/v1/completions", {"prompt": "x"}).json
        assert (answer["model"], answer["choices"][0]["text"]) == ("a", "I am A.")


def test_models_and_what_there_is_of_them_are_listed() -> None:
    def load(model: str, **options: Any) -> FakeEngine:
        if model == "C":
            raise ModelLoadError("could not load C: it is broken", path="C", reason="it is broken")
        return fake(model, **options)

    with served_pool(pool_of(load)) as (url, client):
        said(client, "b")
        with pytest.raises(openai.APIError):
            said(client, "c")
        found = states(url)
        assert (found["b"], found["c"]) == ("ready", "failed")
        assert ask(url, "GET", "/v1/models/c").json["status"]["error"] == "could not load C: it is broken"
        assert ask(url, "GET", "/ready").status == 200


def test_an_idle_model_makes_room_and_comes_back() -> None:
    with served_pool(pool_of()) as (url, client):
        for name in ("a", "b", "c", "a"):
            assert said(client, name) == f"I am {name.upper()}."
        assert sorted(states(url).values()) == ["ready", "ready", "unloaded"]


def test_a_request_in_flight_ends_before_its_model_goes() -> None:
    def slow(model: str, **options: Any) -> FakeEngine:
        return FakeEngine(f"I am {model}.", step_s=0.02, **options)

    with served_pool(pool_of(slow, memory=10)) as (_, client):
        stream = client.chat.completions.create(model="a", messages=MESSAGES, stream=True)
        next(stream)
        with pytest.raises(openai.InternalServerError) as caught:  # no room beside it
            said(client, "b")
        assert caught.value.status_code == 503
        assert caught.value.response.headers["retry-after"] == "1"
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert text == "I am A."
        assert said(client, "b") == "I am B."


def test_while_one_model_is_loaded_the_others_answer() -> None:
    go_on = threading.Event()

    def load(model: str, **options: Any) -> FakeEngine:
        if model == "B":
            assert go_on.wait(20)
        return fake(model, **options)

    answers: list[str | None] = []
    with served_pool(pool_of(load)) as (url, client):
        said(client, "a")
        threads = [threading.Thread(target=lambda: answers.append(said(client, "b"))) for _ in range(20)]
        for thread in threads:
            thread.start()
        while states(url)["b"] != "loading":
            pass
        assert said(client, "a") == "I am A."
        go_on.set()
        for thread in threads:
            thread.join(20)
    assert answers == ["I am B."] * 20


def test_metrics_tell_the_models_apart() -> None:
    with served_pool(pool_of()) as (url, client):
        said(client, "a")
        said(client, "b")
        text = ask(url, "GET", "/metrics").body.decode()
        assert 'inllama:generation_tokens_total{model_name="a"}' in text
        assert 'inllama:generation_tokens_total{model_name="b"}' in text


def test_the_command_serves_named_models(tmp_path: Any) -> None:
    from inllama.cli.serve import _named

    assert _named("small=a.gguf") == ("small", "a.gguf")
    assert _named("/models/x=y.gguf") == ("", "/models/x=y.gguf")
    assert _named("demo") == ("", "demo")
