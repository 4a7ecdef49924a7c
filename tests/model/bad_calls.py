"""What bad calls are made with, and what one is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import inllama
from inllama import (
    LLM,
    Batch,
    Context,
    Model,
    Sampler,
    samplers,
)

DEMO = Path(inllama.__path__[0]) / "models" / "demo.gguf"
# Larger than any size, smaller than 64 bits; larger than 64 bits.
HUGE = 2**40
BEYOND = 2**70
NAN = math.nan
SURROGATE = "half a \ud83d character"


class Bench:
    """What bad calls are made with. Every object is made once and used by all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def model(self) -> Model:
        return Model(DEMO)

    @cached_property
    def llm(self) -> LLM:
        return LLM(self.model, n_threads=1)

    @cached_property
    def context(self) -> Context:
        """Two sequences, of which 0 holds a few tokens."""
        context = Context(self.model, n_ctx=256, n_batch=64, n_seq_max=2, n_threads=1)
        context.decode(Batch([1, 2, 3]))
        return context

    @cached_property
    def sampler(self) -> Sampler:
        return Sampler(self.model, [samplers.greedy()])

    @property
    def n_vocab(self) -> int:
        return self.model.tokenizer.n_tokens

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def sample(self, *stages: inllama.SamplerStage) -> int:
        """Build a chain and use it once: some stages can be checked only against a model."""
        return Sampler(self.model, list(stages)).sample(self.context)

    def next_tokens(self) -> tuple[int, ...]:
        """The continuation that a healthy process gives."""
        tokens: tuple[int, ...] = self.llm.generate("Once upon a time", temperature=0, max_tokens=8).token_ids
        return tokens


@dataclass(frozen=True)
class BadCall:
    """A call that must raise ``error`` with every field of ``fields``; ``text`` is part of its message."""

    call: Callable[[Bench], object]
    error: type[Exception] | tuple[type[Exception], ...]
    fields: tuple[str, ...] = ()
    text: str = ""


def closed_model() -> Model:
    model = Model(DEMO)
    model.close()
    return model
