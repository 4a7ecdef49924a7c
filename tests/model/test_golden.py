"""The numbers are those of an independent implementation: transformers and torch in float32. See docs/testing.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tiny_models as tiny

from inllama import Batch, Context, Model

DECODERS = ("llama", "moe", "gemma", "mamba", "hybrid")
ENCODERS = ("bert_mean", "bert_cls", "rank")


@dataclass(frozen=True)
class Text:
    """What the reference computed.

    Attributes:
        text: What was read.
        tokens: The same in tokens.
        values: Logits of every row, or a vector, or scores.
    """

    text: str
    tokens: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]


@pytest.fixture(scope="session")
def golden() -> Iterator[Any]:
    with np.load(tiny.path_of("llama").with_name(tiny.GOLDEN)) as numbers:
        yield numbers


def texts_of(golden: Any, name: str) -> list[Text]:
    n = sum(key.startswith(f"{name}/") and key.endswith("/text") for key in golden)
    fields = [{part: golden[f"{name}/{index}/{part}"] for part in ("text", "tokens", "values")} for index in range(n)]
    return [Text(str(field["text"]), field["tokens"], field["values"]) for field in fields]


def assert_close(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> None:
    assert tiny.difference(found, expected) <= tiny.GOLDEN_TOLERANCE


def test_the_reference_says_what_computed_it(golden: Any) -> None:
    assert "transformers" in str(golden["versions"])
    assert "torch" in str(golden["versions"])


@pytest.mark.parametrize("name", DECODERS)
def test_logits_of_every_position_equal_the_reference(name: str, golden: Any, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    texts = texts_of(golden, name)
    assert texts
    for text in texts:
        assert len(text.tokens) > max(40, model.n_swa)
        assert text.values.std() > 1
        assert model.tokenizer.encode(text.text).tolist() == text.tokens.tolist()
        assert_close(tiny.fresh_rows(model, text.tokens.tolist()), text.values)


@pytest.mark.parametrize("name", DECODERS)
def test_logits_of_sequences_in_one_batch_equal_the_reference(
    name: str, golden: Any, request: pytest.FixtureRequest
) -> None:
    texts = texts_of(golden, name) * 2
    batch = Batch()
    for sequence, text in enumerate(texts):
        batch.add(text.tokens, sequence=sequence, outputs="all")
    rows = tiny.decode_rows(tiny.exact_context(request.getfixturevalue(name)), batch)
    assert_close(rows, np.concatenate([text.values for text in texts]))


def test_logits_of_a_small_window_equal_the_reference(gemma: Model, golden: Any) -> None:
    context = tiny.exact_context(gemma, swa_full=False)
    for text in texts_of(golden, "gemma"):
        context.memory.clear()
        rows = [tiny.decode_rows(context, Batch([token])) for token in text.tokens.tolist()]
        assert_close(np.concatenate(rows), text.values)


def test_logits_of_an_encoder_decoder_equal_the_reference(t5: Model, golden: Any) -> None:
    (text,) = texts_of(golden, "t5")
    assert t5.tokenizer.encode(text.text).tolist() == text.tokens.tolist()
    output = golden["t5/0/output_tokens"]
    assert output[0] == t5.decoder_start_token
    context = Context(t5, **tiny.EXACT)
    context.encode(Batch(text.tokens))
    assert_close(tiny.decode_rows(context, Batch(output, outputs="all")), text.values)


@pytest.mark.parametrize("name", ENCODERS)
def test_vectors_of_single_texts_equal_the_reference(name: str, golden: Any, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    context = Context(model, **tiny.EXACT, embeddings=True)
    texts = texts_of(golden, name)
    assert len(texts) == 5
    for text in texts:
        assert model.tokenizer.encode(text.text).tolist() == text.tokens.tolist()
        context.encode(Batch(text.tokens))
        assert_close(context.sequence_embedding(), text.values)


@pytest.mark.parametrize("name", ENCODERS)
def test_vectors_of_one_batch_equal_the_reference(name: str, golden: Any, request: pytest.FixtureRequest) -> None:
    texts = texts_of(golden, name)
    options = {**tiny.EXACT, "n_seq_max": 8, "n_ubatch": 512, "embeddings": True}
    context = Context(request.getfixturevalue(name), **options)
    batch = Batch()
    for sequence, text in zip((6, 0, 3, 1, 7), texts, strict=True):
        batch.add(text.tokens, sequence=sequence)
    context.encode(batch)
    for sequence, text in zip((6, 0, 3, 1, 7), texts, strict=True):
        assert_close(context.sequence_embedding(sequence), text.values)


def test_word_order_counts(golden: Any) -> None:
    """What the tolerance is worth: the same words in another order are far away."""
    for name in ENCODERS:
        _, _, one, other, _ = texts_of(golden, name)
        assert sorted(one.text.split()) == sorted(other.text.split())
        assert tiny.difference(one.values, other.values) > 10 * tiny.GOLDEN_TOLERANCE


def test_rows_of_an_encoder_pool_to_its_vectors(bert_mean: Model, golden: Any) -> None:
    context = Context(bert_mean, **tiny.EXACT, embeddings=True, pooling="none")
    for mean, cls in zip(texts_of(golden, "bert_mean"), texts_of(golden, "bert_cls"), strict=True):
        context.encode(Batch(mean.tokens))
        rows = np.stack([context.embeddings(row) for row in range(len(mean.tokens))])
        assert_close(rows.mean(axis=0), mean.values)
        assert_close(rows[0], cls.values)


def test_pooling_of_the_context_counts_more_than_the_models(bert_mean: Model, golden: Any) -> None:
    context = Context(bert_mean, **tiny.EXACT, embeddings=True, pooling="cls")
    assert context.pooling == "cls"
    for text in texts_of(golden, "bert_cls"):
        context.encode(Batch(text.tokens))
        assert_close(context.sequence_embedding(), text.values)


def test_vectors_are_not_normalized(bert_mean: Model, golden: Any) -> None:
    norms = [float(np.linalg.norm(text.values)) for text in texts_of(golden, "bert_mean")]
    context = Context(bert_mean, **tiny.EXACT, embeddings=True)
    for text, norm in zip(texts_of(golden, "bert_mean"), norms, strict=True):
        context.encode(Batch(text.tokens))
        assert np.linalg.norm(context.sequence_embedding()) == pytest.approx(norm, rel=1e-3)
        assert norm > 2
