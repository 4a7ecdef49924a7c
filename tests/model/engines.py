"""What the tests of engines share: options for exact numbers, waiting, and an event loop that forgives nothing."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from inllama import Engine

T = TypeVar("T")

PROMPT = "Once upon a time"
PROMPTS = [PROMPT, "One day, a dog", "The little girl", "It was a dark night"]

# Numbers depend a little on what else is computed. In f32 too little to change a text; where weights are quantized, or
# keys and values are, it would now and then.
EXACT: dict[str, Any] = {"n_threads": 1, "flash_attention": "off", "kv_type_k": "f32", "kv_type_v": "f32"}


def is_idle(engine: Engine) -> bool:
    stats = engine.stats()
    return stats.running + stats.waiting == 0


def wait_until_idle(engine: Engine) -> None:
    end = time.monotonic() + 20
    while not is_idle(engine):
        assert time.monotonic() < end
        time.sleep(0.001)


async def until_idle(engine: Engine) -> None:
    async with asyncio.timeout(20):
        while not is_idle(engine):
            await asyncio.sleep(0)


def run(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` with a time limit; fails for what asyncio only logs, such as exceptions that nobody retrieved."""
    logged: list[dict[str, Any]] = []

    async def supervised() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
        return await asyncio.wait_for(main, 60)

    try:
        return asyncio.run(supervised())
    finally:
        gc.collect()
        assert logged == []


@asynccontextmanager
async def measured_gaps() -> AsyncIterator[list[float]]:
    """A list that gets the time between two turns of a task that only wants turns."""
    gaps: list[float] = []

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticking = asyncio.create_task(tick())
    try:
        yield gaps
    finally:
        ticking.cancel()
        await asyncio.wait([ticking])
