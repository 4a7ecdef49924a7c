"""Files that hold no model, and options of loading that are not possible."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from bad_calls import BEYOND, DEMO, HUGE, NAN, BadCall, Bench

from inllama import (
    LLM,
    Adapter,
    InllamaError,
    InvalidRequestError,
    Model,
    ModelLoadError,
)

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
    for text in ("hf:", "hf:owner", "hf:owner/..", "hf:a/b/../c.gguf", "hf:a/b/c.bin", "hf:a/b@../main"):
        bad = BadCall(lambda b, t=text: LLM(t), InvalidRequestError, ("reference",), "write hf:owner/repo")
        yield f"llm_of_{text}", bad
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
