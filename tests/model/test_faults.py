"""Steps of real models that fail: nobody else's output changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from engines import EXACT

import inllama._core as _core
from inllama import LLM, Completion, DecodeError, Engine, Model

FAILURES = ["failed", "no_room", "no_memory", "aborted"]
PROMPTS = [[5 + i, 9, 40, 7 + 2 * i, 33, 60, 12, 8 + i] * 3 for i in range(3)]


class FaultyEngine(Engine):
    """An engine whose steps fail when a test asks for it."""

    def _make_native(self, **changed: object) -> _core.Engine:
        self.faults = _core.FakeFaults()
        options = {**self._options.to_native(), "n_ctx": 512, **changed}
        return _core.LlamaEngine(self.model, options, self.faults)


@contextmanager
def faulty(model: Model) -> Iterator[FaultyEngine]:
    with FaultyEngine(model, **EXACT, max_running=4, step_tokens=16) as engine:
        yield engine


def tokens_of(engine: Engine) -> list[tuple[int, ...]]:
    options: dict[str, Any] = {"temperature": 0, "max_tokens": 12, "ignore_eos": True}
    results: list[Completion] = LLM(engine).generate(PROMPTS, **options)
    return [result.token_ids for result in results]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("name", ["llama", "moe", "gemma", "mamba", "hybrid"])
def test_a_step_that_fails_changes_no_token(request: pytest.FixtureRequest, name: str, failure: str) -> None:
    model = request.getfixturevalue(name)
    with faulty(model) as engine:
        expected = tokens_of(engine)
        for n_good in (0, 3, 9):
            engine.faults.add(n_good, "ok")
            engine.faults.add(1, failure)
            assert tokens_of(engine) == expected
        assert engine.stats().failed_steps == 3
        assert engine.stats().failed == 0


def test_steps_that_always_fail_end_the_requests_and_not_the_engine(llama: Model) -> None:
    with faulty(llama) as engine:
        expected = tokens_of(engine)
        engine.faults.add(12, "failed")  # two for all together, and as many for each alone
        results = LLM(engine).generate(PROMPTS, temperature=0, max_tokens=12, ignore_eos=True, on_error="return")
        assert [type(result) for result in results] == [DecodeError] * 3
        while engine.stats().failed_steps < 12:  # what is left of them: one request outlives the last one alone
            with suppress(DecodeError):
                LLM(engine).generate(PROMPTS[0], temperature=0, max_tokens=12)
        assert tokens_of(engine) == expected
