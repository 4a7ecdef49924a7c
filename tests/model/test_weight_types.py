"""Weights of each type give the same numbers, however rows are put together: kernels differ by type and processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tiny_models as tiny

from inllama import Batch, Context, Model
from inllama.quantization import quantize

SEQUENCES = {0: [1, 5, 9, 13], 1: [2, 6, 3, 14], 2: [3, 7, 20, 8], 3: [4, 8, 12, 16]}
WRITERS: dict[str, Callable[[Path], Path]] = {
    "deepseek2": tiny.deepseek2,
    "deepseek2 with a head": lambda path: tiny.deepseek2(path, n_head=1),
    "gemma3": tiny.gemma3,
    "lfm2": tiny.lfm2,
    "llama": tiny.llama,
    "mamba": tiny.mamba,
    "mixture of experts": tiny.mixture_of_experts,
    "plamo2": tiny.plamo2,
}


def logits(model: Model, sequences: Mapping[int, list[int]]) -> npt.NDArray[np.float32]:
    """Return the logits of every token, computed in one call."""
    batch = Batch([])
    for sequence, tokens in sequences.items():
        batch.add(tokens, sequence=sequence, outputs="all")
    with Context(model, n_ctx=256, n_batch=64, n_ubatch=64, n_seq_max=4, n_threads=1) as context:
        context.decode(batch)
        return np.array([context.logits(row) for row in range(sum(map(len, sequences.values())))])


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_0"])
def test_sequences_together_are_computed_as_each_alone(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "model.gguf"
    quantize(WRITERS[name](tmp_path / "f32.gguf"), path, kind)
    with Model(path) as model:
        together = logits(model, SEQUENCES)
        alone = np.concatenate([logits(model, {number: tokens}) for number, tokens in SEQUENCES.items()])
    assert np.abs(alone).max() > 0.1
    np.testing.assert_allclose(together, alone, atol=0.02 * np.abs(alone).max())


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kind", ["F16", "Q8_0", "Q4_0"])
def test_weights_that_are_laid_out_anew_give_what_they_give_as_they_are(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "model.gguf"
    quantize(WRITERS[name](tmp_path / "f32.gguf"), path, kind)
    with Model(path) as model, Model(path, repack=False) as as_they_are:
        found, expected = logits(model, SEQUENCES), logits(as_they_are, SEQUENCES)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())
