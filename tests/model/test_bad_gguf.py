"""Damaged and hostile files, loaded in child processes within limits: refused, or loaded and computed with.

These are samples of what ``make fuzz-gguf`` does in full; docs/reliability.md has its figures.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tiny_models as tiny

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import fuzz_gguf
from gguf_fuzz.layout import TEXT, Entry, GgufFile, Tensor, take_apart
from gguf_fuzz.parent import Loader, Outcome

from inllama import Adapter, Batch, Context, Model, ModelLoadError

N_SAMPLE = 40
MOST_BYTES = 64 << 20
MOST_SECONDS = 5.0


@pytest.fixture(scope="module")
def loader() -> Iterator[Loader]:
    with Loader(fuzz_gguf.SOUND) as made:
        yield made


def assert_harmless(name: str, outcome: Outcome) -> None:
    assert not outcome.is_fault, f"{name}: {outcome}"
    assert outcome.seconds < MOST_SECONDS, name
    assert outcome.n_bytes < MOST_BYTES, name


def sampled_ways() -> Iterator[Any]:
    for model in ("llama", "gpt2", "moe", "mamba", "lora_demo"):
        for way in fuzz_gguf.ways(fuzz_gguf.sound(model), 1, 10):
            yield pytest.param(model, way, id=f"{model}-{way}")


@pytest.mark.parametrize(("model", "way"), list(sampled_ways()))
def test_no_damaged_file_does_harm(loader: Loader, model: str, way: str) -> None:
    base = fuzz_gguf.ADAPTERS.get(model)
    changes = fuzz_gguf.sample(fuzz_gguf.ways(fuzz_gguf.sound(model), 7, N_SAMPLE, N_SAMPLE)[way], N_SAMPLE, 11)
    assert len(changes) > 10
    for name, content in changes:
        assert_harmless(name, loader.load(content, base))


@pytest.mark.parametrize("model", fuzz_gguf.ALL)
def test_a_sound_file_is_written_as_it_was_read_and_loads(loader: Loader, model: str) -> None:
    content = fuzz_gguf.sound(model)
    file, fields = take_apart(content)
    assert file.to_bytes() == content
    assert len(fields) > 50
    outcome = loader.load(content, fuzz_gguf.ADAPTERS.get(model))
    assert outcome.kind == "loaded", outcome


def test_a_child_that_dies_or_hangs_is_noticed(loader: Loader, tmp_path: Path) -> None:
    # Otherwise all of these tests would pass over anything.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with Loader(fuzz_gguf.SOUND, limit_s=0.5) as other:
        assert other.load(fuzz_gguf.SOUND.read_bytes()).kind == "loaded"
        assert other._process is not None
        os.kill(other._process.pid, 6)
        dead = other.load(b"")
        assert (dead.kind, dead.is_fault) == ("crashed", True)
        assert "SIGABRT" in dead.text
        assert other.load(fuzz_gguf.SOUND.read_bytes()).kind == "loaded"
        assert other.n_started == 2


# ------------------------------------------------------------------------------------------------ one for each fault


def llama() -> GgufFile:
    return take_apart(tiny.path_of("llama").read_bytes())[0]


def with_entry(file: GgufFile, *entries: Entry) -> GgufFile:
    keys = {entry.key for entry in entries}
    return replace(file, entries=(*(entry for entry in file.entries if entry.key not in keys), *entries))


def value_of(file: GgufFile, key: str) -> Entry:
    return next(entry for entry in file.entries if entry.key == key)


def with_tokens(change: dict[int, str]) -> GgufFile:
    file = llama()
    tokens = value_of(file, "tokenizer.ggml.tokens")
    values = [change.get(i, text) for i, text in enumerate(tokens.values)]
    return with_entry(file, replace(tokens, values=tuple(values)))


def with_tensor(name: str, **changes: Any) -> GgufFile:
    file = llama()
    return replace(file, tensors=tuple(t.resized(**changes) if t.name == name else t for t in file.tensors))


def u32(key: str, value: int) -> GgufFile:
    return with_entry(llama(), Entry(key, 4, (value,)))


def with_field(what: str, value: int) -> bytes:
    """Return the llama with an integer of its header replaced."""
    content = bytearray(tiny.path_of("llama").read_bytes())
    _, fields = take_apart(bytes(content))
    field = next(field for field in fields if field.what == what)
    content[field.offset : field.offset + field.n_bytes] = value.to_bytes(field.n_bytes, "little")
    return bytes(content)


# A report to a file that is like what it describes, and the words that must be in the answer.
REPORTS: dict[str, tuple[GgufFile | bytes, str]] = {
    "CVE-2024-21802 and others: counts": (b"GGUF\x03\0\0\0" + b"\xff" * 16 + bytes(64), "tensors"),
    "CVE-2024-23496: a length": (
        b"GGUF\x03\0\0\0" + bytes(8) + (1).to_bytes(8, "little") + b"\xff" * 8 + bytes(64), "at most 65535"),
    "CVE-2024-32878: the file ends": (llama().to_bytes()[:700], "get it again"),
    "CVE-2025-53630: memory of tensors": (
        b"GGUF\x03\0\0\0" + (2**60).to_bytes(8, "little") + bytes(72), "at most 131072"),
    "CVE-2026-33298, -27940: a size of 64 bits": (
        with_field("dimension of token_embd.weight", 2**62), "passes 6"),
    "alignment without a bound": (u32("general.alignment", 2**31), "power of two"),
    "alignment 0": (u32("general.alignment", 0), "power of two"),
    "CVE-2025-49847: a giant token": (with_tokens({300: "b" * 2**20}), "at most 65536"),
    "scores of one byte": (with_entry(llama(), Entry("tokenizer.ggml.scores", 1, (0,) * tiny.N_VOCAB, True)), "f32"),
    "types of one byte": (
        with_entry(llama(), Entry("tokenizer.ggml.token_type", 1, (1,) * tiny.N_VOCAB, True)), "it must be i32"),
    "fewer scores than tokens": (
        with_entry(llama(), Entry("tokenizer.ggml.scores", 6, (0.0,) * 3, True)), "there are 320 tokens"),
    "byte token <0x-1>": (with_tokens({10: "<0x-1>"}), "must be like <0x0A>"),
    "byte token <0xZZ>": (with_tokens({10: "<0xZZ>"}), "must be like <0x0A>"),
    "the same token twice": (with_tokens({300: "same", 301: "same"}), "the same text twice"),
    "block_count 513": (u32("llama.block_count", 513), "from 1 to 512"),
    "block_count 2**31": (u32("llama.block_count", 2**31), "from 1 to 512"),
    "no heads": (u32("llama.attention.head_count", 0), "at least 1"),
    "heads that do not divide": (u32("llama.attention.head_count_kv", 3), "does not divide"),
    "no rotated dimensions that fit": (u32("llama.rope.dimension_count", 34), "at most a head's width"),
    "a negative epsilon": (
        with_entry(llama(), Entry("llama.attention.layer_norm_rms_epsilon", 6, (-1.0,))), "from 0 to 1"),
    "an unknown rope scaling": (
        with_entry(llama(), Entry("llama.rope.scaling.type", TEXT, ("x",))), "must be one of none"),
    "experts in use that are none": (u32("llama.expert_used_count", 2), "none can be used"),
    "a table of integers": (with_tensor("token_embd.weight", type=26), "a type of weights"),
    "a norm in f16": (with_tensor("output_norm.weight", type=1), "must be f32"),
    "a removed type": (replace(llama(), tensors=(replace(llama().tensors[0], type=31),)), "no longer reads"),
    "an architecture that does not exist": (
        with_entry(llama(), Entry("general.architecture", TEXT, ("frobnicator",))), "frobnicator"),
    "no tensors": (replace(llama(), tensors=()), "token_embd.weight"),
    "a projector": (tiny.path_of("mmproj").read_bytes(), "CLIP"),
    "invalid UTF-8": (with_entry(llama(), Entry("general.name", TEXT, (b"\xff\xfe",))), "not UTF-8"),
    "tensors that overlap": (with_field("offset of output.weight", 0), "overlaps the one before it"),
    "tensors in no order": (with_field("offset of token_embd.weight", 2**20), "leaves a gap"),
    "more dimensions than four": (with_field("dimensions of output_norm.weight", 5), "at most 4"),
    "version 1": (with_field("version", 1), "no longer read"),
    "big-endian": (with_field("version", 3 << 24), "byte order"),
}  # fmt: skip


@pytest.mark.parametrize("report", REPORTS)
def test_files_like_those_of_known_faults_are_refused(loader: Loader, report: str) -> None:
    file, words = REPORTS[report]
    content = file if isinstance(file, bytes) else _bytes_of(file)
    outcome = loader.load(content)
    assert_harmless(report, outcome)
    assert outcome.kind == "refused", outcome
    assert words in outcome.text


def _bytes_of(file: GgufFile) -> bytes:
    alignment = next((int(entry.values[0]) for entry in file.entries if entry.key == "general.alignment"), 32)
    return replace(file, alignment=alignment if 0 < alignment <= 4096 else 32).to_bytes()


def test_a_model_cut_anywhere_is_refused(loader: Loader) -> None:
    content = tiny.path_of("llama").read_bytes()
    for n in range(0, len(content), len(content) // 60):
        outcome = loader.load(content[:n])
        assert_harmless(f"first {n} bytes", outcome)
        assert outcome.kind == "refused", n


def test_an_error_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(u32("llama.block_count", 513).to_bytes())
    with pytest.raises(ModelLoadError) as raised:
        Model(path)
    assert raised.value.path == str(path)
    assert raised.value.where == "entry llama.block_count"
    assert raised.value.reason == "entry llama.block_count is 513; it must be from 1 to 512"
    assert str(raised.value) == f"could not load {path}: {raised.value.reason}"


# ----------------------------------------------------------------------------------------------------- several files


def parts(folder: Path, n: int = 3) -> list[Path]:
    """Write the llama in ``n`` files, as llama.cpp's own tool does."""
    file = llama()
    paths = [folder / f"model-{i + 1:05d}-of-{n:05d}.gguf" for i in range(n)]
    for i, path in enumerate(paths):
        entries = file.entries if i == 0 else ()
        split = [Entry("split.no", 2, (i,)), Entry("split.count", 2, (n,))]
        split.append(Entry("split.tensors.count", 5, (len(file.tensors),)))
        tensors: tuple[Tensor, ...] = file.tensors[i::n]
        path.write_bytes(replace(file, entries=(*entries, *split), tensors=tensors).to_bytes())
    return paths


