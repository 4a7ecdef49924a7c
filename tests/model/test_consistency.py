"""However rows come into batches, a sequence's logits are those of the sequence alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tiny_models as tiny

from inllama import Batch, Context, Model

DECODER_ONLY = ("llama", "moe", "gemma", "mamba", "hybrid", "hybrid_swa")
FIRST, SECOND, THIRD = (tiny.random_tokens(48, seed) for seed in range(3))


@pytest.fixture(params=[*DECODER_ONLY, "t5"])
def model(request: pytest.FixtureRequest) -> Model:
    loaded: Model = request.getfixturevalue(request.param)
    return loaded


@pytest.fixture(params=DECODER_ONLY)
def decoder_only(request: pytest.FixtureRequest) -> Model:
    loaded: Model = request.getfixturevalue(request.param)
    return loaded


def assert_same(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> None:
    assert tiny.difference(found, expected) <= tiny.SAME_TOLERANCE


def test_other_tokens_give_other_logits(model: Model) -> None:
    """What the tolerance of the other tests is worth: one changed token is seen by every later row."""
    changed = [FIRST[0], FIRST[1] + 1, *FIRST[2:8]]
    before, after = tiny.fresh_rows(model, FIRST[:8]), tiny.fresh_rows(model, changed)
    assert_same(after[:1], before[:1])
    assert np.all(np.max(np.abs(after - before)[1:], axis=1) > 100 * tiny.SAME_TOLERANCE)
    assert len(set(tiny.fresh_rows(model, FIRST).argmax(axis=1).tolist())) > 5


def test_token_by_token_equals_one_batch(model: Model) -> None:
    context = tiny.exact_context(model)
    rows = [tiny.decode_rows(context, Batch([token])) for token in FIRST]
    assert_same(np.concatenate(rows), tiny.fresh_rows(model, FIRST))


@pytest.mark.parametrize("n_chunk", [2, 7, 31])
def test_chunks_equal_one_batch(model: Model, n_chunk: int) -> None:
    context = tiny.exact_context(model)
    parts = [FIRST[at : at + n_chunk] for at in range(0, len(FIRST), n_chunk)]
    rows = [tiny.decode_rows(context, Batch(part, outputs="all")) for part in parts]
    assert_same(np.concatenate(rows), tiny.fresh_rows(model, FIRST))


def test_small_microbatches_equal_one_batch(model: Model) -> None:
    assert_same(tiny.fresh_rows(model, FIRST, n_ubatch=30), tiny.fresh_rows(model, FIRST))


def test_interleaved_sequences_do_not_see_each_other(model: Model) -> None:
    batch = Batch()
    for position, tokens in enumerate(zip(FIRST, SECOND, strict=True)):
        for sequence, token in enumerate(tokens):
            batch.add([token], sequence=sequence, positions=[position])
    rows = tiny.decode_rows(tiny.exact_context(model), batch)
    assert_same(rows[0::2], tiny.fresh_rows(model, FIRST))
    assert_same(rows[1::2], tiny.fresh_rows(model, SECOND))


def assert_lengths_can_differ(model: Model, *, unified: bool) -> None:
    context = tiny.exact_context(model, kv_unified=unified)
    batch = Batch(FIRST, sequence=2, outputs="all")
    batch.add(SECOND[:20], sequence=0, outputs="all")
    batch.add(THIRD[:1], sequence=1, outputs="all")
    rows = tiny.decode_rows(context, batch)
    assert_same(rows[:48], tiny.fresh_rows(model, FIRST))
    assert_same(rows[48:68], tiny.fresh_rows(model, SECOND[:20]))
    assert_same(rows[68:], tiny.fresh_rows(model, THIRD[:1]))


def test_sequences_of_different_lengths_share_a_batch(model: Model) -> None:
    assert_lengths_can_differ(model, unified=True)


def test_sequences_with_cells_of_their_own_share_a_batch(decoder_only: Model) -> None:
    assert_lengths_can_differ(decoder_only, unified=False)


def test_prefill_and_decode_rows_share_a_batch(model: Model) -> None:
    context = tiny.exact_context(model)
    context.decode(Batch(FIRST[:40], sequence=0))
    context.decode(Batch(SECOND[:12], sequence=1))
    batch = Batch(FIRST[40:41], sequence=0)
    batch.add(THIRD[:30], sequence=3)
    batch.add(SECOND[12:13], sequence=1)
    rows = tiny.decode_rows(context, batch)
    for row, tokens in zip(rows, (FIRST[:41], THIRD[:30], SECOND[:13]), strict=True):
        assert_same(row, tiny.fresh_rows(model, tokens)[-1])


def test_rows_without_output_change_nothing(model: Model) -> None:
    marked = [position % 5 == 0 for position in range(len(FIRST))]
    rows = tiny.decode_rows(tiny.exact_context(model), Batch(FIRST, outputs=marked))
    assert_same(rows, tiny.fresh_rows(model, FIRST)[::5])


def test_a_cleared_context_is_like_a_new_one(model: Model) -> None:
    context = tiny.exact_context(model)
    batch = Batch(SECOND, sequence=0)
    batch.add(THIRD, sequence=1)
    context.decode(batch)
    for data in (False, True):
        context.memory.clear(data=data)
        assert context.memory.pos_max(0) is None
        assert_same(tiny.decode_rows(context, Batch(FIRST, outputs="all")), tiny.fresh_rows(model, FIRST))


def test_embeddings_of_a_batch_equal_those_alone(decoder_only: Model) -> None:
    options: dict[str, Any] = {"embeddings": True, "pooling": "none"}
    alone = Context(decoder_only, **tiny.EXACT, **options)
    alone.decode(Batch(FIRST))
    expected = np.stack([alone.embeddings(row) for row in range(48)])
    context = Context(decoder_only, **tiny.EXACT, **options)
    batch = Batch(SECOND, sequence=1)
    batch.add(FIRST, sequence=0)
    context.decode(batch)
    assert_same(np.stack([context.embeddings(row) for row in range(48, 96)]), expected)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooled_vectors_come_from_their_own_rows(decoder_only: Model, pooling: str) -> None:
    rows = Context(decoder_only, **tiny.EXACT, embeddings=True, pooling="none")
    context = Context(decoder_only, **tiny.EXACT, embeddings=True, pooling=pooling)
    batch = Batch(SECOND[:30], sequence=3)
    batch.add(FIRST[:20], sequence=1)
    context.decode(batch)
    for sequence, tokens in ((3, SECOND[:30]), (1, FIRST[:20])):
        rows.memory.clear()
        rows.decode(Batch(tokens))
        each = np.stack([rows.embeddings(row) for row in range(len(tokens))])
        expected = {"mean": each.mean(axis=0), "cls": each[0], "last": each[-1]}[pooling]
        vector = context.sequence_embedding(sequence)
        assert vector.shape == (decoder_only.n_embd_out,)
        assert_same(vector, expected)
