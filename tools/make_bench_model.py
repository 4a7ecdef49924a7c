"""Writes a model of the benchmarks: the shape of one of Qwen2.5 with random weights, quantized to Q4_0.

The weights mean nothing, but computing them takes the time of a real model, and nothing has to be downloaded: the
vocabulary of 151,936 tokens comes from the pinned llama.cpp tree.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from llama_source import source_dir
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "bench" / "models"
QUANTIZE = ROOT / "build" / "bench-tools" / "bin" / "llama-quantize"

ARCHITECTURE = "qwen2"
N_VOCAB = 151_936
N_HEAD_KV = 2
N_CTX_TRAIN = 32_768
ROPE_FREQ_BASE = 1_000_000.0
NORM_EPSILON = 1e-6
# Of a trained model; keeps the activations of 24 layers in the range of f16.
STANDARD_DEVIATION = 0.02

BLOCK_ROWS = 4096  # rows of a tensor made at once, so that little memory is used


@dataclass(frozen=True)
class Shape:
    """What the sizes of a model differ in."""

    n_embd: int
    n_layer: int
    n_head: int
    n_ff: int


SHAPES = {
    "0.5b": Shape(n_embd=896, n_layer=24, n_head=14, n_ff=4864),
    "1.5b": Shape(n_embd=1536, n_layer=28, n_head=12, n_ff=8960),
}


@dataclass(frozen=True)
class Tensor:
    """A tensor to be written.

    Attributes:
        name: Its name in the file.
        shape: Slowest dimension first, as in numpy.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def is_matrix(self) -> bool:
        """Matrices are f16 and vectors f32, as llama.cpp's own conversion writes them."""
        return len(self.shape) == 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its type in the file."""
        return np.dtype(np.float16 if self.is_matrix else np.float32)

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def tensors(shape: Shape) -> Iterator[Tensor]:
    """Yield all tensors of the model in file order; the output head is the table of embeddings."""
    n_embd, n_ff = shape.n_embd, shape.n_ff
    n_embd_kv = n_embd // shape.n_head * N_HEAD_KV
    yield Tensor("token_embd.weight", (N_VOCAB, n_embd))
    for layer in range(shape.n_layer):
        shapes: dict[str, tuple[int, ...]] = {
            "attn_norm.weight": (n_embd,),
            "attn_q.weight": (n_embd, n_embd),
            "attn_q.bias": (n_embd,),
            "attn_k.weight": (n_embd_kv, n_embd),
            "attn_k.bias": (n_embd_kv,),
            "attn_v.weight": (n_embd_kv, n_embd),
            "attn_v.bias": (n_embd_kv,),
            "attn_output.weight": (n_embd, n_embd),
            "ffn_norm.weight": (n_embd,),
            "ffn_gate.weight": (n_ff, n_embd),
            "ffn_up.weight": (n_ff, n_embd),
            "ffn_down.weight": (n_embd, n_ff),
        }
        for name, dimensions in shapes.items():
            yield Tensor(f"blk.{layer}.{name}", dimensions)
    yield Tensor("output_norm.weight", (n_embd,))


def blocks(tensor: Tensor, random: np.random.Generator) -> Iterator[NDArray[np.float16] | NDArray[np.float32]]:
    """Yield the numbers of ``tensor`` in pieces: norms are 1, everything else is random."""
    if tensor.name.endswith("norm.weight"):
        yield np.ones(tensor.shape, dtype=np.float32)
        return
    for begin in range(0, tensor.shape[0], BLOCK_ROWS):
        shape = (min(BLOCK_ROWS, tensor.shape[0] - begin), *tensor.shape[1:])
        numbers = random.standard_normal(shape, dtype=np.float32)
        numbers *= STANDARD_DEVIATION
        yield numbers.astype(np.float16) if tensor.is_matrix else numbers


def llama_tree() -> Path:
    """Return the folder of the pinned llama.cpp tree."""
    given = os.environ.get("LLAMA_CPP_SOURCE_DIR")
    return Path(given) if given else source_dir()


def add_metadata(writer: GGUFWriter, shape: Shape) -> None:
    """Add the shape of the model."""
    writer.add_name("inllama benchmark model with random weights")
    writer.add_context_length(N_CTX_TRAIN)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(N_HEAD_KV)
    writer.add_rope_freq_base(ROPE_FREQ_BASE)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_file_type(1)  # mostly f16


def copy_vocabulary(writer: GGUFWriter, path: Path) -> None:
    """Copy every tokenizer entry of the file at ``path``."""
    for name, field in GGUFReader(path).fields.items():
        if name.startswith("tokenizer."):
            element = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], element)


def write_f16(path: Path, shape: Shape, vocabulary: Path, seed: int) -> None:
    """Write the model with f16 matrices."""
    writer = GGUFWriter(path, ARCHITECTURE)
    add_metadata(writer, shape)
    copy_vocabulary(writer, vocabulary)
    for tensor in tensors(shape):
        writer.add_tensor_info(tensor.name, tensor.shape, tensor.dtype, tensor.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    assert writer.fout is not None
    file = writer.fout[0]
    random = np.random.Generator(np.random.PCG64(seed))
    writer.write_padding(file, file.tell())
    # GGUFWriter takes whole tensors only, and the largest one has hundreds of megabytes.
    for tensor in tensors(shape):
        for block in blocks(tensor, random):
            block.tofile(file)
        writer.write_padding(file, tensor.nbytes)
    writer.close()


def main() -> int:
    """Write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, nargs="?", help="bench/models/random-SHAPE-TYPE.gguf if not given")
    parser.add_argument("--shape", choices=SHAPES, default="0.5b", help="the size of the model (%(default)s)")
    parser.add_argument("--quantize", type=Path, default=QUANTIZE, help="llama-quantize (%(default)s)")
    parser.add_argument("--type", default="Q4_0", help="type of the weights (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the random weights (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the f16 file too")
    parsed = parser.parse_args()
    output: Path = parsed.output or FOLDER / f"random-{parsed.shape}-{parsed.type.lower()}.gguf"
    quantize: Path = parsed.quantize
    if not quantize.exists():
        print(f"{quantize} does not exist; run 'make bench-tools' first", file=sys.stderr)
        return 1
    output.parent.mkdir(parents=True, exist_ok=True)
    f16 = output.with_suffix(".f16")
    partial = output.with_suffix(".partial")
    try:
        write_f16(f16, SHAPES[parsed.shape], llama_tree() / "models" / "ggml-vocab-qwen2.gguf", parsed.seed)
        done = subprocess.run([quantize, f16, partial, parsed.type], capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{quantize} failed with {done.returncode}:\n{done.stderr}", file=sys.stderr)
            return 1
        partial.replace(output)  # an interrupted run leaves no half of a file
    finally:
        partial.unlink(missing_ok=True)
        if not parsed.keep:
            f16.unlink(missing_ok=True)
    print(f"{output}: {output.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
