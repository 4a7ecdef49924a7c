"""Many streams on one event loop: chunks per second, and how late the loop is meanwhile."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from bench.measure import Case, interleave
from inllama import AsyncLLM
from inllama.testing import FakeEngine

N_STREAMS = 64
N_TOKENS = 5000
RUNS_PER_ROUND = 3
CHUNKS_TARGET = 100_000.0
DELAY_TARGET_MS = 5.0
PACED_STEP_S = 0.0004  # with what a step takes besides, about as many chunks come as the target asks for
TICK_S = 0.001


async def _read(aio: AsyncLLM, index: int) -> int:
    """Return the number of chunks of one stream, none of which may hold several tokens."""
    n_chunks = 0
    async for chunk in aio.stream(f"request {index}", max_tokens=N_TOKENS):
        assert len(chunk.token_ids) <= 1, chunk
        n_chunks += len(chunk.token_ids)
    return n_chunks


async def _tick(delays: list[float]) -> None:
    """Note how much later than asked the loop comes back, until cancelled."""
    while True:
        asked = time.perf_counter()
        await asyncio.sleep(TICK_S)
        delays.append(time.perf_counter() - asked - TICK_S)


async def _run(engine: FakeEngine) -> tuple[float, float]:
    """Return chunks per second and the 99th percentile of the loop's delay in ms."""
    delays: list[float] = []
    async with AsyncLLM(engine) as aio:
        ticking = asyncio.create_task(_tick(delays))
        started = time.perf_counter()
        counts = await asyncio.gather(*(_read(aio, index) for index in range(N_STREAMS)))
        elapsed = time.perf_counter() - started
        ticking.cancel()
    assert counts == [N_TOKENS] * N_STREAMS, counts
    return sum(counts) / elapsed, float(np.percentile(delays, 99)) * 1e3


class Sides:
    """An engine that is as fast as it can be, and one that gives chunks at the rate of the target."""

    def __init__(self) -> None:
        self._engines = {"fast": self._engine(0.0), "paced": self._engine(PACED_STEP_S)}
        self.speeds: dict[str, list[float]] = {name: [] for name in self._engines}

    @staticmethod
    def _engine(step_s: float) -> FakeEngine:
        return FakeEngine("x" * N_TOKENS, step_s=step_s, max_running=N_STREAMS)

    def delay_ms(self, name: str) -> float:
        """Return the delay of a run, and keep its speed."""
        speed, delay = asyncio.run(_run(self._engines[name]))
        self.speeds[name].append(speed)
        return delay

    def close(self) -> None:
        """End the engines."""
        for engine in self._engines.values():
            engine.close()


def measure_asyncio(n_rounds: int) -> list[Case]:
    """Measure streams of a model that takes no time."""
    sides = Sides()
    sides.delay_ms("fast")
    sides.speeds["fast"].clear()
    delays = interleave(
        {"fast": lambda: sides.delay_ms("fast"), "paced": lambda: sides.delay_ms("paced")}, n_rounds * RUNS_PER_ROUND
    )
    sides.close()
    setting = (
        f"AsyncLLM.stream, {N_STREAMS} tasks of one event loop on the engine with a decoder that takes no time; each "
        f"reads {N_TOKENS} chunks of one token. "
    )
    notes = {"n_streams": N_STREAMS, "n_tokens": N_TOKENS, "runs_per_round": RUNS_PER_ROUND}
    return [
        Case(
            name=f"asyncio, {N_STREAMS} streams",
            method=setting + "All chunks over the time from the first request to the last chunk.",
            series={"fast": sides.speeds["fast"]},
            unit="chunks/s",
            figure=sides.speeds["fast"],
            figure_unit="chunks/s",
            target=CHUNKS_TARGET,
            at_least=True,
            notes=notes,
        ),
        Case(
            name=f"asyncio, {N_STREAMS} streams: delay of the loop",
            method=(
                setting + f"Another task sleeps {TICK_S * 1e3:g} ms at a time; how much later it is woken, the 99th "
                "percentile of a run. Fast: in the runs that give the speed, in which there is always more to read. "
                f"Paced, beside it: steps take {PACED_STEP_S * 1e3:g} ms, so that the loop has time left; how many "
                "chunks come then is in the notes."
            ),
            series=delays,
            unit="ms",
            figure=delays["fast"],
            figure_unit="ms",
            target=DELAY_TARGET_MS,
            at_least=False,
            notes={**notes, "paced_chunks_per_s": sides.speeds["paced"]},
        ),
    ]
