"""Runs what takes a while on another thread than the event loop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


async def off_loop(call: Callable[[], _T]) -> _T:
    """Return what ``call`` returns on a thread of the loop's own.

    In a daemon thread it may come too late for another thread: then it waits, like every call of such a thread, until
    the process is gone.
    """
    try:
        return await asyncio.to_thread(call)
    except RuntimeError as problem:
        if "interpreter shutdown" not in str(problem):  # nothing else tells
            raise
        await asyncio.get_running_loop().create_future()
        raise
