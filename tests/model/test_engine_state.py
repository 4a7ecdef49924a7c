"""What an engine remembers, as bytes: in the same and in a new process, evicted, in files, damaged."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
from engines import EXACT

from inllama import LLM, Engine, Model, StateError, UnsupportedError

KINDS = ("llama", "gemma", "mamba", "hybrid", "moe")
TEXT = "Once upon a time there was a little dog who lived in a house with a boy. " * 3
GREEDY: dict[str, Any] = {"temperature": 0.0, "max_tokens": 20, "ignore_eos": True}
IN_ANOTHER_PROCESS = """
import json, sys
from inllama import LLM
path, state, tokens, options, greedy = sys.argv[1], sys.argv[2], *map(json.loads, sys.argv[3:])
with LLM(path, **options) as llm:
    n = llm.engine.load_state(open(state, "rb").read())
    result = llm.generate(tokens, **greedy)
print(json.dumps([n, result.usage.cached_tokens, list(result.token_ids)]))
"""


def begun(llm: LLM) -> list[int]:
    """Generate, and return the tokens of the prompt and of what came."""
    prompt = llm.engine.encode(TEXT)
    return [*prompt, *llm.generate(prompt, **GREEDY).token_ids]


@pytest.mark.parametrize("name", KINDS)
def test_a_loaded_state_goes_on_as_its_own_engine_does(name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    with Engine(model, **EXACT) as engine:
        tokens = begun(LLM(engine))
        state = engine.save_state(tokens)
        own = LLM(engine).generate([*tokens, 7], **GREEDY)
    with Engine(model, **EXACT) as engine:
        assert engine.load_state(state) == len(tokens) - 1
        resumed = LLM(engine).generate([*tokens, 7], **GREEDY)
        assert resumed.usage.cached_tokens == own.usage.cached_tokens == len(tokens) - 1
        assert resumed.token_ids == own.token_ids
    with Engine(model, **EXACT) as engine:
        assert LLM(engine).generate([*tokens, 7], **GREEDY).token_ids == own.token_ids


@pytest.mark.parametrize("name", KINDS)
def test_a_state_is_loaded_by_a_new_process(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model: Model = request.getfixturevalue(name)
    with Engine(model, **EXACT) as engine:
        tokens = begun(LLM(engine))
        (tmp_path / "state").write_bytes(engine.save_state(tokens))
        own = LLM(engine).generate([*tokens, 7], **GREEDY)
    arguments = [model.path, str(tmp_path / "state"), *map(json.dumps, ([*tokens, 7], EXACT, GREEDY))]
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [len(tokens) - 1, len(tokens) - 1, list(own.token_ids)]


@pytest.mark.parametrize("name", ["llama", "gemma"])
def test_a_state_serves_prompts_that_begin_like_it(name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    with Engine(model, **EXACT) as engine:
        tokens = begun(LLM(engine))
        state = engine.save_state(tokens)
        other = [*tokens[: len(tokens) - 5], 9, 8, 7]
        expected = LLM(engine).generate(other, **GREEDY, reproducible=True).token_ids
    with Engine(model, **EXACT) as engine:
        engine.load_state(state)
        assert LLM(engine).generate(other, **GREEDY).token_ids == expected


def test_models_that_keep_nothing_refuse(t5: Model, hybrid_swa: Model) -> None:
    for model in (t5, hybrid_swa):
        with Engine(model, **EXACT) as engine:
            with pytest.raises(UnsupportedError):
                engine.save_state([1, 2, 3])
            assert LLM(engine).generate("a", **GREEDY).finish_reason == "length"


def test_what_was_never_computed_cannot_be_saved(llama: Model) -> None:
    with Engine(llama, **EXACT) as engine, pytest.raises(StateError, match="holds nothing"):
        engine.save_state([1, 2, 3])


@pytest.fixture(scope="module")
def saved(request: pytest.FixtureRequest) -> bytes:
    with Engine(Model(tiny.path_of("llama")), **EXACT) as engine:
        return engine.save_state(begun(LLM(engine)))


def test_damaged_states_are_refused_and_nothing_crashes(llama: Model, saved: bytes) -> None:
    chance = random.Random(5)
    with Engine(llama, **EXACT) as engine:
        for index in range(200):
            data = bytearray(saved)
            if index % 3 == 0:
                del data[chance.randrange(len(data)) :]
            elif index % 3 == 1:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            else:
                begin = chance.randrange(len(data))
                data[begin : begin + 8] = chance.randbytes(chance.randrange(1, 40))
            with pytest.raises(StateError):
                engine.load_state(bytes(data))
        for data in (b"", b"x" * 100, saved + b"x"):
            with pytest.raises(StateError):
                engine.load_state(data)
        with pytest.raises(TypeError):
            engine.load_state(bytearray(saved))  # type: ignore[arg-type]
        assert engine.load_state(saved) > 0


def test_states_of_another_model_or_of_other_options_are_refused(llama: Model, moe: Model, saved: bytes) -> None:
    with Engine(moe, **EXACT) as engine, pytest.raises(StateError, match="another model"):
        engine.load_state(saved)
    changed = {**EXACT, "kv_type_k": "f16"}
    with Engine(llama, **changed) as engine, pytest.raises(StateError, match="another kv_type_k"):
        engine.load_state(saved)
    overridden = Model(llama.path, kv_overrides={"llama.rope.freq_base": 5000.0})
    with overridden, Engine(overridden, **EXACT) as engine, pytest.raises(StateError, match="another model"):
        engine.load_state(saved)


@pytest.mark.parametrize("name", KINDS)
def test_evicted_prefixes_come_back_from_main_memory(name: str, request: pytest.FixtureRequest) -> None:
    model: Model = request.getfixturevalue(name)
    with Engine(model, **EXACT, n_ctx=512, prefix_memory=1 << 24) as engine:
        llm = LLM(engine)
        tokens = begun(llm)
        for index in range(10):  # for recurrent memory until its ids are used up
            llm.generate([3 + index] * 300, **GREEDY)
        found = llm.generate([*tokens, 7], **GREEDY)
        assert found.usage.cached_tokens == len(tokens) - 1
        stats = engine.stats()
        assert stats.recalled_tokens >= len(tokens) - 1
        assert 0 < stats.prefix_memory_bytes <= 1 << 24
    with Engine(model, **EXACT) as engine:
        assert LLM(engine).generate([*tokens, 7], **GREEDY).token_ids == found.token_ids


def test_a_folder_of_prefixes_serves_the_next_engine(llama: Model, tmp_path: Path) -> None:
    options = {**EXACT, "prefix_folder": tmp_path / "prefixes"}
    with Engine(llama, **options) as engine:
        tokens = begun(LLM(engine))
        own = LLM(engine).generate([*tokens, 7], **GREEDY)
    files = list((tmp_path / "prefixes").iterdir())
    assert files
    with Engine(llama, **options) as engine:
        again = LLM(engine).generate([*tokens, 7], **GREEDY)
        assert again.usage.cached_tokens >= len(tokens) - 1
        assert again.token_ids == own.token_ids
    for file in files:
        file.write_bytes(file.read_bytes()[:-9])
    with Engine(llama, **options) as engine:
        assert LLM(engine).generate([*tokens, 7], **GREEDY).token_ids == own.token_ids
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be used"):
        Engine(llama, **EXACT, prefix_folder=tmp_path / "file")
