"""Every bad input gives a typed error that says what was wrong, and what was used still works afterwards.

Run as a program, this file makes all bad calls in one process: a test captures its file descriptor 2.
"""

from __future__ import annotations

import math
import os
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import inllama
from inllama import (
    LLM,
    Adapter,
    Batch,
    Context,
    ContextFullError,
    DecodeError,
    GrammarError,
    InllamaError,
    InsufficientMemoryError,
    InvalidRequestError,
    Model,
    ModelLoadError,
    Sampler,
    SamplingParams,
    StateError,
    UnsupportedError,
    samplers,
)

DEMO = Path(inllama.__path__[0]) / "models" / "demo.gguf"
# Larger than any size, smaller than 64 bits; larger than 64 bits.
HUGE = 2**40
BEYOND = 2**70
NAN = math.nan
SURROGATE = "half a \ud83d character"


class Bench:
    """What bad calls are made with. Every object is made once and used by all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def model(self) -> Model:
        return Model(DEMO)

    @cached_property
    def llm(self) -> LLM:
        return LLM(self.model, n_threads=1)

    @cached_property
    def context(self) -> Context:
        """Two sequences, of which 0 holds a few tokens."""
        context = Context(self.model, n_ctx=256, n_batch=64, n_seq_max=2, n_threads=1)
        context.decode(Batch([1, 2, 3]))
        return context

    @cached_property
    def sampler(self) -> Sampler:
        return Sampler(self.model, [samplers.greedy()])

    @property
    def n_vocab(self) -> int:
        return self.model.tokenizer.n_tokens

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def sample(self, *stages: inllama.SamplerStage) -> int:
        """Build a chain and use it once: some stages can be checked only against a model."""
        return Sampler(self.model, list(stages)).sample(self.context)

    def next_tokens(self) -> tuple[int, ...]:
        """The continuation that a healthy process gives."""
        tokens: tuple[int, ...] = self.llm.generate("Once upon a time", temperature=0, max_tokens=8).token_ids
        return tokens


@dataclass(frozen=True)
class BadCall:
    """A call that must raise ``error`` with every field of ``fields``; ``text`` is part of its message."""

    call: Callable[[Bench], object]
    error: type[Exception] | tuple[type[Exception], ...]
    fields: tuple[str, ...] = ()
    text: str = ""


# ---------------------------------------------------------------------------------------------------------- files


def unknown_architecture(bench: Bench) -> Path:
    path = bench.folder / "unknown.gguf"
    writer = gguf.GGUFWriter(path, "frobnicator")
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def without_architecture(bench: Bench) -> Path:
    """A GGUF file without a single entry or tensor."""
    return bench.file("bare.gguf", b"GGUF" + (3).to_bytes(4, "little") + bytes(16))


def fifo(bench: Bench) -> Path:
    path = bench.folder / "fifo.gguf"
    if not path.exists():
        os.mkfifo(path)
    return path


def link(bench: Bench, name: str, target: str) -> Path:
    path = bench.folder / name
    if not path.is_symlink():
        path.symlink_to(target)
    return path


def unix_socket(bench: Bench) -> Path:
    path = bench.folder / "socket.gguf"
    if not path.exists():
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    return path


# Name to a path that holds no model.
FILES: dict[str, Callable[[Bench], Any]] = {
    "missing": lambda b: b.folder / "missing.gguf",
    "missing_folder": lambda b: b.folder / "no" / "such" / "file.gguf",
    "below_a_file": lambda b: b.file("plain.txt", b"text") / "file.gguf",
    "empty_name": lambda b: "",
    "name_too_long": lambda b: b.folder / ("x" * 5000),
    "name_not_utf8": lambda b: os.fsencode(b.folder) + b"/\xff\xfe.gguf",
    "directory": lambda b: b.folder,
    "fifo": fifo,
    "socket": unix_socket,
    "device": lambda b: "/dev/null",
    "broken_link": lambda b: link(b, "broken.gguf", "nowhere"),
    "link_to_itself": lambda b: link(b, "loop.gguf", "loop.gguf"),
    "empty": lambda b: b.file("empty.gguf", b""),
    "one_byte": lambda b: b.file("one.gguf", b"G"),
    "text": lambda b: b.file("text.gguf", b"this is not a model\n" * 100),
    "zeros": lambda b: b.file("zeros.gguf", bytes(4096)),
    "wrong_byte_order": lambda b: b.file("big.gguf", b"GGUF" + (3).to_bytes(4, "big") + bytes(64)),
    "future_version": lambda b: b.file("future.gguf", b"GGUF" + (99).to_bytes(4, "little") + bytes(64)),
    "version_1": lambda b: b.file("v1.gguf", b"GGUF" + (1).to_bytes(4, "little") + bytes(64)),
    "too_many_tensors": lambda b: b.file("many.gguf", b"GGUF" + (3).to_bytes(4, "little") + b"\xff" * 16),
    "noise_after_magic": lambda b: b.file("noise.gguf", b"GGUF\x03\0\0\0" + random.Random(1).randbytes(4096)),
    "unknown_architecture": unknown_architecture,
    "without_architecture": without_architecture,
}


def file_calls() -> Iterator[tuple[str, BadCall]]:
    fields = ("path", "reason")
    for name, path in FILES.items():
        yield f"model_{name}", BadCall(lambda b, p=path: Model(p(b)), ModelLoadError, fields)
        yield f"adapter_{name}", BadCall(lambda b, p=path: Adapter(b.model, p(b)), ModelLoadError, fields)
    for name in ("missing", "directory", "unknown_architecture"):
        path = FILES[name]
        yield f"llm_{name}", BadCall(lambda b, p=path: LLM(p(b)), ModelLoadError, fields)
    yield "adapter_is_a_model", BadCall(lambda b: Adapter(b.model, DEMO), ModelLoadError, fields)
    nul = (InvalidRequestError, ValueError)
    yield "model_path_with_nul", BadCall(lambda b: Model("a\0b.gguf"), nul)
    yield "adapter_path_with_nul", BadCall(lambda b: Adapter(b.model, "a\0b.gguf"), nul)
    yield "llm_path_with_nul", BadCall(lambda b: LLM("a\0b.gguf"), nul)
    yield "model_path_with_surrogate", BadCall(lambda b: Model("\ud83d.gguf"), (InllamaError, UnicodeError))
    for value in (None, 7, ["demo.gguf"], 1.5):
        yield f"model_path_{type(value).__name__}", BadCall(lambda b, v=value: Model(v), TypeError)
        yield f"llm_path_{type(value).__name__}", BadCall(lambda b, v=value: LLM(v), TypeError)
    yield "llm_download", BadCall(lambda b: LLM("hf:owner/repository:Q4_0"), UnsupportedError, (), "hf:owner")
    unpickled = (ModelLoadError,)
    yield "architecture_in_reason", BadCall(lambda b: Model(unknown_architecture(b)), unpickled, fields, "frobnicator")


# -------------------------------------------------------------------------------------------------------- loading


def loading_calls() -> Iterator[tuple[str, BadCall]]:
    def load(**options: Any) -> Callable[[Bench], object]:
        return lambda b: Model(DEMO, **options)

    invalid, option = InvalidRequestError, ("option",)
    for value in (-1, HUGE):
        yield f"gpu_layers_{value}", BadCall(load(gpu_layers=value), invalid, option)
    for name in ("load_mode", "split_mode"):
        yield f"{name}_unknown", BadCall(load(**{name: "sideways"}), invalid, option, "sideways")
        yield f"{name}_empty", BadCall(load(**{name: ""}), invalid, option)
        yield f"{name}_nul", BadCall(load(**{name: "layer\0"}), invalid, option)
    yield "devices_unknown", BadCall(load(devices=["TPU9"]), invalid, option, "TPU9")
    yield "tensor_split_nan", BadCall(load(tensor_split=[NAN]), invalid, option)
    yield "tensor_split_negative", BadCall(load(tensor_split=[-1.0]), invalid, option)
    yield "tensor_split_long", BadCall(load(tensor_split=[1.0] * 5000), invalid, option)
    yield "kv_overrides_empty_key", BadCall(load(kv_overrides={"": 1}), invalid, option)
    yield "kv_overrides_long_key", BadCall(load(kv_overrides={"k" * 200: 1}), invalid, option)
    yield "kv_overrides_nul_key", BadCall(load(kv_overrides={"general.name\0": 1}), invalid, option)
    yield "kv_overrides_long_text", BadCall(load(kv_overrides={"general.name": "n" * 200}), invalid, option)
    yield "kv_overrides_list", BadCall(load(kv_overrides={"general.name": [1]}), (InllamaError, TypeError))
    yield "kv_overrides_beyond", BadCall(load(kv_overrides={"general.x": BEYOND}), (InllamaError, TypeError))
    yield "tensor_overrides_type", BadCall(load(tensor_overrides={"exps": "TPU9"}), invalid, option, "TPU9")
    bad_pattern = BadCall(load(tensor_overrides={"(": "CPU"}), (InvalidRequestError, ModelLoadError))
    yield "tensor_overrides_pattern", bad_pattern
    for options in ({"gpu_layers": "all"}, {"gpu_layers": 1.5}, {"gpu_layers": True}, {"progress": 7}):
        name = "_".join(f"{key}_{value}" for key, value in options.items())
        yield f"load_{name}", BadCall(load(**options), (InllamaError, TypeError))
    yield "load_unknown_keyword", BadCall(load(gpu_layer=1), TypeError)
    stopped = BadCall(load(progress=lambda done: False), ModelLoadError, ("path", "reason", "cancelled"))
    yield "progress_false", stopped
    yield "progress_raises", BadCall(load(progress=lambda done: 1 / 0), ZeroDivisionError)
    yield "llm_load_mode", BadCall(lambda b: LLM("demo", load_mode="sideways"), invalid, option)
    yield "llm_unknown_keyword", BadCall(lambda b: LLM("demo", n_ctxx=1), TypeError, (), "did you mean 'n_ctx'")
    yield "llm_load_option_of_loaded", BadCall(lambda b: LLM(b.model, load_mode="mmap"), TypeError, (), "load_mode")


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


def closed_model() -> Model:
    model = Model(DEMO)
    model.close()
    return model


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


# ------------------------------------------------------------------------------------------------------- sampling


def sampling_calls() -> Iterator[tuple[str, BadCall]]:
    invalid, wrong = InvalidRequestError, (InvalidRequestError, TypeError)
    select = samplers.greedy()
    stages: dict[str, Callable[[float], inllama.SamplerStage]] = {
        "temperature": samplers.temperature,
        "top_p": samplers.top_p,
        "min_p": samplers.min_p,
        "typical_p": samplers.typical_p,
        "top_n_sigma": samplers.top_n_sigma,
        "xtc_probability": lambda x: samplers.xtc(x),
        "xtc_threshold": lambda x: samplers.xtc(0.5, x),
        "dynamic_range": lambda x: samplers.dynamic_temperature(1.0, x),
        "dynamic_exponent": lambda x: samplers.dynamic_temperature(1.0, 0.5, x),
        "repeat": lambda x: samplers.penalties(repeat=x),
        "frequency": lambda x: samplers.penalties(frequency=x),
        "presence": lambda x: samplers.penalties(presence=x),
        "dry_multiplier": lambda x: samplers.dry(multiplier=x),
        "dry_base": lambda x: samplers.dry(base=x),
    }
    for name, stage in stages.items():
        for value in (NAN, math.inf, -math.inf):
            yield f"sampler_{name}_{value}", BadCall(lambda b, s=stage, v=value: b.sample(s(v), select), invalid)
    last: dict[str, Callable[[float], inllama.SamplerStage]] = {
        "mirostat_tau": lambda x: samplers.mirostat(tau=x),
        "mirostat_eta": lambda x: samplers.mirostat(eta=x),
        "mirostat_v2_tau": lambda x: samplers.mirostat_v2(tau=x),
        "adaptive_target": lambda x: samplers.adaptive_p(x),
        "adaptive_decay": lambda x: samplers.adaptive_p(0.5, x),
    }
    for name, stage in last.items():
        yield f"sampler_{name}_nan", BadCall(lambda b, s=stage: b.sample(s(NAN)), invalid)
    for value in (-1, BEYOND):
        yield f"sampler_top_k_{value}", BadCall(lambda b, v=value: b.sample(samplers.top_k(v), select), wrong)
        yield f"sampler_last_n_{value}", BadCall(lambda b, v=value: b.sample(samplers.penalties(v), select), wrong)
        yield f"sampler_seed_{value}", BadCall(lambda b, v=value: b.sample(samplers.dist(v)), wrong)
    yield "sampler_seed_2_40", BadCall(lambda b: b.sample(samplers.dist(HUGE)), invalid)
    yield "sampler_last_n_2_40", BadCall(lambda b: b.sample(samplers.penalties(HUGE), select), invalid)
    yield "sampler_min_keep", BadCall(lambda b: b.sample(samplers.top_p(0.5, -1), select), invalid)
    for token in (-1, 2048, 2**31 - 1):
        bias = BadCall(lambda b, t=token: b.sample(samplers.logit_bias({t: 1.0}), select), invalid, ("token",))
        yield f"sampler_bias_token_{token}", bias
        yield f"accept_{token}", BadCall(lambda b, t=token: b.sampler.accept(t), invalid, ("token",))
        yield f"accept_prompt_{token}", BadCall(lambda b, t=token: b.sampler.accept_prompt([t]), invalid, ("token",))
    yield "sampler_bias_nan", BadCall(lambda b: b.sample(samplers.logit_bias({1: NAN}), select), invalid)
    yield "sampler_bias_infinite", BadCall(lambda b: b.sample(samplers.logit_bias({1: math.inf}), select), invalid)
    yield "sampler_empty", BadCall(lambda b: Sampler(b.model, []), invalid)
    yield "sampler_without_choice", BadCall(lambda b: Sampler(b.model, [samplers.top_k(1)]), invalid)
    yield "sampler_two_choices", BadCall(lambda b: Sampler(b.model, [select, samplers.dist(1)]), invalid)
    yield "sampler_choice_first", BadCall(lambda b: Sampler(b.model, [select, samplers.top_k(1)]), invalid)
    yield "sampler_stage_number", BadCall(lambda b: Sampler(b.model, [1]), TypeError)  # type: ignore[list-item]
    yield "sample_row", BadCall(lambda b: b.sampler.sample(b.context, 99), invalid)
    yield "sample_before_decode", BadCall(lambda b: b.sampler.sample(Context(b.model, n_ctx=256)), invalid)
    numbers = np.zeros(2048, np.float32)
    yield "sample_logits_short", BadCall(lambda b: b.sampler.sample_logits(numbers[:9]), invalid)
    yield "sample_logits_empty", BadCall(lambda b: b.sampler.sample_logits(numbers[:0]), invalid)
    nans = np.full(2048, NAN, np.float32)
    yield "sample_logits_nan", BadCall(lambda b: b.sampler.sample_logits(nans), (DecodeError, InvalidRequestError))
    double = numbers.astype(np.complex64)
    yield "sample_logits_complex", BadCall(lambda b: b.sampler.sample_logits(double), wrong)  # type: ignore[arg-type]
    yield "sample_logits_2d", BadCall(lambda b: b.sampler.sample_logits(numbers.reshape(2, 1024)), wrong)
    yield "sampler_dry_breaker", BadCall(lambda b: b.sample(samplers.dry(sequence_breakers=[SURROGATE]), select), wrong)


# Grammar to the line and column (in characters, from 1) of what is wrong.
GRAMMARS: dict[str, tuple[str, int, int]] = {
    "empty": ("", 1, 1),
    "no_root": ('x ::= "a"', 1, 1),
    "no_definition": ("root", 1, 5),
    "literal_without_end": ('root ::= "a', 1, 10),
    "undefined_rule": ("root ::= nothing", 1, 10),
    "undefined_rule_below": ('root ::= "a" x\nx ::= "ä" y', 2, 11),
    "group_without_end": ('root ::= "a"\nb ::= (', 2, 7),
    "class_without_end": ("root ::= [a", 1, 10),
    "unknown_escape": (r'root ::= "\q"', 1, 11),
    "short_escape": (r'root ::= "\u12"', 1, 11),
    "repetition_of_nothing": ("root ::= *", 1, 10),
    "repetition_backwards": ('root ::= "a"{3,1}', 1, 13),
    "repetition_too_long": ('root ::= "a"{100000}', 1, 13),
    "repetition_without_end": ('root ::= "a"{1', 1, 15),
    "left_recursion": ('root ::= root "a"', 1, 1),
    "hidden_left_recursion": ("root ::= a\na ::= b\nb ::= a", 2, 1),
    "stray_character": ('root ::= "a"\r\n  b ::= %', 2, 9),
    "after_wide_characters": ('root ::= "äöü😀" $', 1, 17),
    "nul": ('root ::= "\0"', 1, 11),
    "deep": ("root ::= " + "(" * 10_000, 1, 266),
}


def grammar_calls() -> Iterator[tuple[str, BadCall]]:
    fields = ("line", "column")
    for name, (text, line, column) in GRAMMARS.items():
        place = f"line {line}, column {column}"
        stage = BadCall(lambda b, t=text: b.sample(samplers.grammar(t), samplers.greedy()), GrammarError, fields, place)
        yield f"grammar_{name}", stage
        bad = BadCall(lambda b, t=text: b.llm.generate("x", grammar=t, max_tokens=4), GrammarError, fields, place)
        yield f"llm_grammar_{name}", bad
    yield (
        "grammar_token_id",
        BadCall(lambda b: b.llm.generate("x", grammar="root ::= <[99999]>", max_tokens=4), GrammarError, fields),
    )
    yield (
        "grammar_token_name",
        BadCall(lambda b: b.llm.generate("x", grammar="root ::= <nosuchtoken>", max_tokens=4), GrammarError, fields),
    )
    surrogate = f'root ::= "{SURROGATE}"'
    yield "grammar_surrogate", BadCall(lambda b: samplers.grammar(surrogate), InvalidRequestError)
    yield "llm_grammar_surrogate", BadCall(lambda b: b.llm.generate("x", grammar=surrogate), InvalidRequestError)
    lazy = BadCall(
        lambda b: b.sample(samplers.lazy_grammar('root ::= "a"', trigger_patterns=["("]), samplers.greedy()),
        InvalidRequestError,
    )
    yield "lazy_grammar_pattern", lazy
    trigger = BadCall(
        lambda b: b.sample(samplers.lazy_grammar('root ::= "a"', trigger_tokens=[HUGE]), samplers.greedy()),
        (InvalidRequestError, TypeError),
    )
    yield "lazy_grammar_token", trigger
    wrong = BadCall(forbidden_accept, GrammarError)
    yield "grammar_forbids_accept", wrong


def forbidden_accept(bench: Bench) -> object:
    sampler = Sampler(bench.model, [samplers.grammar('root ::= "a"'), samplers.greedy()])
    return sampler.accept(int(bench.model.tokenizer.encode("zebra", add_special=False)[0]))


# ------------------------------------------------------------------------------------------------------ tokenizer


def tokenizer_calls() -> Iterator[tuple[str, BadCall]]:
    invalid, wrong = InvalidRequestError, (InvalidRequestError, TypeError)
    for text in (SURROGATE, "\udc80", "\udfff" * 100):
        bad = BadCall(lambda b, t=text: b.model.tokenizer.encode(t), invalid, ("character",), "surrogate")
        yield f"encode_{text[:3]!a}", bad
        batch = BadCall(lambda b, t=text: b.model.tokenizer.encode_batch(["fine", t]), invalid, (), "surrogate")
        yield f"encode_batch_{text[:3]!a}", batch
    for value in (None, 7, b"bytes", ["text"]):
        yield f"encode_{value!r}", BadCall(lambda b, v=value: b.model.tokenizer.encode(v), TypeError)
    yield "encode_batch_none", BadCall(lambda b: b.model.tokenizer.encode_batch(None), TypeError)  # type: ignore[arg-type]
    yield "encode_batch_number", BadCall(lambda b: b.model.tokenizer.encode_batch(["a", 1]), TypeError)  # type: ignore[list-item]
    for token in (-1, 2048, 2**31 - 1, -(2**31)):
        calls: dict[str, Callable[[inllama.Tokenizer, int], object]] = {
            "decode": lambda t, i: t.decode([i]),
            "decode_bytes": lambda t, i: t.decode_bytes([1, i]),
            "decode_array": lambda t, i: t.decode(np.array([i], np.int64)),
            "piece": lambda t, i: t.piece(i),
            "push": lambda t, i: t.decoder().push(i),
            "token_text": lambda t, i: t.token_text(i),
            "score": lambda t, i: t.score(i),
            "is_end": lambda t, i: t.is_end(i),
            "is_control": lambda t, i: t.is_control(i),
        }
        for name, call in calls.items():
            bad = BadCall(lambda b, c=call, i=token: c(b.model.tokenizer, i), invalid, ("token", "n_vocab"), str(token))
            yield f"{name}_{token}", bad
    for token in (HUGE, BEYOND, 1.5, "a", None):
        yield f"piece_{token}", BadCall(lambda b, i=token: b.model.tokenizer.piece(i), wrong)
        yield f"decode_{token}", BadCall(lambda b, i=token: b.model.tokenizer.decode([i]), wrong)
    yield "tokenizer_of_closed_model", BadCall(lambda b: closed_model().tokenizer, InllamaError)


# ------------------------------------------------------------------------------------------------------- requests


def request_calls() -> Iterator[tuple[str, BadCall]]:
    def ask(prompt: Any = "x", **options: Any) -> Callable[[Bench], object]:
        return lambda b: b.llm.generate(prompt, **options)

    invalid, wrong = InvalidRequestError, (InvalidRequestError, TypeError)
    numbers = ("temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "dry_base", "timeout_s", "mirostat_tau")
    for name in numbers:
        for value in (NAN, math.inf, -1.0):
            yield f"{name}_{value}", BadCall(ask(**{name: value}), invalid, ("option", "value"), name)
    whole = {
        "top_k": -1,
        "max_tokens": 0,
        "n": 0,
        "seed": -1,
        "penalty_last_n": -1,
        "mirostat": 3,
        "dry_allowed_length": -1,
    }
    for name, number in whole.items():
        yield f"{name}_{number}", BadCall(ask(**{name: number}), invalid, ("option", "value"), name)
    for name in ("top_k", "max_tokens", "seed", "n", "temperature"):
        for other in (True, "1", [1]):
            yield f"{name}_{other!r}", BadCall(ask(**{name: other}), TypeError, (), name)
    for value in (HUGE, BEYOND):
        yield f"top_k_{value}", BadCall(ask(top_k=value, max_tokens=1), wrong)
        yield f"seed_{value}", BadCall(ask(seed=value), invalid, ("option", "value"))
    yield "temperature_1e39", BadCall(ask(temperature=1e39, max_tokens=1), invalid, ("option", "value"))
    yield "unknown_option", BadCall(ask(temprature=1), TypeError, (), "did you mean 'temperature'")
    yield "params_dictionary", BadCall(lambda b: b.llm.generate("x", {"temperature": 1}), TypeError)  # type: ignore[call-overload]
    yield "on_error_word", BadCall(ask(on_error="ignore"), wrong)
    for prompt in (None, 7, b"bytes", 1.5, {"a": 1}):
        yield f"prompt_{prompt!r}", BadCall(ask(prompt), TypeError)
    for prompt in ([1, "a"], [1, 1.5], [1, True], [True], [1, None]):
        yield f"prompt_{prompt!r}", BadCall(ask(prompt), wrong)
    yield "stream_of_a_list", BadCall(lambda b: b.llm.stream(["a", "b"]), wrong)  # type: ignore[list-item]
    for token in (-1, 2048, 2**31, HUGE, BEYOND):
        yield f"prompt_token_{token}", BadCall(ask([1, token]), invalid, ("token",), str(token))
        yield f"prompt_array_{token}", BadCall(ask(np.array([1, token], object)), invalid, ("token",), str(token))
        yield f"stop_token_{token}", BadCall(ask(stop_token_ids=[token]), wrong)
        yield f"bias_token_{token}", BadCall(ask(logit_bias={token: 1.0}), wrong)
    yield "prompt_surrogate", BadCall(ask(SURROGATE), invalid, ("character",), "surrogate")
    yield "stop_surrogate", BadCall(ask(stop=SURROGATE), invalid)
    yield "breaker_surrogate", BadCall(ask(dry_multiplier=1.0, dry_sequence_breakers=[SURROGATE]), invalid)
    yield "stop_empty", BadCall(ask(stop=""), invalid, ("option",))
    yield "stop_number", BadCall(ask(stop=[1]), TypeError)
    yield "bias_nan", BadCall(ask(logit_bias={1: NAN}), invalid)
    yield "bias_infinite", BadCall(ask(logit_bias={1: math.inf}, max_tokens=1), invalid)
    yield "bias_text", BadCall(ask(logit_bias={"1": 1.0}), TypeError)
    yield "bias_bans_all", BadCall(ask(logit_bias=dict.fromkeys(range(2048), -math.inf), max_tokens=1), InllamaError)
    fields = ("n_prompt", "n_ctx")
    yield "prompt_too_long", BadCall(ask("long " * 3000), ContextFullError, fields)
    yield "prompt_tokens_too_long", BadCall(ask([1] * 100_000), ContextFullError, fields)
    yield "prompt_fills_context", BadCall(ask([1] * 2048), ContextFullError, fields, "2048")
    yield (
        "list_with_long_prompt",
        BadCall(ask(["x", "long " * 3000], max_tokens=1), ContextFullError, (*fields, "index")),
    )
    yield "request_id_number", BadCall(ask(request_id=7), TypeError)
    yield "sampling_params_nan", BadCall(lambda b: SamplingParams(temperature=NAN), invalid, ("option", "value"))
    yield "closed_llm", BadCall(use_closed_llm, inllama.EngineClosedError)


def use_closed_llm(bench: Bench) -> object:
    llm = LLM(bench.model)
    llm.close()
    return llm.generate("x")


CALLS: dict[str, BadCall] = {}
for _calls in (
    file_calls,
    loading_calls,
    context_calls,
    batch_calls,
    memory_calls,
    sampling_calls,
    grammar_calls,
    tokenizer_calls,
    request_calls,
):
    for _name, _call in _calls():
        assert _name not in CALLS, f"two calls are named {_name}"
        CALLS[_name] = _call


def problem_of(bad: BadCall, bench: Bench) -> str:
    """Make the call and return what is wrong with its outcome; empty if nothing is."""
    try:
        result = bad.call(bench)
    except Exception as error:
        if not isinstance(error, bad.error):
            return f"raised {type(error).__name__}: {error}"
        text = str(error)
        if not text or bad.text not in text:
            return f"says {text!r} without {bad.text!r}"
        missing = [name for name in bad.fields if not hasattr(error, name)]
        return f"lacks the fields {missing}: {text}" if missing else ""
    return f"returned {result!r:.200}"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bad"))


# A FIFO that is opened would never return: only in a child process, which has a time limit.
@pytest.mark.parametrize("name", [name for name in CALLS if not name.endswith("_fifo")])
def test_bad_call_raises_its_typed_error(bench: Bench, name: str) -> None:
    assert problem_of(CALLS[name], bench) == ""


def test_objects_work_after_all_bad_calls(bench: Bench) -> None:
    fresh = LLM(n_threads=1).generate("Once upon a time", temperature=0, max_tokens=8)
    assert bench.next_tokens() == fresh.token_ids
    assert bench.context.memory.pos_max(0) == 2
    bench.context.decode(Batch([4]))
    assert np.isfinite(bench.context.logits()).all()
    assert 0 <= bench.sampler.sample(bench.context) < bench.n_vocab


def test_all_bad_calls_leave_stderr_empty(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__, str(tmp_path)],
        capture_output=True,
        timeout=120,
        check=False,
        env=os.environ | {"INLLAMA_LEAK_WARNINGS": "1"},
    )
    assert child.stderr == b""
    assert child.stdout.decode().splitlines()[-1:] == [f"{len(CALLS)} calls, 0 problems"], child.stdout.decode()
    assert child.returncode == 0


def test_fifo_is_refused_without_opening_it(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, __file__, str(tmp_path), "model_fifo", "adapter_fifo"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.stdout.endswith("2 calls, 0 problems\n")
    assert child.returncode == 0


def test_load_error_is_an_oserror_with_path_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "nothing.gguf"
    with pytest.raises(OSError, match="there is no such file") as caught:
        Model(path)
    assert isinstance(caught.value, ModelLoadError)
    assert caught.value.path == str(path)
    assert caught.value.reason == "there is no such file"


def test_unreadable_file_is_refused() -> None:
    # Root can read every file, so the child gives that up; the folders of pytest are closed to others.
    code = """
