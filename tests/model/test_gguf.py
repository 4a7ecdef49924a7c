"""``inllama.gguf`` and ``inllama inspect``: what a file says of itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import gguf as reference
import numpy as np
import pytest
import tiny_models as tiny

from inllama import InvalidRequestError, Model, ModelLoadError, _core, gguf
from inllama.cli import main
from inllama.model import demo_path

FILES = [demo_path(), *(tiny.path_of(name) for name in (*tiny.MODELS, *tiny.ADAPTERS))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_says_what_the_gguf_package_reads(path: Path) -> None:
    file, expected = gguf.read(path), reference.GGUFReader(path)
    assert file.path == str(path)
    assert file.n_bytes == path.stat().st_size
    fields = {key: field for key, field in expected.fields.items() if not key.startswith("GGUF.")}
    assert list(file.metadata) == list(fields)
    for key, field in fields.items():
        found, contents = file.metadata[key], field.contents()
        if isinstance(found, np.ndarray):
            np.testing.assert_array_equal(found, contents)
        else:
            assert found == (tuple(contents) if isinstance(contents, list) else contents), key
    for tensor, other in zip(file.tensors, expected.tensors, strict=True):
        assert (tensor.name, tensor.type) == (other.name, _core.tensor_types(True)[other.tensor_type][1])
        assert tensor.shape == tuple(int(n) for n in other.shape[::-1])
        assert (tensor.n_elements, tensor.n_bytes) == (other.n_elements, other.n_bytes)
        assert tensor.offset == other.data_offset
        if tensor.type in ("f32", "f16"):
            np.testing.assert_array_equal(file.array(tensor), other.data)


def test_a_file_says_what_the_loaded_model_says() -> None:
    file = gguf.read(demo_path())
    with Model(demo_path()) as model:
        assert file.architecture == model.architecture
        assert file.n_params == model.n_params
        assert file.context_length == model.n_ctx_train
        assert file.embedding_length == model.n_embd
        assert file.n_layers == model.n_layer
        assert file.chat_template == model.chat_template()
        assert file.vocabulary is not None
        assert file.vocabulary.n_tokens == model.tokenizer.n_tokens
        assert file.vocabulary.special["bos"] == model.tokenizer.bos
        assert sum(file.bytes_by_type.values()) == model.size_bytes
    assert file.kind == "model"
    assert file.n_files == 1
    assert file.bits_per_weight is not None
    assert 4 < file.bits_per_weight < 33


def test_values_have_the_types_of_the_file(tmp_path: Path) -> None:
    writer = reference.GGUFWriter(tmp_path / "all.gguf", "llama")
    writer.add_uint64("large", 2**64 - 1)
    writer.add_int64("small", -(2**63))
    writer.add_float64("real", 0.1)
    writer.add_bool("flag", True)
    writer.add_string("text", "é€\0x")
    writer.add_array("texts", ["a", "", "b"])
    writer.add_array("numbers", [1, -2, 3])
    writer.add_array("reals", [0.5, float("inf")])
    writer.add_array("flags", [True, False])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    metadata = gguf.read(tmp_path / "all.gguf").metadata
    assert (metadata["large"], metadata["small"], metadata["real"]) == (2**64 - 1, -(2**63), 0.1)
    assert metadata["flag"] is True
    assert metadata["text"] == "é€\0x"
    assert metadata["texts"] == ("a", "", "b")
    numbers, flags = metadata["numbers"], metadata["flags"]
    assert isinstance(numbers, np.ndarray)
    assert isinstance(flags, np.ndarray)
    assert (numbers.dtype, flags.dtype) == (np.dtype(np.int32), np.dtype(np.bool_))
    assert numbers.tolist() == [1, -2, 3]
    assert flags.tolist() == [True, False]
    with pytest.raises(ValueError, match="read-only"):
        numbers[0] = 7
    assert metadata.type_of("texts") == "str[3]"
    assert (metadata.length_of("texts"), metadata.length_of("text")) == (3, None)
    assert "nothing" not in metadata
    with pytest.raises(KeyError):
        metadata["nothing"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_header_alone_is_enough(llama_path: Path, kind: Callable[[bytes], bytes]) -> None:
    content = llama_path.read_bytes()
    whole = gguf.read(llama_path)
    part = gguf.read(kind(content[: whole.header_bytes]))
    assert part.path is None
    assert part.tensors == whole.tensors
    assert list(part.metadata) == list(whole.metadata)
    assert part.metadata["tokenizer.ggml.tokens"] == whole.metadata["tokenizer.ggml.tokens"]
    assert part.data_bytes == whole.data_bytes


def test_a_header_that_is_cut_says_how_much_it_needs(llama_path: Path, tmp_path: Path) -> None:
    content = llama_path.read_bytes()
    n = 24
    # As a program would that asks a server for the beginning of a file.
    while n < len(content):
        try:
            gguf.read(content[:n])
            break
        except ModelLoadError as error:
            n = max(n + 1, error.n_needed)
    assert n <= gguf.read(llama_path).header_bytes
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(content[:-100])
    with pytest.raises(ModelLoadError, match="it is incomplete") as raised:
        gguf.read(cut)
    assert len(content) - 100 < raised.value.n_needed <= len(content)
    assert gguf.read(cut, header_only=True).architecture == "llama"


def test_data_that_cannot_be_an_array_is_refused(llama_path: Path) -> None:
    whole = gguf.read(llama_path.read_bytes())
    with pytest.raises(InvalidRequestError, match="from bytes"):
        whole.array(whole.tensors[0])
    blocks = gguf.Tensor("x", (1, 32), "q4_0", 32, 18, 0)
    with pytest.raises(InvalidRequestError, match="q4_0"):
        gguf.read(llama_path).array(blocks)
    beyond = gguf.Tensor("x", (8,), "f32", 8, 32, 2**40)
    with pytest.raises(ModelLoadError, match="not there"):
        gguf.read(llama_path).array(beyond)


def test_what_is_no_gguf_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="does not start with 'GGUF'") as raised:
        gguf.read(b"this is not a model")
    assert raised.value.path == "the bytes"
    with pytest.raises(ModelLoadError, match="no such file"):
        gguf.read(tmp_path / "none.gguf")
    with pytest.raises(InvalidRequestError, match="NUL"):
        gguf.read("a\0b")
    for wrong in (None, 7, ["a"]):
        with pytest.raises(TypeError):
            gguf.read(wrong)  # type: ignore[arg-type]


def test_types_of_tensors_are_those_of_ggml() -> None:
    ours, native = _core.tensor_types(False), _core.tensor_types(True)
    assert len(ours) == len(native)
    for (number, name, block, n_bytes), other in zip(ours, native, strict=True):
        if block == 0:
            assert (number, other[2], other[3]) == (other[0], 0, 0), name
        else:
            assert (number, name, block, n_bytes) == other
    for kind, (block, n_bytes) in reference.GGML_QUANT_SIZES.items():
        assert ours[kind][1].lower() == kind.name.lower()
        if kind != reference.GGMLQuantizationType.Q8_1:  # the package has its size before it was changed
            assert ours[kind] == (int(kind), ours[kind][1], block, n_bytes)


def test_reading_a_large_file_reads_its_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "large.gguf"
    file = gguf.read(demo_path())
    with path.open("wb") as target:
        writer = demo_path().read_bytes()[: file.header_bytes]
        target.write(writer)
        target.truncate(1 << 30)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        gguf.read(path)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05


# -------------------------------------------------------------------------------------------------------- inspect


def test_inspect_shows_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "demo"]) == 0
    text = capsys.readouterr().out
    for part in ("architecture    llama", "context length", "types by bytes", "tokenizer.ggml.tokens", "2,048 values"):
        assert part in text, part
    assert "blk.0.attn_q.weight" not in text
    assert main(["inspect", str(demo_path()), "--tensors"]) == 0
    assert "blk.0.attn_q.weight" in capsys.readouterr().out


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_inspect_writes_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(path), "--json", "--tensors"]) == 0
    found = json.loads(capsys.readouterr().out)
    file = gguf.read(path)
    assert found["architecture"] == file.architecture
    assert found["n_params"] == file.n_params
    assert len(found["tensors"]) == found["n_tensors"] == len(file.tensors)
    assert set(found["metadata"]) == set(file.metadata)


def test_inspect_of_no_file_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "none.gguf")]) == 1
    assert "there is no such file" in capsys.readouterr().err


def test_inspect_shows_nothing_that_a_terminal_obeys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny.llama(tmp_path / "odd.gguf", metadata={"general.name": "a\x1b[31mred\nb", "odd": "\x07" * 3})
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\x07" not in text
