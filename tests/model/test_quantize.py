"""quantize: the same bytes as llama.cpp's own tool, and nothing half-written."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tiny_models as tiny

from inllama import LLM, InvalidRequestError, ModelLoadError
from inllama.cli import main
from inllama.model import demo_path
from inllama.quantization import quantization_types, quantize

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests" / "model" / "fixtures" / "llama.gguf"
TOOL = ROOT / "build" / "bench-tools" / "bin" / "llama-quantize"


@pytest.mark.skipif(not TOOL.exists(), reason="make bench-tools makes llama-quantize")
@pytest.mark.parametrize("kind", ["Q4_K_M", "Q8_0", "Q4_0", "Q6_K", "IQ4_NL", "F16"])
def test_the_file_is_that_of_llama_cpps_own_tool(kind: str, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.gguf", tmp_path / "ours.gguf"
    subprocess.run([TOOL, "--allow-requantize", FIXTURE, theirs, kind, "2"], check=True, capture_output=True)
    quantize(FIXTURE, ours, kind, allow_requantize=True, n_threads=2)
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_quantized_model_generates(tmp_path: Path) -> None:
    made = tmp_path / "demo-q8.gguf"
    quantize(demo_path(), made, "q8_0", allow_requantize=True)
    with LLM(made) as llm:
        assert llm.generate("Once upon a time", max_tokens=8, temperature=0).usage.completion_tokens == 8
        assert llm.model.quantization.startswith("Q8_0")


def test_progress_rises_to_one_and_can_stop(tmp_path: Path) -> None:
    seen: list[float] = []
    target = tmp_path / "made.gguf"
    quantize(FIXTURE, target, "Q8_0", progress=seen.append)
    assert seen == sorted(seen)
    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    target.unlink()
    with pytest.raises(ModelLoadError) as caught:
        quantize(FIXTURE, target, "Q8_0", progress=lambda _: False)
    assert caught.value.cancelled
    with pytest.raises(ZeroDivisionError):
        quantize(FIXTURE, target, "Q8_0", progress=lambda _: 1 / 0)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_quantized_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "made.gguf"
    target.write_text("precious")
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(FIXTURE.read_bytes()[:5000])
    for source in (damaged, tmp_path, tmp_path / "none.gguf"):
        with pytest.raises(ModelLoadError):
            quantize(source, target, "Q8_0")
    with pytest.raises(ModelLoadError, match="both source and target"):
        quantize(target, target, "Q8_0")
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.gguf", "made.gguf"]


def test_impossible_options_say_what_is_possible(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="Q4_K_M"):
        quantize(FIXTURE, tmp_path / "x.gguf", "Q99")
    with pytest.raises(InvalidRequestError, match="imatrix"):
        quantize(FIXTURE, tmp_path / "x.gguf", "IQ2_XXS")
    with pytest.raises(InvalidRequestError, match="output_type"):
        quantize(FIXTURE, tmp_path / "x.gguf", "Q8_0", output_type="q99")
    assert {"Q4_K_M", "Q8_0", "F16"} <= set(quantization_types())


def test_the_command_writes_the_file_and_says_how_large_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, target = tmp_path / "copy.gguf", tmp_path / "made.gguf"
    shutil.copy(FIXTURE, copy)
    assert main(["quantize", str(copy), str(target), "Q8_0"]) == 0
    assert target.stat().st_size < copy.stat().st_size
    assert "28% of" in capsys.readouterr().out


def imatrix_file(path: Path, seed: int = 1) -> Path:
    """An importance matrix of the fixture, as llama-imatrix writes it."""
    import gguf

    reader = gguf.GGUFReader(str(FIXTURE))
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), arch="none")
    writer.add_string("general.type", "imatrix")
    writer.add_array("imatrix.datasets", ["a.txt"])
    writer.add_uint32("imatrix.chunk_count", 3)
    writer.add_uint32("imatrix.chunk_size", 512)
    for tensor in reader.tensors:
        if len(tensor.shape) == 2 and tensor.name.startswith("blk."):
            sums = random.random((1, int(tensor.shape[0]))).astype(np.float32)
            writer.add_tensor(f"{tensor.name}.in_sum2", sums)
            writer.add_tensor(f"{tensor.name}.counts", np.array([[512.0 * 3]], dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.skipif(not TOOL.exists(), reason="make bench-tools makes llama-quantize")
def test_an_importance_matrix_gives_the_same_file_too(tmp_path: Path) -> None:
    matrix = imatrix_file(tmp_path / "imatrix.gguf")
    theirs, ours = tmp_path / "theirs.gguf", tmp_path / "ours.gguf"
    subprocess.run([TOOL, "--imatrix", matrix, FIXTURE, theirs, "Q4_K_M", "2"], check=True, capture_output=True)
    quantize(FIXTURE, ours, "Q4_K_M", imatrix=matrix, n_threads=2)
    assert ours.read_bytes() == theirs.read_bytes()
    quantize(FIXTURE, tmp_path / "plain.gguf", "Q4_K_M", n_threads=2)
    assert (tmp_path / "plain.gguf").read_bytes() != ours.read_bytes()


def older_imatrix(path: Path, n_chunks: int = 3, change: dict[str, float] | None = None) -> Path:
    """The same in the form that llama-imatrix wrote before GGUF: values times calls."""
    import gguf

    random = np.random.default_rng(2)
    entries = []
    for tensor in gguf.GGUFReader(str(FIXTURE)).tensors:
        if len(tensor.shape) == 2 and tensor.name.startswith("blk."):
            values = random.random(int(tensor.shape[0])).astype("<f4") * 5
            values[0] = (change or {}).get(tensor.name, values[0])
            name = tensor.name.encode()
            entries.append(struct.pack("<i", len(name)) + name + struct.pack("<ii", 5, len(values)) + values.tobytes())
    end = struct.pack("<ii", n_chunks, 5) + b"a.txt"
    path.write_bytes(struct.pack("<i", len(entries)) + b"".join(entries) + end)
    return path


@pytest.mark.skipif(not TOOL.exists(), reason="make bench-tools makes llama-quantize")
@pytest.mark.parametrize("n_lost", [0, 5 + 4 + 4])
def test_an_importance_matrix_of_before_gives_the_same_file_too(tmp_path: Path, n_lost: int) -> None:
    matrix = older_imatrix(tmp_path / "imatrix.dat")
    matrix.write_bytes(matrix.read_bytes()[: matrix.stat().st_size - n_lost])  # the end may be missing
    theirs, ours = tmp_path / "theirs.gguf", tmp_path / "ours.gguf"
    subprocess.run([TOOL, "--imatrix", matrix, FIXTURE, theirs, "Q4_K_M", "2"], check=True, capture_output=True)
    quantize(FIXTURE, ours, "Q4_K_M", imatrix=matrix, n_threads=2)
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_damaged_importance_matrix_in_gguf_is_refused(tmp_path: Path) -> None:
    import gguf

    f32 = np.float32
    name = "blk.0.attn_q.weight"
    for arrays, words in (
        ({".in_sum2": np.ones((1, 64), f32)}, "needs both"),
        ({".counts": np.ones((1, 1), f32)}, "needs both"),
        ({".in_sum2": np.ones((1, 64), f32), ".counts": np.ones((1, 3), f32)}, "as many for each"),
        ({".in_sum2": np.ones((1, 64), np.float16), ".counts": np.ones((1, 1), f32)}, "must be f32"),
        ({".in_sum2": np.full((1, 64), np.nan, f32), ".counts": np.ones((1, 1), f32)}, "not finite"),
    ):
        writer = gguf.GGUFWriter(str(tmp_path / "bad.gguf"), arch="none")
        for end, array in arrays.items():
            writer.add_tensor(name + end, array)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(ModelLoadError, match=words) as raised:
            quantize(FIXTURE, tmp_path / "x.gguf", "Q4_K_M", imatrix=tmp_path / "bad.gguf")
        assert raised.value.path == str(tmp_path / "bad.gguf")


@pytest.mark.parametrize("entries", [{"imatrix.chunk_count": "three"}, {"imatrix.datasets": [1, 2]}, {}])
def test_notes_of_an_importance_matrix_may_be_odd(tmp_path: Path, entries: dict[str, object]) -> None:
    import gguf

    writer = gguf.GGUFWriter(str(tmp_path / "odd.gguf"), arch="none")
    for key, value in entries.items():
        (writer.add_array if isinstance(value, list) else writer.add_string)(key, value)
    name = "blk.0.attn_q.weight"
    writer.add_tensor(f"{name}.in_sum2", np.ones((1, 64), np.float32))
    writer.add_tensor(f"{name}.counts", np.full((1, 1), np.nan, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    quantize(FIXTURE, tmp_path / "x.gguf", "Q4_K_M", imatrix=tmp_path / "odd.gguf")
    notes = gguf_notes(tmp_path / "x.gguf")
    assert notes == {"quantize.imatrix.file": str(tmp_path / "odd.gguf"), "quantize.imatrix.entries_count": 1}


def gguf_notes(path: Path) -> dict[str, object]:
    from inllama import gguf

    return {key: value for key, value in gguf.read(path).metadata.items() if key.startswith("quantize.")}


def test_notes_end_with_a_whole_character(tmp_path: Path) -> None:
    folder = tmp_path / ("é" * 70)
    folder.mkdir()
    quantize(FIXTURE, tmp_path / "x.gguf", "Q4_K_M", imatrix=older_imatrix(folder / "imatrix.dat"))
    noted = str(gguf_notes(tmp_path / "x.gguf")["quantize.imatrix.file"])
    assert str(folder).startswith(noted)
    assert len(noted.encode()) in (126, 127)


def test_equal_tokens_are_not_quantized(tmp_path: Path) -> None:
    from inllama import gguf

    tokens = list(gguf.read(FIXTURE).metadata["tokenizer.ggml.tokens"])
    tokens[300:302] = ["same", "same"]
    bad = tiny.llama(tmp_path / "bad.gguf", metadata={"tokenizer.ggml.tokens": tokens})
    with pytest.raises(ModelLoadError, match="the same text twice"):
        quantize(bad, tmp_path / "x.gguf", "Q8_0")


def test_what_is_no_importance_matrix_is_refused(tmp_path: Path) -> None:
    sound = older_imatrix(tmp_path / "imatrix.dat").read_bytes()
    bad = tmp_path / "bad.dat"
    for n in (0, 3, 4, 9, 40, len(sound) // 2, len(sound) - 1):
        bad.write_bytes(sound[:n])
        with pytest.raises(ModelLoadError, match="incomplete") as raised:
            quantize(FIXTURE, tmp_path / "x.gguf", "Q4_K_M", imatrix=bad)
        assert raised.value.path == str(bad)
    for integers in ((-1,), (2**31 - 1, -1), (1, 2**31 - 1), (1, 0, 1, -4), (1, 0, 1, 2**31 - 1)):
        bad.write_bytes(struct.pack(f"<{len(integers)}i", *integers) + bytes(16 if integers[0] > 0 else 0))
        with pytest.raises(ModelLoadError, match=r"incomplete|nothing"):
            quantize(FIXTURE, tmp_path / "x.gguf", "Q4_K_M", imatrix=bad)
    for value in (float("nan"), float("inf"), -1.0):
        older_imatrix(bad, change={"blk.0.attn_q.weight": value})
        with pytest.raises(ModelLoadError, match=r"'blk\.0\.attn_q\.weight' is not finite"):
            quantize(FIXTURE, tmp_path / "x.gguf", "Q4_K_M", imatrix=bad)
    with pytest.raises(ModelLoadError, match="nothing about any tensor"):
        quantize(FIXTURE, tmp_path / "x.gguf", "Q4_K_M", imatrix=FIXTURE)
    with pytest.raises(ModelLoadError, match="directory"):
        quantize(FIXTURE, tmp_path / "x.gguf", "Q4_K_M", imatrix=tmp_path)
    assert not (tmp_path / "x.gguf").exists()
