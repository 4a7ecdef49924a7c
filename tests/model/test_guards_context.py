"""Guards of contexts, decode() and encode(): the bad call raises, and the object still works. See docs/guards.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny

from inllama import Batch, Context, ContextFullError, InvalidRequestError, Model, UnsupportedError


@pytest.mark.parametrize("value", [0, -1, -(2**31), 2**31, 2**32 + 256, 2**62])
@pytest.mark.parametrize("option", ["n_ctx", "n_batch", "n_ubatch", "n_outputs_max", "n_seq_max"])
def test_context_sizes_out_of_range_are_refused(llama: Model, option: str, value: int) -> None:
    with pytest.raises(InvalidRequestError, match=option) as raised:
        Context(llama, **{**tiny.SMALL, option: value})
    assert raised.value.option == option
    assert raised.value.value == value
    assert (raised.value.limit > value) == (value < 1)
    tiny.assert_decodes(Context(llama, **tiny.SMALL))


def test_sizes_beyond_64_bits_are_refused(llama: Model) -> None:
    with pytest.raises(TypeError):
        Context(llama, n_ctx=2**64)


def test_more_than_256_sequences_are_refused(llama: Model) -> None:
    options = {"n_ctx": 512, "n_batch": 512, "n_threads": 1}
    with pytest.raises(InvalidRequestError, match="n_seq_max") as raised:
        Context(llama, **options, n_seq_max=257)
    assert raised.value.limit == 256
    tiny.assert_decodes(Context(llama, **options, n_seq_max=256), sequence=255)


@pytest.mark.parametrize("options", [{"n_outputs_max": 7}, {"n_batch": 7}, {"n_batch": 7, "n_outputs_max": 100}])
def test_more_sequences_than_output_rows_are_refused(llama: Model, options: dict[str, int]) -> None:
    with pytest.raises(InvalidRequestError, match="n_seq_max") as raised:
        Context(llama, **{**tiny.SMALL, **options}, n_seq_max=8)
    assert (raised.value.n_seq_max, raised.value.limit) == (8, 7)
    tiny.assert_decodes(Context(llama, **{**tiny.SMALL, **options}, n_seq_max=7), sequence=6)


@pytest.mark.parametrize("name", ["bert_mean", "llama", "gemma"])
def test_mean_pooling_needs_rows_that_divide_by_sequences(name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    options = {"n_ctx": 256, "n_threads": 1, "embeddings": True, "pooling": "mean"}
    with pytest.raises(InvalidRequestError, match="mean pooling"):
        Context(model, **options, n_batch=16, n_ubatch=2, n_seq_max=3)
    with pytest.raises(InvalidRequestError, match="mean pooling"):
        Context(model, **options, n_batch=16, n_ubatch=16, n_outputs_max=8)
    for n_seq_max in (1, 3, 7):
        context = Context(model, **options, n_batch=16, n_ubatch=16, n_seq_max=n_seq_max)
        assert context.n_ubatch % n_seq_max == 0
        batch = Batch([5, 6, 7], sequence=0)
        batch.add([8, 9], sequence=n_seq_max - 1)
        context.decode(batch)
        assert np.isfinite(context.sequence_embedding(n_seq_max - 1)).all()


def test_unknown_pooling_of_a_model_file_is_refused(unknown_pooling: Model) -> None:
    with pytest.raises(UnsupportedError, match="99"):
        Context(unknown_pooling, **tiny.SMALL)
    tiny.assert_decodes(Context(unknown_pooling, **tiny.SMALL, pooling="none"))


def test_rank_pooling_needs_a_classifier(llama: Model, bert: Model, rank: Model) -> None:
    for model in (llama, bert):
        with pytest.raises(UnsupportedError, match="classification"):
            Context(model, **tiny.SMALL, embeddings=True, pooling="rank")
    tiny.assert_decodes(Context(llama, **tiny.SMALL))
    context = Context(rank, **tiny.SMALL, embeddings=True)
    context.decode(Batch([101, 104, 102]))
    assert context.sequence_embedding().shape == (len(tiny.LABELS),)
    assert rank.classifier_labels == list(tiny.LABELS)


QUANTIZED = ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")


def test_kv_types_that_do_not_fit_the_model_are_refused(narrow: Model, llama: Model) -> None:
    for option in ("kv_type_k", "kv_type_v"):
        for kind in QUANTIZED:
            with pytest.raises(UnsupportedError, match=option) as raised:
                Context(narrow, **tiny.SMALL, **{option: kind})
            assert raised.value.option == option
            with pytest.raises(UnsupportedError, match="flash attention"):
                Context(llama, **tiny.SMALL, **{option: kind}, flash_attention="off")
            tiny.assert_decodes(Context(llama, **tiny.SMALL, **{option: kind}, flash_attention="on"))
        for kind in ("i8", "i32", "f64", "q4_K", "q8_K", "", "F16"):
            with pytest.raises(InvalidRequestError, match=option):
                Context(llama, **tiny.SMALL, **{option: kind})
    for kind in ("f32", "f16", "bf16"):
        tiny.assert_decodes(Context(narrow, **tiny.SMALL, kv_type_k=kind, kv_type_v=kind))


@pytest.mark.parametrize(
    "options",
    [
        {"n_seq_max": 2, "kv_unified": False},
        {"embeddings": True, "pooling": "mean"},
        {"embeddings": True, "pooling": "last"},
    ],
)
def test_encoder_model_needs_a_unified_cache(t5: Model, options: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="encoder"):
        Context(t5, **tiny.SMALL, **options)
    for kind in ({"n_seq_max": 2}, {"kv_unified": False}):
        context = Context(t5, **tiny.SMALL, **kind)
        context.encode(Batch([3, 4, 1]))
        context.decode(Batch([0]))
        assert np.isfinite(context.logits()).all()


@pytest.mark.parametrize("value", [0, -1, 513, 100_000, 2**32 + 1])
@pytest.mark.parametrize("option", ["n_threads", "n_threads_batch"])
def test_thread_counts_out_of_range_are_refused(llama: Model, context: Context, option: str, value: int) -> None:
    with pytest.raises(InvalidRequestError, match=option) as raised:
        Context(llama, **{**tiny.SMALL, option: value})
    assert raised.value.value == value
    with pytest.raises(InvalidRequestError, match=option):
        context.set_threads(**{"n_threads": 1, option: value})
    assert context.n_threads == 1
    context.set_threads(2, 3)
    assert (context.n_threads, context.n_threads_batch) == (2, 3)
    tiny.assert_decodes(context)


NUMBERS = (
    "rope_freq_base",
    "rope_freq_scale",
    "yarn_ext_factor",
    "yarn_attn_factor",
    "yarn_beta_fast",
    "yarn_beta_slow",
)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -2.0, 1e300])
@pytest.mark.parametrize("option", NUMBERS)
def test_rope_options_must_be_finite(llama: Model, option: str, value: float) -> None:
    with pytest.raises(InvalidRequestError, match=option) as raised:
        Context(llama, **tiny.SMALL, **{option: value})
    assert raised.value.option == option
    tiny.assert_decodes(Context(llama, **tiny.SMALL, **{option: 1.0}))


def test_batch_larger_than_n_batch_is_refused(llama: Model) -> None:
    context = Context(llama, **{**tiny.SMALL, "n_batch": 8, "n_ubatch": 4})
    with pytest.raises(InvalidRequestError, match="n_batch") as raised:
        context.decode(Batch(range(9)))
    assert (raised.value.n_tokens, raised.value.limit) == (9, 8)
    with pytest.raises(InvalidRequestError, match="empty"):
        context.decode(Batch())
    assert context.memory.pos_max(0) is None
    context.decode(Batch(range(8)))
    assert context.memory.pos_max(0) == 7


def test_batch_larger_than_n_ubatch_is_refused_where_it_must_be_whole(
    llama: Model, bert: Model, bert_cls: Model, t5: Model
) -> None:
    small = {"n_ctx": 256, "n_batch": 16, "n_ubatch": 8, "n_threads": 1}
    cases: list[tuple[Model, dict[str, Any]]] = [
        (bert, {"embeddings": True}),
        (bert_cls, {"embeddings": True}),
        (llama, {"embeddings": True, "pooling": "last"}),
        (llama, {"attention": "non_causal"}),
    ]
    for model, options in cases:
        context = Context(model, **small, **options)
        with pytest.raises(InvalidRequestError, match="n_ubatch") as raised:
            context.decode(Batch([105] * 9, outputs="all"))
        assert (raised.value.n_tokens, raised.value.limit) == (9, 8)
        context.decode(Batch([105] * 8, outputs="all"))
    encoder = Context(t5, **small)
    with pytest.raises(InvalidRequestError, match="n_ubatch"):
        encoder.encode(Batch([3] * 9))
    encoder.encode(Batch([3] * 8))


def test_attention_that_becomes_non_causal_needs_whole_batches(llama: Model) -> None:
    context = Context(llama, **{**tiny.SMALL, "n_batch": 16, "n_ubatch": 8})
    context.decode(Batch([3] * 9))
    context.set_causal_attention(False)
    assert not context.is_causal
    with pytest.raises(InvalidRequestError, match="n_ubatch"):
        context.decode(Batch([3] * 9))
    context.set_causal_attention(True)
    context.decode(Batch([3] * 9))


@pytest.mark.parametrize("name", ["llama", "gemma", "mamba", "hybrid", "gpt2", "bert", "t5"])
@pytest.mark.parametrize("sequence", [-1, 2, 255, 256, 2**31 - 1, 2**31, 2**40, -(2**40)])
def test_batch_sequence_out_of_range_is_refused(name: str, sequence: int, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    context = Context(model, **tiny.SMALL, n_seq_max=2)
    compute = context.encode if model.has_encoder else context.decode
    with pytest.raises(InvalidRequestError, match=f"sequence {sequence}"):
        compute(Batch([105], sequence=sequence))
    compute(Batch([105], sequence=1))


@pytest.mark.parametrize("name", ["llama", "gemma", "mamba", "hybrid", "gpt2"])
def test_positions_that_do_not_follow_are_refused(name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    context = Context(model, **tiny.SMALL, n_seq_max=2)
    bad_when_empty = ([-1], [-(2**31)], [0, 0], [0, 2], [1, 0], [0, -1])
    for positions in bad_when_empty:
        with pytest.raises(InvalidRequestError, match="position"):
            context.decode(Batch([3] * len(positions), positions=positions))
    context.decode(Batch([3, 4], positions=[0, 1]))
    for positions in ([0], [1], [3], [2, 2], [2, 4], [-1], [2**31 - 1]):
        with pytest.raises(InvalidRequestError, match="position") as raised:
            context.decode(Batch([3] * len(positions), positions=positions))
        assert raised.value.position in positions
    assert context.memory.pos_max(0) == 1
    mixed = Batch([5], positions=[2])
    mixed.add([5, 6], positions=[0, 1], sequence=1)
    context.decode(mixed)
    tiny.assert_decodes(context)
    tiny.assert_decodes(context, sequence=1)


@pytest.mark.parametrize("name", ["llama", "gemma", "mamba", "hybrid"])
def test_positions_at_the_end_of_their_range_do_not_overflow(name: str, request: pytest.FixtureRequest) -> None:
    context = Context(request.getfixturevalue(name), **tiny.SMALL)
    last = 2**31 - 1
    try:
        context.decode(Batch([3], positions=[last]))
    except InvalidRequestError:
        assert context.memory.pos_max(0) is None
    else:
        with pytest.raises(InvalidRequestError, match="position"):
            context.decode(Batch([4]))
    with pytest.raises(InvalidRequestError, match="position"):
        context.decode(Batch([3, 4], positions=[last, -last - 1]))
    context.memory.clear()
    tiny.assert_decodes(context)


def test_positions_beyond_the_position_table_are_refused(gpt2: Model, bert: Model) -> None:
    context = Context(gpt2, **tiny.SMALL)
    with pytest.raises(InvalidRequestError, match="16 positions") as raised:
        context.decode(Batch([3] * 17))
    assert (raised.value.position, raised.value.row, raised.value.limit) == (16, 16, tiny.N_POSITIONS)
    with pytest.raises(InvalidRequestError, match="16 positions"):
        context.decode(Batch([3], positions=[16]))
    context.decode(Batch([3] * 15))
    with pytest.raises(InvalidRequestError, match="16 positions"):
        context.decode(Batch([3, 4]))
    context.decode(Batch([3]))
    encoder = Context(bert, **tiny.SMALL, embeddings=True)
    with pytest.raises(InvalidRequestError, match="16 positions"):
        encoder.decode(Batch([105] * 17))
    encoder.decode(Batch([105] * 16))


def test_more_outputs_than_n_outputs_max_are_refused(llama: Model, bert: Model, t5: Model) -> None:
    small = {**tiny.SMALL, "n_outputs_max": 2}
    context = Context(llama, **small)
    with pytest.raises(InvalidRequestError, match="n_outputs_max") as raised:
        context.decode(Batch([3, 4, 5], outputs="all"))
    assert (raised.value.n_outputs, raised.value.limit) == (3, 2)
    context.decode(Batch([3, 4, 5], outputs=[True, False, True]))
    assert context.n_outputs == 2
    # With embeddings every row gives output, marked or not.
    embedding = Context(llama, **small, embeddings=True, pooling="none")
    with pytest.raises(InvalidRequestError, match="n_outputs_max"):
        embedding.decode(Batch([3, 4, 5], outputs="none"))
    embedding.decode(Batch([3, 4], outputs="none"))
    assert np.isfinite(embedding.embeddings()).all()
    for model in (bert,):
        encoder = Context(model, **small, embeddings=True)
        with pytest.raises(InvalidRequestError, match="n_outputs_max"):
            encoder.encode(Batch([105] * 3))
        encoder.encode(Batch([105] * 2))
    t5_context = Context(t5, **small)
    assert t5_context.n_outputs_max == t5_context.n_batch
    t5_context.encode(Batch([3] * 60))


@pytest.mark.parametrize("name", ["llama", "gemma", "mamba", "hybrid", "gpt2"])
def test_encode_without_an_encoder_is_refused(name: str, request: pytest.FixtureRequest) -> None:
    context = Context(request.getfixturevalue(name), **tiny.SMALL)
    with pytest.raises(UnsupportedError, match="no encoder"):
        context.encode(Batch([3, 4]))
    tiny.assert_decodes(context)


def test_decode_before_encode_is_refused(t5: Model) -> None:
    context = Context(t5, **tiny.SMALL)
    for _ in range(2):
        with pytest.raises(InvalidRequestError, match="encode"):
            context.decode(Batch([0]))
    with pytest.raises(InvalidRequestError, match="n_ubatch"):
        context.encode(Batch([3] * 65))
    with pytest.raises(InvalidRequestError, match="encode"):
        context.decode(Batch([0]))
    context.encode(Batch([3, 4, 1]))
    context.decode(Batch([0]))
    assert np.isfinite(context.logits()).all()


@pytest.mark.parametrize("name", ["llama", "gemma", "gpt2"])
def test_full_memory_changes_nothing(name: str, request: pytest.FixtureRequest) -> None:
    context = Context(request.getfixturevalue(name), **tiny.SMALL, n_seq_max=32)
    for full in range(context.n_ctx // 16):
        context.decode(Batch([3] * 16, sequence=full))
    sequence = 31
    with pytest.raises(ContextFullError) as raised:
        context.decode(Batch([3] * 16, sequence=sequence))
    assert (raised.value.n_tokens, raised.value.n_ctx) == (16, 256)
    assert context.memory.pos_max(sequence) is None
    with pytest.raises(InvalidRequestError, match="no logits"):
        context.logits()
    context.memory.remove(0)
    tiny.assert_decodes(context, sequence=sequence)


def test_a_window_that_no_layer_has_is_refused(tmp_path: Path, gemma: Model) -> None:
    with Model(tiny.gemma3(tmp_path / "no_window.gguf", pattern=1)) as model:
        with pytest.raises(UnsupportedError, match="window"):
            Context(model, **tiny.SMALL)
        assert model.n_swa > 0
    tiny.assert_decodes(Context(gemma, **tiny.SMALL))
