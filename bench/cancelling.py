"""How soon the place of a cancelled request is another's."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.measure import Case
from bench.native import model_path
from bench.workload import GREEDY, Prompts, new_engine, settings
from inllama import LLM, Engine, Model, TextStream

N_PROMPT = 256
N_NEW = 200
# Cells for the witness and one such request, not for two.
N_CTX = 768
CANCELS_PER_ROUND = 4
TARGET = 1.0
FRESH_S = 1e-3  # what arrived earlier is given at once


@dataclass(frozen=True)
class Cancelled:
    """What a cancellation took.

    Attributes:
        n_steps: That ended after the call and before the first one with rows of the request that waited.
        ended_s: Until the cancelled stream ended.
        step_s: One step before it, for comparison.
    """

    n_steps: int
    ended_s: float
    step_s: float


class Places:
    """An engine with two places: one for a witness, whose tokens tick, and one that a request leaves to the next."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._llm = LLM(engine)
        self._prompts = Prompts()
        self._witness = self._start(self._prompts.one(1))
        self._holder = self._start(self._prompts.one(N_PROMPT))
        next(self._holder)

    def _start(self, prompt: list[int]) -> TextStream:
        return self._llm.stream(prompt, max_tokens=N_NEW, **GREEDY)

    def _tick(self) -> float:
        """Wait for the end of a step; return when it was."""
        while True:
            asked = time.perf_counter()
            next(self._witness)
            now = time.perf_counter()
            if now - asked > FRESH_S:
                return now

    def cancel(self) -> Cancelled:
        """Cancel the holder while another request waits for its place and its cells, in the middle of a step."""
        waiting = self._start(self._prompts.one(N_PROMPT))
        step_s = -self._tick() + self._tick()
        time.sleep(step_s / 2)
        before = self._engine.stats()
        assert before.waiting == 1, before
        started = time.perf_counter()
        self._holder.cancel()
        assert self._holder.result().finish_reason == "cancelled"
        ended = time.perf_counter()
        while (after := self._engine.stats()).prefill_tokens == before.prefill_tokens:
            time.sleep(FRESH_S)
        self._holder = waiting
        next(waiting)
        return Cancelled(after.steps - before.steps - 1, ended - started, step_s)


def measure_cancelling(n_rounds: int) -> list[Case]:
    """Cancel requests while others wait."""
    cancelled: list[Cancelled] = []
    n_evicted = 0
    with Model(model_path()) as model:
        for _ in range(n_rounds):
            with new_engine(model, n_ctx=N_CTX, max_running=2) as engine:
                places = Places(engine)
                cancelled += [places.cancel() for _ in range(CANCELS_PER_ROUND)]
                n_evicted += engine.stats().evicted_cells
    steps = [float(one.n_steps) for one in cancelled]
    return [
        Case(
            name="cancel",
            method=(
                f"Two outputs run; another request waits for a place and for cells. Steps of the engine that end "
                "between cancel() and the first step that computes rows of the one that waited; the step during "
                f"which cancel() is called is one of them. {CANCELS_PER_ROUND} cancellations per round. In the notes "
                "the time until the cancelled stream has ended, and that of a step before it."
            ),
            series={"steps": steps},
            unit="",
            figure=steps,
            figure_unit="steps",
            target=TARGET,
            at_least=False,
            notes=settings(
                n_ctx=N_CTX,
                n_running=2,
                n_prompt=N_PROMPT,
                evicted_cells=n_evicted,
                ended_ms=[one.ended_s * 1e3 for one in cancelled],
                step_ms=[one.step_s * 1e3 for one in cancelled],
            ),
        )
    ]
