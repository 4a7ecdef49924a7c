"""A LoRA adapter at scale s is the model with s times its product added to the weights, for every kind of model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest
import tiny_models as tiny

import inllama
from inllama import Adapter, Batch, Context, Model, ModelLoadError

# Weights that an adapter changes, of each fixture: (rows, columns).
TARGETS: dict[str, dict[str, tuple[int, int]]] = {
    "llama": tiny.attention_targets(tiny.SIZE) | {"blk.1.ffn_down.weight": (64, 96), "output.weight": (320, 64)},
    "moe": {"blk.0.attn_q.weight": (64, 64), "blk.1.attn_output.weight": (64, 64)},
    "gemma": {"blk.0.attn_q.weight": (64, 64), "blk.1.attn_v.weight": (32, 64), "blk.2.ffn_up.weight": (96, 64)},
    "mamba": {"blk.0.ssm_in.weight": (256, 64), "blk.2.ssm_out.weight": (64, 128), "blk.1.ssm_x.weight": (36, 128)},
    "hybrid": {"blk.0.shortconv.in_proj.weight": (192, 64), "blk.1.attn_q.weight": (64, 64)},
    "t5": {"enc.blk.0.attn_v.weight": (64, 64), "dec.blk.1.cross_attn_q.weight": (64, 64)},
    "bert_mean": {"blk.0.attn_q.weight": (64, 64), "blk.1.ffn_up.weight": (96, 64)},
    "rank": {"blk.1.attn_v.weight": (64, 64), "blk.0.ffn_down.weight": (64, 96)},
}
TOKENS = tiny.random_tokens(30, 4)


@dataclass
class Subject:
    """A model, an adapter for it, and where its files are."""

    model: Model
    path: Path
    adapter: Adapter
    tensors: Mapping[str, npt.NDArray[np.float32]]
    folder: Path

    def merged(self, scale: float) -> npt.NDArray[np.float32]:
        """Return what a model computes that has the adapter in its weights."""
        path = self.folder / "merged.gguf"
        shutil.copy(self.path, path)
        targets = {name.removesuffix(".lora_a") for name in self.tensors if name.endswith(".lora_a")}
        for tensor in gguf.GGUFReader(path, "r+").tensors:
            if tensor.name in targets:
                targets.remove(tensor.name)
                tensor.data[...] += scale * tiny.added(self.tensors, tensor.name)
        assert not targets
        with Model(path) as model:
            return computed(model, {})


def computed(model: Model, adapters: Mapping[Adapter, float]) -> npt.NDArray[np.float32]:
    """Return logits of every row, or a pooled vector, with adapters."""
    is_encoder = model.architecture == "bert"
    with Context(model, **tiny.EXACT, embeddings=is_encoder) as context:
        context.set_adapters(adapters)
        return results(context)


def results(context: Context) -> npt.NDArray[np.float32]:
    model = context.model
    if model.architecture == "bert":
        context.encode(Batch(TOKENS))
        return context.sequence_embedding()
    if model.has_encoder:
        context.encode(Batch(tiny.QUESTION))
    return tiny.decode_rows(context, Batch(TOKENS, outputs="all"))


def halves_of(targets: Mapping[str, tuple[int, int]]) -> dict[str, npt.NDArray[np.float32]]:
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    for target, shape in targets.items():
        tensors |= tiny.halves(target, shape)
    return tensors


@pytest.fixture(params=TARGETS)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    model: Model = request.getfixturevalue(request.param)
    tensors = halves_of(TARGETS[request.param])
    path = tiny.write_lora(tmp_path / "lora.gguf", tensors, architecture=model.architecture)
    return Subject(model, Path(model.path), Adapter(model, path), tensors, tmp_path)


@pytest.mark.parametrize("scale", [1.0, 0.25, -0.5])
def test_an_adapter_equals_merged_weights(subject: Subject, scale: float) -> None:
    found = computed(subject.model, {subject.adapter: scale})
    assert tiny.difference(found, subject.merged(scale)) <= tiny.SAME_TOLERANCE
    assert tiny.difference(found, computed(subject.model, {})) > 100 * tiny.SAME_TOLERANCE


def test_an_adapter_of_scale_0_is_none(subject: Subject) -> None:
    plain = computed(subject.model, {})
    assert tiny.difference(computed(subject.model, {subject.adapter: 0.0}), plain) <= 1e-5


def test_adapters_can_be_changed_and_removed(subject: Subject) -> None:
    is_encoder = subject.model.architecture == "bert"
    with Context(subject.model, **tiny.EXACT, embeddings=is_encoder) as context:
        for adapters in ({}, {subject.adapter: 1.0}, {subject.adapter: 0.5}, {}):
            context.set_adapters(adapters)
            if not is_encoder:
                context.memory.clear()
            expected = computed(subject.model, adapters)
            assert tiny.difference(results(context), expected) <= tiny.SAME_TOLERANCE


def test_adapters_add_up(llama: Model, llama_path: Path, tmp_path: Path) -> None:
    first, second = halves_of({"blk.0.attn_q.weight": (128, 64)}), halves_of({"blk.2.ffn_up.weight": (96, 64)})
    one, two = (
        Adapter(llama, tiny.write_lora(tmp_path / f"{name}.gguf", tensors))
        for name, tensors in (("one", first), ("two", second))
    )
    both = Subject(llama, llama_path, one, first | second, tmp_path)
    assert tiny.difference(computed(llama, {one: 1.0, two: 1.0}), both.merged(1.0)) <= tiny.SAME_TOLERANCE
    assert tiny.difference(computed(llama, {one: 1.0}), both.merged(1.0)) > 100 * tiny.SAME_TOLERANCE


def test_an_adapter_of_experts_equals_merged_weights(moe: Model, moe_path: Path, tmp_path: Path) -> None:
    name = "blk.0.ffn_up_exps.weight"
    experts = [tiny.halves(f"{name}.{expert}", (48, 64)) for expert in range(4)]
    tensors = {
        f"{name}.{half}": np.stack([expert[f"{name}.{index}.{half}"] for index, expert in enumerate(experts)])
        for half in ("lora_a", "lora_b")
    }
    adapter = Adapter(moe, tiny.write_lora(tmp_path / "experts.gguf", tensors))
    merged = Subject(moe, moe_path, adapter, tensors, tmp_path).merged(1.0)
    assert tiny.difference(computed(moe, {adapter: 1.0}), merged) <= tiny.SAME_TOLERANCE


def test_the_adapter_for_the_demo_model_fits_its_shape(
    demo_size: Model, demo_size_path: Path, lora_demo_path: Path, tmp_path: Path
) -> None:
    adapter = Adapter(demo_size, lora_demo_path)
    subject = Subject(demo_size, demo_size_path, adapter, tiny.read_tensors(lora_demo_path), tmp_path)
    assert tiny.difference(computed(demo_size, {adapter: 1.0}), subject.merged(1.0)) <= tiny.SAME_TOLERANCE
    assert adapter.metadata["adapter.type"] == "lora"


def test_the_adapter_for_the_demo_model_changes_it(lora_demo_path: Path) -> None:
    with Model(inllama.model.demo_path()) as demo:
        adapter = Adapter(demo, lora_demo_path)
        plain = computed(demo, {})
        assert tiny.difference(computed(demo, {adapter: 0.0}), plain) <= 1e-5
        assert tiny.difference(computed(demo, {adapter: 1.0}), plain) > 0.1


@pytest.mark.parametrize("name", ["llama", "demo_size", "moe", "gemma", "mamba", "bert_mean"])
def test_an_adapter_for_another_base_is_refused(
    name: str, lora_wrong_base_path: Path, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(name)
    with pytest.raises(ModelLoadError) as raised:
        Adapter(model, lora_wrong_base_path)
    assert raised.value.path == str(lora_wrong_base_path)
    assert raised.value.reason
    assert np.isfinite(computed(model, {})).all()


def test_the_adapter_for_the_demo_model_is_refused_by_a_smaller_one(llama: Model, lora_demo_path: Path) -> None:
    with pytest.raises(ModelLoadError):
        Adapter(llama, lora_demo_path)
    assert np.isfinite(computed(llama, {})).all()


def test_the_adapter_is_part_of_what_a_sequence_remembers(llama: Model, lora_path: Path) -> None:
    """Keys and values computed with an adapter stay when it is removed: a prefix must not be shared across adapters."""
    context = tiny.exact_context(llama)
    context.set_adapters({Adapter(llama, lora_path): 1.0})
    context.decode(Batch(TOKENS[:20]))
    context.set_adapters({})
    context.decode(Batch(TOKENS[20:]))
    assert tiny.difference(context.logits(), computed(llama, {})[-1]) > 100 * tiny.SAME_TOLERANCE
