"""Types that users see; checked by mypy, never run."""

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import inllama
from inllama.testing import FakeEngine, Reply


def check(llm: inllama.LLM, model: inllama.Model, context: inllama.Context) -> None:
    assert_type(llm.generate("a"), inllama.Completion)
    assert_type(llm.generate(["a", "b"]), list[inllama.Completion])
    assert_type(llm.generate(["a"], on_error="return"), list[inllama.Completion | Exception])
    assert_type(llm.generate([1, 2, 3]).text, str)
    for chunk in llm.stream("a", max_tokens=3):
        assert_type(chunk, inllama.Chunk)
    assert_type(model.tokenizer.decode(model.tokenizer.encode("a")), str)
    assert_type(context.logits(), NDArray[np.float32])
    assert_type(context.memory.pos_max(0), int | None)
    assert_type(inllama.Sampler(model, [inllama.samplers.greedy()]).sample(context), int)


def check_fakes() -> None:
    assert_type(inllama.LLM(FakeEngine("a", max_running=2)).generate("a"), inllama.Completion)
    inllama.AsyncLLM(FakeEngine(lambda prompt: Reply(prompt.upper(), error=OSError(), error_after=1), step_s=0.1))
    FakeEngine(OSError()).fail_steps(2, "no_room")
