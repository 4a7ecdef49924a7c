"""Bad contexts, batches, memories and saved states."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bad_calls import BEYOND, DEMO, HUGE, NAN, BadCall, Bench, closed_model

import inllama
from inllama import (
    LLM,
    Batch,
    Context,
    ContextFullError,
    InllamaError,
    InsufficientMemoryError,
    InvalidRequestError,
    Model,
    StateError,
    UnsupportedError,
)

# ------------------------------------------------------------------------------------------------------- contexts


def context_calls() -> Iterator[tuple[str, BadCall]]:
    def make(**options: Any) -> Callable[[Bench], object]:
        return lambda b: Context(b.model, **({"n_ctx": 256} | options))

    invalid, fields = InvalidRequestError, ("option", "value", "limit")
    for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_outputs_max", "n_threads", "n_threads_batch"):
        for value in (-1, 0, HUGE, -HUGE):
            yield f"context_{name}_{value}", BadCall(make(**{name: value}), invalid, fields, f"{name} is {value}")
        for value in (BEYOND, 1.5, "8"):
            kind = (InvalidRequestError, TypeError)
            yield f"context_{name}_{value}", BadCall(make(**{name: value}), kind)
    full = (InsufficientMemoryError, InvalidRequestError)
    yield "context_n_ctx_2_30", BadCall(make(n_ctx=1 << 30), full, ("n_ctx",))
    yield "context_n_seq_max_257", BadCall(make(n_seq_max=257), invalid, fields)
    for name in ("pooling", "attention", "flash_attention", "kv_type_k", "kv_type_v", "rope_scaling"):
        for value in ("sideways", "", "auto\0"):
            yield f"context_{name}_{value!r}", BadCall(make(**{name: value}), invalid, ("option",))
    for name in ("rope_freq_base", "rope_freq_scale", "yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast"):
        for number in (NAN, math.inf, -math.inf, -2.0):
            yield f"context_{name}_{number}", BadCall(make(**{name: number}), invalid, ("option", "value"))
    yield "context_yarn_orig_ctx", BadCall(make(yarn_orig_ctx=-1), invalid, fields)
    yield "context_rank", BadCall(make(pooling="rank", embeddings=True), UnsupportedError)
    yield "context_quantized_v", BadCall(make(kv_type_v="q8_0", flash_attention="off"), UnsupportedError, ("option",))
    yield "context_without_model", BadCall(lambda b: Context(None), TypeError)  # type: ignore[arg-type]
    yield "context_of_vocabulary", BadCall(lambda b: Context(Model(DEMO, vocab_only=True)), UnsupportedError)
    yield "context_of_closed_model", BadCall(lambda b: Context(closed_model()), InllamaError)
    yield "context_closed", BadCall(use_closed_context, InllamaError)
    for value in (-1, 0, HUGE, 1.5, True, "many", NAN):
        kind = (InvalidRequestError, TypeError)
        yield f"llm_n_ctx_{value}", BadCall(lambda b, v=value: LLM(b.model, n_ctx=v).generate("x"), kind)
    for name in ("n_threads", "prefill_chunk"):
        for number in (-1, 0, HUGE):
            yield f"llm_{name}_{number}", BadCall(lambda b, o={name: number}: LLM(b.model, **o), invalid, fields[:2])


def use_closed_context(bench: Bench) -> object:
    context = Context(bench.model, n_ctx=256)
    context.close()
    return context.decode(Batch([1]))


# -------------------------------------------------------------------------------------------------------- batches


def batch_calls() -> Iterator[tuple[str, BadCall]]:
    invalid, wrong = InvalidRequestError, (InvalidRequestError, TypeError)

    def decode(tokens: Any, **options: Any) -> Callable[[Bench], object]:
        return lambda b: b.context.decode(Batch(tokens, **options))

    yield "decode_empty", BadCall(lambda b: b.context.decode(Batch()), invalid, (), "empty")
    yield "decode_cleared", BadCall(lambda b: b.context.decode(cleared_batch()), invalid, (), "empty")
    for token in (-1, -(2**31), 2048, 2**31 - 1):
        yield f"decode_token_{token}", BadCall(decode([token]), invalid, ("token", "row", "n_vocab"), str(token))
        yield (
            f"decode_row_of_array_{token}",
            BadCall(decode(np.array([5, token], dtype=np.int64)), invalid, ("token", "row")),
        )
    for token in (2**31, -(2**31) - 1, HUGE, BEYOND):
        yield f"batch_token_{token}", BadCall(decode([token]), invalid, (), str(token))
    for array in (np.array([2**31], dtype=np.int64), np.array([2**32 - 1], dtype=np.uint32)):
        yield f"batch_array_{array.dtype}", BadCall(decode(array), invalid)
    for tokens in ([1.5], ["a"], [None], [True], None, 7, "abc", b"abc", [[1]], {"a": 1}):
        yield f"batch_tokens_{tokens!r}", BadCall(decode(tokens), wrong)
    for array in (np.zeros(2, np.float32), np.zeros((2, 2), np.int32), np.zeros(2, bool), np.int32(1)):
        yield f"batch_array_{np.ndim(array)}d_{array.dtype}", BadCall(decode(array), wrong)
    fields = ("sequence", "row", "n_seq_max")
    for sequence in (-1, 2, 256, 2**31 - 1):
        yield f"decode_sequence_{sequence}", BadCall(decode([1], sequence=sequence), invalid, fields, str(sequence))
    for sequence in (HUGE, BEYOND, 1.5, "0", None):
        yield f"batch_sequence_{sequence}", BadCall(decode([1], sequence=sequence), wrong)
    for position in (-1, 1, 7, 2**31 - 1):
        bad = BadCall(decode([1], positions=[position]), invalid, ("position", "row", "limit"), str(position))
        yield f"decode_position_{position}", bad
    yield "decode_position_beyond", BadCall(decode([1], positions=[HUGE]), invalid)
    yield "decode_position_twice", BadCall(decode([1, 2], positions=[3, 3]), invalid, ("position", "row"))
    yield "batch_positions_short", BadCall(decode([1, 2], positions=[3]), invalid)
    yield "batch_outputs_word", BadCall(decode([1], outputs="some"), wrong)
    yield "batch_outputs_short", BadCall(decode([1, 2], outputs=[True]), invalid)
    yield "batch_outputs_number", BadCall(decode([1], outputs=7), wrong)
    long = [1] * 65
    yield "decode_more_than_n_batch", BadCall(decode(long), invalid, ("n_tokens", "limit"), "n_batch")
    yield "decode_outputs_max", BadCall(decode_many_outputs, invalid, ("n_outputs", "limit"))
    yield "decode_more_than_n_ctx", BadCall(fill_context, ContextFullError, ("n_tokens", "n_ctx"))
    yield "encode_decoder_only", BadCall(lambda b: b.context.encode(Batch([1])), UnsupportedError)
    yield "decode_none", BadCall(lambda b: b.context.decode(None), TypeError)  # type: ignore[arg-type]
    for row in (64, 2**31 - 1, -2, -(2**31), HUGE, BEYOND, 1.5, "last", None):
        yield f"logits_row_{row}", BadCall(lambda b, r=row: b.context.logits(r), wrong)
    yield "logits_before_decode", BadCall(lambda b: Context(b.model, n_ctx=256).logits(), invalid)
    yield "embeddings_without", BadCall(lambda b: b.context.embeddings(), (InvalidRequestError, UnsupportedError))
    yield "sequence_embedding_without", BadCall(lambda b: b.context.sequence_embedding(), invalid)
    yield "sequence_embedding_range", BadCall(lambda b: b.context.sequence_embedding(99), invalid)
    for count in (-1, 0, 100_000, HUGE):
        yield f"set_threads_{count}", BadCall(lambda b, n=count: b.context.set_threads(n), invalid, ("option",))
    yield "set_adapters_number", BadCall(lambda b: b.context.set_adapters({1: 1.0}), TypeError)  # type: ignore[dict-item]


def cleared_batch() -> Batch:
    batch = Batch([1, 2])
    batch.clear()
    return batch


def decode_many_outputs(bench: Bench) -> object:
    context = Context(bench.model, n_ctx=256, n_outputs_max=2, n_threads=1)
    return context.decode(Batch([1, 2, 3], outputs="all"))


def fill_context(bench: Bench) -> object:
    context = Context(bench.model, n_ctx=256, n_batch=256, n_threads=1)
    context.decode(Batch([1] * 200))
    return context.decode(Batch([1] * 100))


# --------------------------------------------------------------------------------------------- memory, saved state


def memory_calls() -> Iterator[tuple[str, BadCall]]:
    invalid = InvalidRequestError
    for sequence in (-1, 256, 2**31 - 1):
        calls: dict[str, Callable[[inllama.Memory, int], object]] = {
            "remove": lambda m, s: m.remove(s),
            "copy_from": lambda m, s: m.copy(s, 0),
            "copy_to": lambda m, s: m.copy(0, s),
            "keep": lambda m, s: m.keep(s),
            "add": lambda m, s: m.add(s, 1),
            "divide": lambda m, s: m.divide(s, 2),
            "pos_min": lambda m, s: m.pos_min(s),
            "pos_max": lambda m, s: m.pos_max(s),
        }
        for name, call in calls.items():
            bad = BadCall(lambda b, c=call, s=sequence: c(b.context.memory, s), invalid)
            yield f"memory_{name}_sequence_{sequence}", bad
        state = BadCall(lambda b, s=sequence: b.context.sequence_state(s), invalid)
        yield f"sequence_state_{sequence}", state
        load = BadCall(lambda b, s=sequence: b.context.load_sequence_state(b.context.sequence_state(0), s), invalid)
        yield f"load_sequence_state_{sequence}", load
    for divisor in (0, 1, -1, -2, HUGE):
        yield f"divide_{divisor}", BadCall(lambda b, d=divisor: b.context.memory.divide(0, d), (invalid, TypeError))
    for begin, end in ((-1, 1), (2, 1), (0, -1), (HUGE, HUGE)):
        bad = BadCall(lambda b, x=begin, y=end: b.context.memory.remove(0, x, y), (invalid, TypeError))
        yield f"remove_{begin}_{end}", bad
    for delta in (-(2**31), 2**31 - 1, HUGE):
        yield f"shift_{delta}", BadCall(lambda b, d=delta: b.context.memory.add(0, d), (invalid, TypeError))

    yield "state_empty", BadCall(lambda b: b.context.load_state(b""), StateError)
    yield "state_noise", BadCall(lambda b: b.context.load_state(random.Random(2).randbytes(1000)), StateError)
    yield "state_text", BadCall(lambda b: b.context.load_state("state"), TypeError)  # type: ignore[arg-type]
    for part in (0.0, 0.01, 0.5, 0.999):
        yield (
            f"state_cut_{part}",
            BadCall(lambda b, p=part: b.context.load_state(cut(b.context.state(), p)), StateError),
        )
        bad = BadCall(lambda b, p=part: b.context.load_sequence_state(cut(b.context.sequence_state(), p)), StateError)
        yield f"sequence_state_cut_{part}", bad
        yield (
            f"state_changed_{part}",
            BadCall(lambda b, p=part: b.context.load_state(flip(b.context.state(), p)), StateError),
        )
    yield "state_of_a_sequence", BadCall(lambda b: b.context.load_state(b.context.sequence_state()), StateError)
    yield "sequence_state_of_all", BadCall(lambda b: b.context.load_sequence_state(b.context.state()), StateError)


def cut(state: bytes, part: float) -> bytes:
    return state[: int(len(state) * part)]


def flip(state: bytes, part: float) -> bytes:
    at = int(len(state) * part)
    return state[:at] + bytes([state[at] ^ 0xFF]) + state[at + 1 :]
