"""Tiny models with random weights, one per kind of memory, vocabulary and pooling, and what tests do with them.

They are written by ``tools/fixtures``, which also makes the files in ``fixtures/``; see docs/testing.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from fixtures.adapters import ALPHA, added, attention_targets, halves, write_lora
from fixtures.architectures import (
    DEMO_SIZE,
    N_EMBD,
    N_FF,
    N_FF_EXPERT,
    N_POSITIONS,
    N_SWA,
    NARROW_HEADS,
    POOLING_CLS,
    POOLING_LAST,
    POOLING_MEAN,
    POOLING_RANK,
    SIZE,
    Size,
    bert,
    deepseek2,
    gemma3,
    gpt2,
    lfm2,
    llama,
    mamba,
    mixture_of_experts,
    plamo2,
    t5,
)
from fixtures.committed import ADAPTERS, GOLDEN, LABELS, MAX_BYTES, MODELS, path_of
from fixtures.gguf_file import Metadata, read_tensors
from fixtures.vocabularies import (
    BOS,
    EOS,
    FILL_IN,
    LONG_WORD,
    N_VOCAB,
    bpe_vocabulary,
    byte_token,
    byte_vocabulary,
    no_vocabulary,
    unigram_vocabulary,
    vocabulary_to_fill_in,
    vocabulary_with_a_long_word,
    vocabulary_without_bytes,
)

from inllama import Batch, Context, Model

__all__ = [
    "ADAPTERS",
    "ALPHA",
    "BOS",
    "DEMO_SIZE",
    "EOS",
    "EXACT",
    "FILL_IN",
    "GOLDEN",
    "GOLDEN_TOLERANCE",
    "LABELS",
    "LONG_WORD",
    "MAX_BYTES",
    "MODELS",
    "NARROW_HEADS",
    "N_EMBD",
    "N_FF",
    "N_FF_EXPERT",
    "N_POSITIONS",
    "N_SWA",
    "N_VOCAB",
    "POOLING_CLS",
    "POOLING_LAST",
    "POOLING_MEAN",
    "POOLING_RANK",
    "QUESTION",
    "SAME_TOLERANCE",
    "SIZE",
    "SMALL",
    "Size",
    "added",
    "assert_decodes",
    "attention_targets",
    "bert",
    "bpe_vocabulary",
    "byte_token",
    "byte_vocabulary",
    "damaged",
    "decode_rows",
    "deepseek2",
    "difference",
    "exact_context",
    "fresh_rows",
    "gemma3",
    "gpt2",
    "halves",
    "lfm2",
    "llama",
    "lora",
    "mamba",
    "mixture_of_experts",
    "no_vocabulary",
    "nvfp4_blocks",
    "path_of",
    "plamo2",
    "random_tokens",
    "read_tensors",
    "t5",
    "unigram_vocabulary",
    "vocabulary_to_fill_in",
    "vocabulary_with_a_long_word",
    "vocabulary_without_bytes",
    "write_lora",
]

# Options of a context that is made quickly.
SMALL: dict[str, Any] = {"n_ctx": 256, "n_batch": 64, "n_ubatch": 64, "n_threads": 1}
# Options of a context whose numbers can be compared: nothing is rounded to f16. Four sequences.
EXACT: dict[str, Any] = {
    "n_ctx": 512,
    "n_batch": 512,
    "n_ubatch": 64,
    "n_seq_max": 4,
    "n_threads": 1,
    "flash_attention": "off",
    "kv_type_k": "f32",
    "kv_type_v": "f32",
}
# Largest difference of a logit, or of a vector's element, that rounding explains: docs/testing.md.
GOLDEN_TOLERANCE = 1e-3
SAME_TOLERANCE = 1e-4
QUESTION = (3, 14, 15, 9, 26, 5, 1)  # what the encoder of an encoder-decoder reads in these tests


def assert_decodes(context: Context, sequence: int = 0) -> None:
    """Check that a context of a model with memory goes on with a sequence."""
    context.decode(Batch([byte_token("a"), byte_token("b")], sequence=sequence))
    assert np.isfinite(context.logits()).all()


def random_tokens(n: int, seed: int = 0) -> list[int]:
    """Return tokens that are text in every vocabulary here."""
    return [int(token) for token in np.random.default_rng(seed).integers(140, 155, n)]


def exact_context(model: Model, **options: Any) -> Context:
    """Make a context whose numbers can be compared; an encoder-decoder has read ``QUESTION`` for each sequence."""
    context = Context(model, **{**EXACT, **options})
    if model.has_encoder and model.has_decoder:
        question = Batch()
        for sequence in range(context.n_seq_max):
            question.add(QUESTION, sequence=sequence)
        context.encode(question)
    return context


def decode_rows(context: Context, batch: Batch) -> npt.NDArray[np.float32]:
    """Decode and return the logits of the rows that give some."""
    context.decode(batch)
    n = context.n_outputs
    return np.stack([context.logits(row - n) for row in range(n)])


def fresh_rows(model: Model, tokens: Sequence[int], **options: Any) -> npt.NDArray[np.float32]:
    """Return the logits of every row of one text, computed at once in a context of its own."""
    with exact_context(model, **options) as context:
        return decode_rows(context, Batch(tokens, outputs="all"))


def difference(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Return the largest difference of two arrays of one shape; it is not a number if one element is not."""
    assert a.shape == b.shape
    return float(np.max(np.abs(a - b)))


def lora(
    path: Path,
    *,
    target: str = "blk.0.attn_v.weight",
    a: npt.NDArray[np.generic] | None = None,
    b: npt.NDArray[np.generic] | None = None,
    architecture: str = "llama",
    metadata: Metadata | None = None,
) -> Path:
    """Write an adapter for one square weight of ``llama``; by default a sound one."""
    tensors: dict[str, npt.NDArray[Any]] = dict(halves(target, (N_EMBD, N_EMBD)))
    tensors |= {f"{target}.lora_a": a} if a is not None else {}
    tensors |= {f"{target}.lora_b": b} if b is not None else {}
    return write_lora(path, tensors, architecture=architecture, metadata=metadata)


def nvfp4_blocks(rows: int) -> npt.NDArray[np.uint8]:
    """Rows of 64 zeros as NVFP4 has them."""
    return np.zeros((rows, 36), np.uint8)


def damaged(path: Path, source: Path, *, keep: float) -> Path:
    """Write the first part of a file."""
    content = source.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path