import os, sys
from inllama import Model, ModelLoadError
if os.geteuid() == 0:
    os.setuid(65534)
try:
    Model(sys.argv[1])
except ModelLoadError as error:
    print(error.reason)
"""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "secret.gguf"
        path.write_bytes(DEMO.read_bytes())
        path.chmod(0)
        child = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "permission" in child.stdout
    assert child.stderr == ""


def test_too_long_prompt_names_the_numbers(bench: Bench) -> None:
    with pytest.raises(ContextFullError) as caught:
        bench.llm.generate([1] * 2700)
    assert (caught.value.n_prompt, caught.value.n_ctx) == (2700, 2048)
    assert "2700" in str(caught.value)
    assert "2048" in str(caught.value)


@pytest.mark.parametrize("name", GRAMMARS)
def test_grammar_error_says_line_and_column(bench: Bench, name: str) -> None:
    text, line, column = GRAMMARS[name]
    with pytest.raises(GrammarError) as caught:
        Sampler(bench.model, [samplers.grammar(text), samplers.greedy()])
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize("text", ["\0", "a\0b", "Once\0upon\0a time", "\0" * 100])
def test_nul_in_text_is_an_ordinary_character(bench: Bench, text: str) -> None:
    tokenizer = bench.model.tokenizer
    tokens = tokenizer.encode(text, add_special=False)
    assert tokenizer.decode(tokens) == text
    result = bench.llm.generate(text, max_tokens=2, ignore_eos=True, stop=[text + "\0"])
    assert result.usage.completion_tokens == 2


# ------------------------------------------------------------------------------------------------ truncated models


def cut_points() -> list[int]:
    """Lengths at which the demo model is cut: everywhere in the first entries, and all over the rest."""
    reader = gguf.GGUFReader(DEMO)
    data = reader.data_offset
    ends = [int(tensor.data_offset + tensor.n_bytes) for tensor in reader.tensors]
    generator = random.Random(7)
    points = set(range(1, 160))
    points.update(int(field.offset) for field in reader.fields.values())
    points.update(int(field.offset) + 9 for field in reader.fields.values())
    points.update(int(tensor.field.offset) for tensor in reader.tensors)
    points.update(generator.sample(range(160, data), 200))
    points.update({data - 1, data, data + 1})
    points.update(int(tensor.data_offset) for tensor in reader.tensors)
    points.update(end - 1 for end in ends)
    points.update(generator.sample(range(data, max(ends)), 20))
    return sorted(point for point in points if 0 < point < max(ends))


def test_model_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = DEMO.read_bytes()
    path = tmp_path / "cut.gguf"
    for length in cut_points():
        path.write_bytes(content[:length])
        with pytest.raises(ModelLoadError) as caught:
            Model(path)
        assert caught.value.path == str(path), length
        assert caught.value.reason, length
        assert caught.value.reason in str(caught.value), length


@pytest.mark.parametrize("mode", ["none", "mmap", "direct_io"])
def test_model_cut_in_its_weights_is_refused_in_every_load_mode(tmp_path: Path, mode: str) -> None:
    content = DEMO.read_bytes()
    path = tmp_path / "cut.gguf"
    for part in (0.1, 0.5, 0.99):
        path.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(ModelLoadError, match="could not load"):
            Model(path, load_mode=mode)


def main() -> int:
    """Make the named bad calls, or all; print those whose outcome is wrong."""
    folder, *names = sys.argv[1:]
    bench = Bench(Path(folder))
    before = bench.next_tokens()
    n_problems = 0
    for name in names or CALLS:
        problem = problem_of(CALLS[name], bench)
        if problem:
            n_problems += 1
            print(f"{name} {problem}")
    if not names:
        content = DEMO.read_bytes()
        with tempfile.TemporaryDirectory() as place:
            cut_file = Path(place) / "cut.gguf"
            for length in cut_points()[::10]:
                cut_file.write_bytes(content[:length])
                bad = BadCall(lambda b: Model(cut_file), ModelLoadError, ("path", "reason"))
                problem = problem_of(bad, bench)
                if problem:
                    n_problems += 1
                    print(f"cut_{length} {problem}")
    if bench.next_tokens() != before:
        n_problems += 1
        print("the model gives other tokens than before")
    print(f"{len(names or CALLS)} calls, {n_problems} problems")
    return 0


if __name__ == "__main__":
    sys.exit(main())
