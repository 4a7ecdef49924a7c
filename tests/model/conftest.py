"""Files and loaded models for the tests: one of each kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models as tiny
from engines import EXACT

from inllama import LLM, Context, Engine, Model
from inllama.model import demo_path


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def file_fixture(name: str, write: Callable[..., Path], **options: Any) -> Any:
    """Fixture of the path of a model."""

    @pytest.fixture(scope="session", name=name)
    def path(model_folder: Path) -> Path:
        return write(model_folder / f"{name}.gguf", **options)

    return path


def committed_fixture(name: str) -> Any:
    """Fixture of the path of a model in ``fixtures/``."""

    @pytest.fixture(scope="session", name=f"{name}_path")
    def path() -> Path:
        return tiny.path_of(name)

    return path


def model_fixture(name: str) -> Any:
    """Fixture of the loaded model of the file fixture ``{name}_path``."""

    @pytest.fixture(scope="session", name=name)
    def model(request: pytest.FixtureRequest) -> Iterator[Model]:
        with Model(request.getfixturevalue(f"{name}_path")) as loaded:
            yield loaded

    return model


# In the repository, with numbers of a reference: docs/testing.md.
llama_path = committed_fixture("llama")
moe_path = committed_fixture("moe")
gemma_path = committed_fixture("gemma")
mamba_path = committed_fixture("mamba")
hybrid_path = committed_fixture("hybrid")
t5_path = committed_fixture("t5")
bert_mean_path = committed_fixture("bert_mean")
bert_cls_path = committed_fixture("bert_cls")
rank_path = committed_fixture("rank")
lora_demo_path = committed_fixture("lora_demo")
lora_wrong_base_path = committed_fixture("lora_wrong_base")
mmproj_path = committed_fixture("mmproj")

# Odd ones, written by the tests.
narrow_path = file_fixture("narrow_path", tiny.llama, size=tiny.NARROW_HEADS)
demo_size_path = file_fixture("demo_size_path", tiny.llama, size=tiny.DEMO_SIZE)
gpt2_path = file_fixture("gpt2_path", tiny.gpt2)
hybrid_swa_path = file_fixture("hybrid_swa_path", tiny.lfm2, n_swa=tiny.N_SWA)
bert_path = file_fixture("bert_path", tiny.bert)
unknown_pooling_path = file_fixture("unknown_pooling_path", tiny.llama, metadata={".pooling_type": 99})
no_vocabulary_path = file_fixture("no_vocabulary_path", tiny.llama, vocab=tiny.no_vocabulary())
no_bytes_path = file_fixture("no_bytes_path", tiny.llama, vocab=tiny.vocabulary_without_bytes())
regex_path = file_fixture("regex_path", tiny.llama, vocab=tiny.bpe_vocabulary("poro-chat"))
whitespace_path = file_fixture("whitespace_path", tiny.llama, vocab=tiny.bpe_vocabulary("whitespace"))
long_word_path = file_fixture("long_word_path", tiny.llama, vocab=tiny.vocabulary_with_a_long_word())
fill_in_path = file_fixture("fill_in_path", tiny.llama, vocab=tiny.vocabulary_to_fill_in())
no_separator_path = file_fixture("no_separator_path", tiny.bert, n_vocab=50)
no_beginning_path = file_fixture(
    "no_beginning_path", tiny.t5, vocab=tiny.unigram_vocabulary() | {"tokenizer.ggml.add_bos_token": True}
)
nvfp4_path = file_fixture("nvfp4_path", tiny.llama, tensors={"blk.0.ffn_up.weight": tiny.nvfp4_blocks(tiny.N_FF)})
lora_path = file_fixture("lora_path", tiny.lora)

llama = model_fixture("llama")
narrow = model_fixture("narrow")
demo_size = model_fixture("demo_size")
moe = model_fixture("moe")
gemma = model_fixture("gemma")
gpt2 = model_fixture("gpt2")
mamba = model_fixture("mamba")
hybrid = model_fixture("hybrid")
hybrid_swa = model_fixture("hybrid_swa")
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
fill_in = model_fixture("fill_in")
no_separator = model_fixture("no_separator")
no_beginning = model_fixture("no_beginning")
nvfp4 = model_fixture("nvfp4")


@pytest.fixture
def context(llama: Model) -> Iterator[Context]:
    """A context of the llama with one sequence."""
    with Context(llama, **tiny.SMALL) as made:
        yield made


@pytest.fixture(scope="session")
def exact_demo_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model with weights in f32, in which the order of computing changes next to nothing."""
    reader = gguf.GGUFReader(demo_path())
    target: Path = tmp_path_factory.mktemp("exact") / "demo.gguf"
    writer = gguf.GGUFWriter(target, "llama")
    for field in reader.fields.values():
        if not field.name.startswith(("GGUF.", "general.architecture")):
            sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


exact_demo = model_fixture("exact_demo")


@pytest.fixture
def exact_engine(exact_demo: Model) -> Iterator[Engine]:
    """An engine with that, in which texts do not depend on what is computed together."""
    with Engine(exact_demo, **EXACT) as made:
        yield made


@pytest.fixture
def llm(exact_engine: Engine) -> LLM:
    return LLM(exact_engine)
