"""Guards of results, memory and state: the bad call raises, and the object still works. See docs/guards.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny

from inllama import Batch, Context, InvalidRequestError, Memory, Model, StateError, UnsupportedError

LARGE = 2**31 - 1


def test_rows_without_output_are_refused(context: Context) -> None:
    def assert_no_rows(*rows: int) -> None:
        for row in rows:
            with pytest.raises(InvalidRequestError, match=f"row {row} has no logits") as raised:
                context.logits(row)
            assert raised.value.row == row
            assert raised.value.n_outputs == context.n_outputs

    assert_no_rows(-1, 0, 1)
    context.decode(Batch([3, 4, 5, 6], outputs=[False, True, False, True]))
    assert_no_rows(0, 2, 4, -3, 2**40, -(2**40))
    assert np.array_equal(context.logits(-2), context.logits(1))
    assert np.array_equal(context.logits(), context.logits(3))
    context.decode(Batch([3], outputs="none"))
    assert context.n_outputs == 0
    assert_no_rows(-1, 0)
    tiny.assert_decodes(context)
    with pytest.raises(InvalidRequestError):
        context.decode(Batch([-1]))
    assert context.logits().shape == (tiny.N_VOCAB,)


def test_embeddings_of_the_wrong_kind_are_refused(
    llama: Model, bert: Model, bert_mean: Model, rank: Model, context: Context
) -> None:
    context.decode(Batch([3, 4]))
    with pytest.raises(UnsupportedError, match="embeddings=True"):
        context.embeddings()
    with pytest.raises(UnsupportedError, match="pools nothing"):
        context.sequence_embedding()
    tiny.assert_decodes(context)

    rows = Context(llama, **tiny.SMALL, embeddings=True, pooling="none")
    rows.decode(Batch([3, 4]))
    with pytest.raises(UnsupportedError, match="pools nothing"):
        rows.sequence_embedding()
    assert rows.embeddings(0).shape == (llama.n_embd_out,)

    for model, width in ((bert_mean, tiny.N_EMBD), (rank, len(tiny.LABELS))):
        pooled = Context(model, **tiny.SMALL, n_seq_max=2, embeddings=True)
        pooled.decode(Batch([101, 105, 102]))
        with pytest.raises(UnsupportedError, match="sequence_embedding"):
            pooled.embeddings()
        with pytest.raises(UnsupportedError, match="output head"):
            pooled.logits()
        for sequence in (1, 2, -1, 300, LARGE):
            with pytest.raises(InvalidRequestError, match="no rows"):
                pooled.sequence_embedding(sequence)
        assert pooled.sequence_embedding().shape == (width,)

    plain = Context(bert, **tiny.SMALL, embeddings=False)
    plain.decode(Batch([101, 105, 102]))
    with pytest.raises(UnsupportedError):
        plain.logits()
    with pytest.raises(UnsupportedError):
        plain.embeddings()


MEMORY_USES: dict[str, Callable[[Memory, int], object]] = {
    "remove": lambda memory, sequence: memory.remove(sequence),
    "copy from": lambda memory, sequence: memory.copy(sequence, 0),
    "copy to": lambda memory, sequence: memory.copy(0, sequence),
    "keep": lambda memory, sequence: memory.keep(sequence),
    "add": lambda memory, sequence: memory.add(sequence, 1),
    "divide": lambda memory, sequence: memory.divide(sequence, 2),
    "pos_min": lambda memory, sequence: memory.pos_min(sequence),
    "pos_max": lambda memory, sequence: memory.pos_max(sequence),
}


@pytest.mark.parametrize(
    ("name", "options", "limit"),
    [
        ("llama", {}, 256),
        ("gemma", {}, 256),
        ("gemma", {"swa_full": False}, 256),
        ("llama", {"kv_unified": False}, 2),
        ("gemma", {"kv_unified": False}, 2),
        ("mamba", {}, 2),
        ("hybrid", {}, 2),
        ("t5", {}, 256),
    ],
)
def test_memory_sequence_out_of_range_is_refused(
    name: str, options: dict[str, bool], limit: int, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(name)
    context = Context(model, **tiny.SMALL, **options, n_seq_max=2)
    memory = context.memory
    assert memory.n_sequences == limit
    if model.has_encoder:
        context.encode(Batch([3, 4]))
    tiny.assert_decodes(context)
    for use in MEMORY_USES.values():
        for sequence in (-1, limit, LARGE, -LARGE - 1):
            with pytest.raises(InvalidRequestError, match=f"sequence {sequence}") as raised:
                use(memory, sequence)
            assert raised.value.limit == limit
    memory.copy(0, limit - 1)
    assert memory.pos_max(limit - 1) == memory.pos_max(0) == 1
    assert memory.remove(limit - 1)
    tiny.assert_decodes(context)


@pytest.mark.parametrize(("begin", "end"), [(-1, None), (2, 1), (0, -1), (-LARGE, LARGE)])
def test_ranges_that_are_none_are_refused(context: Context, begin: int, end: int | None) -> None:
    tiny.assert_decodes(context)
    for use in (
        lambda: context.memory.remove(0, begin, end),
        lambda: context.memory.copy(0, 1, begin, end),
        lambda: context.memory.add(0, 1, begin, end),
        lambda: context.memory.divide(0, 2, begin, end),
    ):
        with pytest.raises(InvalidRequestError, match="range"):
            use()
    assert context.memory.pos_max(0) == 1
    tiny.assert_decodes(context)


@pytest.mark.parametrize(
    ("name", "options"),
    [("llama", {"kv_unified": False}), ("gemma", {"kv_unified": False}), ("mamba", {}), ("hybrid", {})],
)
def test_partial_copy_between_streams_is_refused(
    name: str, options: dict[str, bool], request: pytest.FixtureRequest
) -> None:
    context = Context(request.getfixturevalue(name), **tiny.SMALL, **options, n_seq_max=2)
    tiny.assert_decodes(context)
    for begin, end in ((0, 1), (1, None), (1, 2), (0, LARGE)):
        with pytest.raises(UnsupportedError, match="whole sequences"):
            context.memory.copy(0, 1, begin, end)
    assert context.memory.pos_max(1) is None
    context.memory.copy(0, 1)
    assert context.memory.pos_max(1) == 1
    tiny.assert_decodes(context, sequence=1)
    tiny.assert_decodes(context)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("llama", {"kv_type_k": "q8_0", "flash_attention": "on"}),
        ("llama", {"kv_type_k": "q4_0", "flash_attention": "on"}),
        ("llama", {"kv_type_k": "bf16"}),
        ("narrow", {"kv_type_k": "bf16"}),
    ],
)
def test_shift_of_memory_that_cannot_shift_is_refused(
    name: str, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    context = Context(request.getfixturevalue(name), **tiny.SMALL, **options)
    tiny.assert_decodes(context)
    assert not context.memory.can_shift
    with pytest.raises(UnsupportedError, match="moved"):
        context.memory.add(0, 1)
    with pytest.raises(UnsupportedError, match="moved"):
        context.memory.divide(0, 2)
    assert context.memory.pos_max(0) == 1
    tiny.assert_decodes(context)


@pytest.mark.parametrize("name", ["llama", "narrow", "gemma"])
def test_decode_goes_on_after_a_shift(name: str, request: pytest.FixtureRequest) -> None:
    context = Context(request.getfixturevalue(name), **tiny.SMALL, kv_type_k="f32")
    context.decode(Batch([3] * 6))
    assert context.memory.can_shift
    assert context.memory.remove(0, 0, 3)
    context.memory.add(0, -3, 3)
    assert (context.memory.pos_min(0), context.memory.pos_max(0)) == (0, 2)
    tiny.assert_decodes(context)
    context.memory.divide(0, 2)
    assert context.memory.pos_max(0) == 2
    tiny.assert_decodes(context)


@pytest.mark.parametrize("name", ["gpt2", "mamba", "hybrid"])
def test_shift_of_other_memory_moves_all_or_raises(name: str, request: pytest.FixtureRequest) -> None:
    context = Context(request.getfixturevalue(name), **tiny.SMALL)
    context.decode(Batch([3] * 6))
    if context.memory.can_shift:
        context.memory.add(0, 3)
        assert context.memory.pos_max(0) == 8
    else:
        with pytest.raises(UnsupportedError):
            context.memory.add(0, 3)
    tiny.assert_decodes(context)


def test_division_by_zero_is_refused(context: Context) -> None:
    tiny.assert_decodes(context)
    for divisor in (0, 1, -1, -LARGE - 1):
        with pytest.raises(InvalidRequestError, match="divisor") as raised:
            context.memory.divide(0, divisor)
        assert raised.value.divisor == divisor
    for delta in (LARGE, -LARGE - 1):
        with pytest.raises(InvalidRequestError, match="positions") as raised:
            context.memory.add(0, delta)
        assert raised.value.delta == delta
    assert context.memory.pos_max(0) == 1
    tiny.assert_decodes(context)
    context.memory.add(0, -4)  # all of it leaves at the front
    assert context.memory.pos_max(0) is None
    tiny.assert_decodes(context)


def test_context_without_memory_has_none(bert: Model) -> None:
    context = Context(bert, **tiny.SMALL, embeddings=True)
    with pytest.raises(UnsupportedError, match="no memory"):
        _ = context.memory
    for use in (context.state, context.sequence_state, lambda: context.load_state(b"")):
        with pytest.raises(UnsupportedError, match="no memory"):
            use()
    context.decode(Batch([101, 102]))


@pytest.mark.parametrize("name", ["llama", "gemma", "mamba", "hybrid"])
def test_state_of_a_sequence_out_of_range_is_refused(name: str, request: pytest.FixtureRequest) -> None:
    context = Context(request.getfixturevalue(name), **tiny.SMALL, n_seq_max=2)
    tiny.assert_decodes(context)
    saved = context.sequence_state(0)
    for sequence in (-1, 2, 255, 256, LARGE, -LARGE - 1):
        with pytest.raises(InvalidRequestError, match=f"sequence {sequence}") as raised:
            context.sequence_state(sequence)
        assert raised.value.n_seq_max == 2
        with pytest.raises(InvalidRequestError, match=f"sequence {sequence}"):
            context.load_sequence_state(saved, sequence)
    context.load_sequence_state(saved, 1)
    assert context.memory.pos_max(1) == 1
    tiny.assert_decodes(context, sequence=1)


@pytest.mark.parametrize("name", ["llama", "gemma", "mamba", "hybrid"])
def test_damaged_state_is_refused(name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    context = Context(model, **tiny.SMALL)
    tiny.assert_decodes(context)
    sound = context.state()
    random = np.random.default_rng(5)
    places = [*range(48), *random.integers(48, len(sound), 200).tolist()]
    damaged = [sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :] for at in places]
    damaged += [b"", sound[:7], sound[:47], sound[:48], sound[:-1], sound + b"\0", bytes(1000)]
    for saved in damaged:
        with pytest.raises(StateError):
            context.load_state(saved)
    with pytest.raises(StateError, match="one sequence"):
        context.load_state(context.sequence_state())
    with pytest.raises(StateError, match="whole context"):
        context.load_sequence_state(sound)
    assert context.memory.pos_max(0) == 1
    tiny.assert_decodes(context)
    context.load_state(sound)
    assert context.memory.pos_max(0) == 1
    tiny.assert_decodes(context)


def test_state_of_another_model_or_shape_is_refused(llama: Model, narrow: Model, context: Context) -> None:
    tiny.assert_decodes(context)
    for name, options in (("kv_unified", {"kv_unified": False}), ("n_seq_max", {"n_seq_max": 2})):
        other = Context(llama, **tiny.SMALL, **options)
        with pytest.raises(StateError, match=name):
            other.load_state(context.state())
        tiny.assert_decodes(other)
    other = Context(narrow, **tiny.SMALL)
    for load, saved in (
        (other.load_state, context.state()),
        (other.load_sequence_state, context.sequence_state()),
    ):
        with pytest.raises(StateError, match="model"):
            load(saved)
    tiny.assert_decodes(other)


@pytest.mark.parametrize(
    "options", [{"kv_type_k": "f32"}, {"kv_type_v": "f32"}, {"flash_attention": "off"}, {"n_ctx": 512}]
)
def test_state_of_another_cache_does_not_crash(llama: Model, context: Context, options: dict[str, Any]) -> None:
    tiny.assert_decodes(context)
    other = Context(llama, **{**tiny.SMALL, **options})
    for load, saved in (
        (other.load_state, context.state()),
        (other.load_sequence_state, context.sequence_state()),
    ):
        try:
            load(saved)
        except StateError:
            assert other.memory.pos_max(0) is None
        tiny.assert_decodes(other)
        other.memory.clear()


def test_state_of_a_longer_sequence_does_not_fit(llama: Model) -> None:
    large = Context(llama, **{**tiny.SMALL, "n_ctx": 512})
    for _ in range(5):
        large.decode(Batch([3] * 64))
    small = Context(llama, **tiny.SMALL)
    with pytest.raises(StateError, match="fit"):
        small.load_sequence_state(large.sequence_state())
    tiny.assert_decodes(small)


@pytest.mark.parametrize("name", ["llama", "gemma"])
def test_whole_state_with_cache_only_sequences_is_refused(name: str, request: pytest.FixtureRequest) -> None:
    context = Context(request.getfixturevalue(name), **tiny.SMALL)
    tiny.assert_decodes(context)
    context.memory.copy(0, 200)
    with pytest.raises(StateError, match="sequence 200"):
        context.state()
    assert context.memory.pos_max(200) == 1
    context.sequence_state()
    tiny.assert_decodes(context)
    context.memory.remove(200)
    saved = context.state()
    context.memory.clear()
    context.load_state(saved)
    assert context.memory.pos_max(0) == 3
    tiny.assert_decodes(context)
