"""Requests with different LoRA adapters in one engine."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest
import tiny_models as tiny
from engines import EXACT

from inllama import LLM, AsyncLLM, Engine, InvalidRequestError, Model, ModelLoadError

PROMPT = "Once upon a time there was a dog"
GREEDY = {"temperature": 0.0, "max_tokens": 24, "ignore_eos": True}


@pytest.fixture
def merged(exact_demo_path: Path, lora_demo_path: Path, tmp_path: Path) -> Iterator[LLM]:
    """The demo model with the adapter in its weights."""
    path = tmp_path / "merged.gguf"
    shutil.copy(exact_demo_path, path)
    tensors = tiny.read_tensors(lora_demo_path)
    targets = {name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")}
    for tensor in gguf.GGUFReader(path, "r+").tensors:
        if tensor.name in targets:
            tensor.data[...] += tiny.added(tensors, tensor.name)
    with Model(path) as model, Engine(model, **EXACT) as engine:
        yield LLM(engine)


@pytest.fixture
def tuned(llm: LLM, lora_demo_path: Path) -> LLM:
    """The demo model with the adapter loaded as ``fr``."""
    llm.engine.load_adapter("fr", lora_demo_path)
    return llm


def test_an_adapter_computes_as_if_it_was_in_the_weights(tuned: LLM, merged: LLM) -> None:
    plain = tuned.generate(PROMPT, **GREEDY).text
    found = tuned.generate(PROMPT, **GREEDY, adapters={"fr": 1.0}).text
    assert found == merged.generate(PROMPT, **GREEDY).text
    assert found != plain
    assert tuned.generate(PROMPT, **GREEDY).text == plain
    assert tuned.generate(PROMPT, **GREEDY, adapters={"fr": 0.0}).text == plain


def test_requests_with_and_without_run_at_the_same_time(tuned: LLM) -> None:
    prompts = [f"{PROMPT} and {word}" for word in ("a cat", "a bird", "a boy", "a fish")]
    plain = [tuned.generate(prompt, **GREEDY).text for prompt in prompts]
    changed = [tuned.generate(prompt, **GREEDY, adapters={"fr": 1.0}).text for prompt in prompts]
    half = [tuned.generate(prompt, **GREEDY, adapters={"fr": 0.5}).text for prompt in prompts]
    streams = [
        [tuned.stream(prompt, **GREEDY, adapters=adapters) for prompt in prompts]
        for adapters in ({}, {"fr": 1.0}, {"fr": 0.5})
    ]
    assert [[stream.result().text for stream in row] for row in streams] == [plain, changed, half]
    assert plain not in (changed, half)
    assert changed != half


def test_a_prefix_is_not_shared_across_adapters(tuned: LLM) -> None:
    long = PROMPT * 8
    tuned.generate(long, **GREEDY)
    first = tuned.generate(long, **GREEDY, adapters={"fr": 1.0})
    again = tuned.generate(long, **GREEDY, adapters={"fr": 1.0})
    assert first.usage.cached_tokens == 0
    assert again.usage.cached_tokens > 50
    assert again.text == first.text


def test_adapters_are_loaded_and_unloaded_while_others_go_on(llm: LLM, lora_demo_path: Path) -> None:
    long = {**GREEDY, "max_tokens": 120}
    plain = llm.generate(PROMPT, **long).text
    stream = llm.stream(PROMPT, **long)
    next(stream)
    llm.engine.load_adapter("fr", lora_demo_path)
    assert llm.engine.adapters == ("fr",)
    changed = llm.stream(PROMPT, **long, adapters={"fr": 1.0})
    next(changed)
    llm.engine.unload_adapter("fr")
    assert llm.engine.adapters == ()
    with pytest.raises(InvalidRequestError, match="loaded are: none"):
        llm.generate(PROMPT, adapters={"fr": 1.0})
    assert stream.result().text == plain
    found = changed.result().text
    assert found != plain
    llm.engine.load_adapter("fr", lora_demo_path)
    assert llm.generate(PROMPT, **long, adapters={"fr": 1.0}).text == found


def test_several_adapters_at_once_add_up(llm: LLM, exact_demo_path: Path, tmp_path: Path) -> None:
    width = llm.model.n_embd
    merged = tmp_path / "merged.gguf"
    shutil.copy(exact_demo_path, merged)
    parts = {name: tiny.halves(f"blk.{layer}.attn_q.weight", (width, width)) for layer, name in enumerate("ab")}
    scales = {"a": 1.0, "b": 3.0}
    for layer, (name, tensors) in enumerate(parts.items()):
        llm.engine.load_adapter(name, tiny.write_lora(tmp_path / f"{name}.gguf", tensors))
        for tensor in gguf.GGUFReader(merged, "r+").tensors:
            if tensor.name == f"blk.{layer}.attn_q.weight":
                tensor.data[...] += scales[name] * tiny.added(tensors, tensor.name)
    with Model(merged) as model, Engine(model, **EXACT) as engine:
        expected = LLM(engine).generate(PROMPT, **GREEDY).text
    assert llm.generate(PROMPT, **GREEDY, adapters=scales).text == expected
    others = [llm.generate(PROMPT, **GREEDY, adapters=one).text for one in ({}, {"a": 1.0}, {"b": 3.0})]
    assert expected not in others


def test_another_file_of_the_same_name_is_another_adapter(tuned: LLM, tmp_path: Path) -> None:
    long = PROMPT * 8
    before = tuned.generate(long, **GREEDY, adapters={"fr": 1.0}).text
    tuned.engine.unload_adapter("fr")
    width = tuned.model.n_embd
    path = tiny.write_lora(tmp_path / "other.gguf", tiny.halves("blk.0.attn_q.weight", (width, width)))
    tuned.engine.load_adapter("fr", path)
    after = tuned.generate(long, **GREEDY, adapters={"fr": 1.0})
    assert after.usage.cached_tokens == 0
    assert after.text != before


def test_one_request_is_not_starved_by_many_with_another_adapter(tuned: LLM) -> None:
    others = [tuned.stream(f"{i} {PROMPT}", **{**GREEDY, "max_tokens": 400}) for i in range(12)]
    assert tuned.generate(PROMPT, **GREEDY, adapters={"fr": 1.0}).finish_reason == "length"
    assert tuned.stats().running == 12  # they have not ended yet
    for stream in others:
        stream.cancel()


def test_bad_adapters_raise_and_the_engine_goes_on(
    tuned: LLM, lora_demo_path: Path, lora_wrong_base_path: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(lora_demo_path.read_bytes()[:5000])
    for path in (lora_wrong_base_path, damaged, tmp_path / "missing.gguf"):
        with pytest.raises(ModelLoadError):
            tuned.engine.load_adapter("bad", path)
    with pytest.raises(InvalidRequestError, match="already"):
        tuned.engine.load_adapter("fr", lora_demo_path)
    with pytest.raises(InvalidRequestError, match="no adapter 'de'"):
        tuned.engine.unload_adapter("de")
    with pytest.raises(InvalidRequestError, match="no adapter 'de'"):
        tuned.generate(PROMPT, adapters={"fr": 1.0, "de": 1.0})
    with pytest.raises(InvalidRequestError):
        tuned.generate(PROMPT, adapters={"fr": float("nan")})
    with pytest.raises(TypeError):
        tuned.generate(PROMPT, adapters={"fr": "1"})
    with pytest.raises(TypeError):
        tuned.engine.load_adapter("", lora_demo_path)
    assert tuned.engine.adapters == ("fr",)
    assert tuned.generate(PROMPT, **GREEDY).finish_reason == "length"


def test_chats_and_tasks_have_adapters_too(tuned: LLM) -> None:
    options = {"temperature": 0.0, "max_tokens": 24}
    plain = tuned.chat("Hello!", **options).message
    changed = tuned.chat("Hello!", **options, adapters={"fr": 1.0}).message
    assert plain != changed

    async def both() -> tuple[str, str]:
        async with AsyncLLM(tuned.engine) as aio:
            first, second = await asyncio.gather(
                aio.generate(PROMPT, **GREEDY), aio.generate(PROMPT, **GREEDY, adapters={"fr": 1.0})
            )
        return first.text, second.text

    texts = asyncio.run(both())
    assert texts == (
        tuned.generate(PROMPT, **GREEDY).text,
        tuned.generate(PROMPT, **GREEDY, adapters={"fr": 1.0}).text,
    )


def test_a_reproducible_request_has_its_adapters(tuned: LLM) -> None:
    options = {**GREEDY, "reproducible": True}
    assert tuned.generate(PROMPT, **options, adapters={"fr": 1.0}).text != tuned.generate(PROMPT, **options).text


def test_an_encoder_reads_the_prompt_with_the_adapters_too(t5: Model, tmp_path: Path) -> None:
    target = "enc.blk.0.attn_v.weight"
    tensors = tiny.halves(target, (64, 64))
    path = tiny.write_lora(tmp_path / "lora.gguf", tensors, architecture="t5")
    merged = tmp_path / "merged.gguf"
    shutil.copy(t5.path, merged)
    for tensor in gguf.GGUFReader(merged, "r+").tensors:
        if tensor.name == target:
            tensor.data[...] += 8.0 * tiny.added(tensors, target)
    with Model(merged) as model, Engine(model, **EXACT) as engine:
        expected = LLM(engine).generate("what is this about", **GREEDY).token_ids
    with Engine(t5, **EXACT) as engine:
        llm = LLM(engine)
        plain = llm.generate("what is this about", **GREEDY).token_ids
        engine.load_adapter("fr", path)
        for _ in range(2):
            assert llm.generate("what is this about", **GREEDY, adapters={"fr": 8.0}).token_ids == expected
            assert llm.generate("what is this about", **GREEDY).token_ids == plain
    assert plain != expected
