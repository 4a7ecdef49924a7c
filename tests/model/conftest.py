"""Files and loaded models for the tests: one of each kind, written once per session."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models as tiny

from inllama import Context, Model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def file_fixture(name: str, write: Callable[..., Path], **options: Any) -> Any:
    """Fixture of the path of a model."""

    @pytest.fixture(scope="session", name=name)
    def path(model_folder: Path) -> Path:
        return write(model_folder / f"{name}.gguf", **options)

    return path


def model_fixture(name: str) -> Any:
    """Fixture of the loaded model of the file fixture ``{name}_path``."""

    @pytest.fixture(scope="session", name=name)
    def model(request: pytest.FixtureRequest) -> Iterator[Model]:
        with Model(request.getfixturevalue(f"{name}_path")) as loaded:
            yield loaded

    return model


llama_path = file_fixture("llama_path", tiny.llama)
narrow_path = file_fixture("narrow_path", tiny.llama, n_embd=48)  # heads of 24
moe_path = file_fixture("moe_path", tiny.mixture_of_experts)
gemma_path = file_fixture("gemma_path", tiny.gemma3)
gpt2_path = file_fixture("gpt2_path", tiny.gpt2)
mamba_path = file_fixture("mamba_path", tiny.mamba)
hybrid_path = file_fixture("hybrid_path", tiny.lfm2)
t5_path = file_fixture("t5_path", tiny.t5)
bert_path = file_fixture("bert_path", tiny.bert)
bert_mean_path = file_fixture("bert_mean_path", tiny.bert, pooling=tiny.POOLING_MEAN)
bert_cls_path = file_fixture("bert_cls_path", tiny.bert, pooling=tiny.POOLING_CLS)
rank_path = file_fixture("rank_path", tiny.bert, pooling=tiny.POOLING_RANK, labels=["no", "yes"])
unknown_pooling_path = file_fixture("unknown_pooling_path", tiny.llama, metadata={".pooling_type": 99})
no_vocabulary_path = file_fixture("no_vocabulary_path", tiny.llama, vocab=tiny.no_vocabulary())
no_bytes_path = file_fixture("no_bytes_path", tiny.llama, vocab=tiny.vocabulary_without_bytes())
regex_path = file_fixture("regex_path", tiny.llama, vocab=tiny.bpe_vocabulary("poro-chat"))
whitespace_path = file_fixture("whitespace_path", tiny.llama, vocab=tiny.bpe_vocabulary("whitespace"))
long_word_path = file_fixture("long_word_path", tiny.llama, vocab=tiny.vocabulary_with_a_long_word())
no_separator_path = file_fixture("no_separator_path", tiny.bert, n_vocab=50)
no_beginning_path = file_fixture(
    "no_beginning_path", tiny.t5, vocab=tiny.unigram_vocabulary() | {"tokenizer.ggml.add_bos_token": True}
)
nvfp4_path = file_fixture("nvfp4_path", tiny.llama, tensors={"blk.0.ffn_up.weight": tiny.nvfp4_blocks(tiny.N_FF)})
lora_path = file_fixture("lora_path", tiny.lora)

llama = model_fixture("llama")
narrow = model_fixture("narrow")
moe = model_fixture("moe")
gemma = model_fixture("gemma")
gpt2 = model_fixture("gpt2")
mamba = model_fixture("mamba")
hybrid = model_fixture("hybrid")
t5 = model_fixture("t5")
bert = model_fixture("bert")
bert_mean = model_fixture("bert_mean")
bert_cls = model_fixture("bert_cls")
rank = model_fixture("rank")
unknown_pooling = model_fixture("unknown_pooling")
no_vocabulary = model_fixture("no_vocabulary")
no_bytes = model_fixture("no_bytes")
regex = model_fixture("regex")
whitespace = model_fixture("whitespace")
long_word = model_fixture("long_word")
no_separator = model_fixture("no_separator")
no_beginning = model_fixture("no_beginning")
nvfp4 = model_fixture("nvfp4")


@pytest.fixture
def context(llama: Model) -> Iterator[Context]:
    """A context of the llama with one sequence."""
    with Context(llama, **tiny.SMALL) as made:
        yield made
