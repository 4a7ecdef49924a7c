"""Vectors and scores over HTTP: the engine's own numbers, in OpenAI's shape."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from asking import client_of, is_idle, wait_until

from inllama import LLM, Engine, Model
from inllama.server.vector_route import EmbeddingBody
from inllama.testing import FakeEngine

FIXTURES = Path(__file__).parents[1] / "model" / "fixtures"
BERT, RANK = "bert_mean.gguf", "rank.gguf"
TEXTS = ["a little dog", "the big red ball", "words", "a"]
# Largest difference that computing texts together makes.
TOGETHER = 1e-4


def engine_of(name: str) -> Engine:
    return Engine(Model(FIXTURES / name), n_threads=1, flash_attention="off", kv_type_k="f32", kv_type_v="f32")


@pytest.fixture(scope="module")
def bert() -> Iterator[Engine]:
    with engine_of(BERT) as engine:
        yield engine


@pytest.fixture(scope="module")
def embedder(bert: Engine) -> Iterator[openai.OpenAI]:
    with client_of(bert) as made:
        yield made


@pytest.fixture(scope="module")
def judge() -> Iterator[Engine]:
    with engine_of(RANK) as engine:
        yield engine


@pytest.fixture(scope="module")
def ranker(judge: Engine) -> Iterator[openai.OpenAI]:
    with client_of(judge) as made:
        yield made


def rows_of(answer: Any) -> Any:
    return np.array([one.embedding for one in answer.data])


def rerank(client: openai.OpenAI, **body: Any) -> Any:
    return client.post("/rerank", cast_to=object, body={"model": RANK, **body})


# Vectors.


def test_vectors_are_those_of_the_engine(embedder: openai.OpenAI, bert: Engine) -> None:
    answer = embedder.embeddings.create(model=BERT, input=TEXTS)
    assert (answer.object, answer.model) == ("list", BERT)
    assert [(one.object, one.index) for one in answer.data] == [("embedding", index) for index in range(4)]
    assert rows_of(answer) == pytest.approx(LLM(bert).embed(TEXTS), abs=TOGETHER)
    assert np.linalg.norm(rows_of(answer), axis=1) == pytest.approx(np.ones(4), abs=1e-5)


def test_both_encodings_are_the_same_numbers(embedder: openai.OpenAI) -> None:
    raw: Any = {
        encoding: embedder.post("/embeddings", cast_to=object, body={"input": TEXTS[:1], "encoding_format": encoding})
        for encoding in ("float", "base64")
    }
    numbers = np.frombuffer(base64.b64decode(raw["base64"]["data"][0]["embedding"]), dtype="<f4")
    assert numbers.tolist() == raw["float"]["data"][0]["embedding"]
    by_default = embedder.embeddings.create(model=BERT, input=TEXTS[:1])  # base64, which the client decodes
    assert rows_of(by_default)[0] == pytest.approx(numbers, abs=1e-7)


def test_one_text_is_a_list_of_one(embedder: openai.OpenAI) -> None:
    one, listed = (embedder.embeddings.create(model=BERT, input=text) for text in (TEXTS[0], TEXTS[:1]))
    assert len(one.data) == 1
    assert rows_of(one) == pytest.approx(rows_of(listed), abs=TOGETHER)


def test_vectors_come_in_the_order_of_their_texts(embedder: openai.OpenAI) -> None:
    one, other = (rows_of(embedder.embeddings.create(model=BERT, input=texts)) for texts in (TEXTS, TEXTS[::-1]))
    assert one == pytest.approx(other[::-1], abs=TOGETHER)
    assert not np.allclose(one[0], one[1], atol=0.01)


def test_tokens_are_texts_too(embedder: openai.OpenAI, bert: Engine) -> None:
    tokens = [[int(token) for token in row] for row in bert.encode_texts(TEXTS)]
    expected = rows_of(embedder.embeddings.create(model=BERT, input=TEXTS))
    assert rows_of(embedder.embeddings.create(model=BERT, input=tokens)) == pytest.approx(expected, abs=TOGETHER)
    assert rows_of(embedder.embeddings.create(model=BERT, input=tokens[0])) == pytest.approx(expected[:1], abs=TOGETHER)


def test_the_first_dimensions_are_scaled(embedder: openai.OpenAI) -> None:
    whole = rows_of(embedder.embeddings.create(model=BERT, input=TEXTS))
    short = rows_of(embedder.embeddings.create(model=BERT, input=TEXTS, dimensions=8))
    cut = whole[:, :8] / np.linalg.norm(whole[:, :8], axis=1, keepdims=True)
    assert short == pytest.approx(cut, abs=TOGETHER)


def test_the_usage_is_the_tokens_of_all_texts(embedder: openai.OpenAI, bert: Engine) -> None:
    usage = embedder.embeddings.create(model=BERT, input=TEXTS).usage
    n_tokens = sum(map(len, bert.encode_texts(TEXTS)))
    assert (usage.prompt_tokens, usage.total_tokens) == (n_tokens, n_tokens)


def test_options_of_inllama_are_taken(embedder: openai.OpenAI, bert: Engine) -> None:
    options: Any = {"pooling": "cls", "normalize": "none", "prefix": "query: "}
    answer = embedder.embeddings.create(model=BERT, input=TEXTS, extra_body=options)
    assert rows_of(answer) == pytest.approx(LLM(bert).embed(TEXTS, **options), abs=TOGETHER)


def test_a_text_that_is_too_long_can_be_cut(embedder: openai.OpenAI) -> None:
    long = "dog " * 2000
    with pytest.raises(openai.BadRequestError) as caught:
        embedder.embeddings.create(model=BERT, input=long)
    assert caught.value.code == "context_length_exceeded"
    assert len(embedder.embeddings.create(model=BERT, input=long, extra_body={"truncate": True}).data) == 1


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, "a"]}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 100_000}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "extra_body": {"pooling": "max"}}, "pooling"),
    ],
    ids=str,
)
def test_what_is_not_possible_is_refused(embedder: openai.OpenAI, options: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        embedder.embeddings.create(model=BERT, **options)
    assert caught.value.param == param


def test_a_request_has_only_so_many_texts() -> None:
    with FakeEngine("") as engine, client_of(engine, max_texts=3) as client:
        assert len(client.embeddings.create(model="fake", input=["a"] * 3).data) == 3
        with pytest.raises(openai.BadRequestError, match="at most 3") as caught:
            client.embeddings.create(model="fake", input=["a"] * 4)
        assert (caught.value.code, caught.value.param) == ("too_many_texts", "input")
        with pytest.raises(openai.BadRequestError, match="at most 3") as caught:
            client.post("/rerank", cast_to=object, body={"query": "a", "documents": ["a"] * 4})
        assert (caught.value.code, caught.value.param) == ("too_many_texts", "documents")


def test_a_model_of_vectors_says_that_it_cannot_chat(embedder: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    for ask in (
        lambda: embedder.chat.completions.create(model=BERT, messages=messages),
        lambda: embedder.completions.create(model=BERT, prompt="Hi"),
        lambda: embedder.chat.completions.create(model=BERT, messages=messages, stream=True),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            ask()
        assert caught.value.type == "invalid_request_error"
    assert len(embedder.embeddings.create(model=BERT, input="a").data) == 1


def test_a_client_that_waits_no_longer_frees_the_engine() -> None:
    with FakeEngine("", step_s=0.05) as engine, client_of(engine) as client:
        with pytest.raises(openai.APITimeoutError):
            client.embeddings.create(model="fake", input=["word " * 100] * 500, timeout=0.2)
        wait_until(lambda: is_idle(engine) and engine.stats().texts_waiting == 0)


def test_every_field_of_openai_is_known() -> None:
    from openai.types.embedding_create_params import EmbeddingCreateParams as Params

    assert set(Params.__annotations__) <= EmbeddingBody.HINTS | set(EmbeddingBody.model_fields)


# Scores.


def test_documents_are_ordered_by_their_scores(ranker: openai.OpenAI, judge: Engine) -> None:
    answer = rerank(ranker, query="dog", documents=TEXTS)
    expected = {one.index: one.score for one in LLM(judge).rerank("dog", TEXTS)}
    scores = [one["relevance_score"] for one in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert {one["index"]: one["relevance_score"] for one in answer["results"]} == pytest.approx(expected, abs=TOGETHER)
    assert answer["model"] == RANK
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] > 0


def test_the_best_can_be_had_alone_and_with_their_texts(ranker: openai.OpenAI) -> None:
    whole = rerank(ranker, query="dog", documents=TEXTS)["results"]
    best = rerank(ranker, query="dog", documents=[{"text": text} for text in TEXTS], top_n=2, return_documents=True)
    assert [one["index"] for one in best["results"]] == [one["index"] for one in whole[:2]]
    assert [one["document"] for one in best["results"]] == [{"text": TEXTS[one["index"]]} for one in whole[:2]]
    assert all("document" not in one for one in whole)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"documents": ["a"]}, "query"),
        ({"query": "a", "documents": []}, "documents"),
        ({"query": "a", "documents": [{"title": "b"}]}, "documents"),
        ({"query": "a", "documents": [3]}, "documents"),
        ({"query": "a", "documents": ["b"], "top_n": 0}, "top_n"),
    ],
    ids=str,
)
def test_documents_that_cannot_be_ordered_are_refused(ranker: openai.OpenAI, body: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        rerank(ranker, **body)
    assert caught.value.param == param


def test_a_model_without_scores_says_so(embedder: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        embedder.post("/rerank", cast_to=object, body={"query": "a", "documents": ["b"]})
    assert caught.value.code == "unsupported"