def test_a_model_in_several_files_is_read_strictly_too(tmp_path: Path) -> None:
    paths = parts(tmp_path)
    with Model(paths[0]) as model:
        tiny.assert_decodes(Context(model, **tiny.SMALL))
    sound = paths[2].read_bytes()
    for content, words in (
        (sound[:-64], "incomplete"),
        (sound[:100], "get it again"),
        (b"", "it is empty"),
        (paths[1].read_bytes(), "split.no must be 2"),
    ):
        paths[2].write_bytes(content)
        with pytest.raises(ModelLoadError, match=words) as raised:
            Model(paths[0])
        assert raised.value.path == str(paths[2])
    paths[2].unlink()
    with pytest.raises(ModelLoadError, match="no such file"):
        Model(paths[0])
    paths[2].write_bytes(sound)
    with Model(paths[0]) as model:
        tiny.assert_decodes(Context(model, **tiny.SMALL))


# --------------------------------------------------------------------------------------------- while it is loaded


@pytest.mark.parametrize("change", ["longer", "touched", "replaced"])
def test_a_file_that_changes_while_it_is_loaded_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "model.gguf"
    content = tiny.path_of("llama").read_bytes()
    path.write_bytes(content)
    done: list[str] = []

    def interfere(progress: float) -> None:
        if done:
            return
        done.append(change)
        if change == "longer":
            with path.open("ab") as file:
                file.write(bytes(32))
        elif change == "touched":
            os.utime(path, ns=(1, 1))
        else:
            other = tmp_path / "other.gguf"
            other.write_bytes(content)
            other.rename(path)

    with pytest.raises(ModelLoadError, match="was changed while it was loaded"):
        Model(path, progress=interfere)
    assert done
    with Model(path) as model:
        tiny.assert_decodes(Context(model, **tiny.SMALL))


def test_an_adapter_with_a_sound_header_works(llama: Model, tmp_path: Path) -> None:
    half = np.ones((4, tiny.N_EMBD), np.float32)
    path = tiny.lora(tmp_path / "lora.gguf", a=half, b=half.T.copy())
    context = Context(llama, **tiny.SMALL)
    context.set_adapters({Adapter(llama, path): 1.0})
    context.decode(Batch([3]))
    assert gguf.GGUFReader(path).tensors
