"""Waiting for events of an engine, for a thread."""

from __future__ import annotations

from typing import Any

import inllama._core as _core

# How long a wait goes on before Python looks for signals.
SLICE_S = 0.1


def wait_for(events: _core.EventQueue) -> list[Any]:
    """Wait until there are events and take them; Ctrl-C ends it."""
    while True:
        taken = events.take(SLICE_S)
        if taken:
            return taken


def answer(events: _core.EventQueue) -> tuple[int, bytes | None]:
    """Return the number of tokens and the bytes that the only event has; raises its error."""
    (event,) = wait_for(events)
    if event[8] is not None:
        raise event[8]
    return event[9][0], event[11]
