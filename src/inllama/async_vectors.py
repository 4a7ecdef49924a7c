"""Vectors, for an event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from inllama.engine import Engine
from inllama.errors import InllamaError
from inllama.mailbox import Mailbox
from inllama.off_loop import off_loop
from inllama.texts import PreparedTexts
from inllama.vectors import WINDOWS_AT_ONCE, VectorCall


async def run_async(call: VectorCall, engine: Engine) -> None:
    """Wait for all of a call without holding the loop up; cancelling ends it."""
    mailbox = Mailbox.of_running_loop()
    inbox = _Inbox()
    running: dict[int, PreparedTexts] = {}
    try:
        is_over = False
        while not is_over or running:
            while not is_over and len(running) < WINDOWS_AT_ONCE:
                window = await off_loop(call.next)
                if window is None:
                    is_over = True
                else:
                    try:
                        running[await mailbox.submit_waiting(engine, window, inbox)] = window
                    except InllamaError as error:
                        raise call.placed(window, error) from None
            if running:
                event = await inbox.events.get()
                call.receive(running.pop(event[0]), event)
    finally:
        for number in running:
            engine.cancel(number)


class _Inbox:
    """Receives the only event of each window."""

    reads_at_once = True

    def __init__(self) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()

    def deliver(self, event: Any) -> bool:
        """Take an event, which is the last one."""
        self.events.put_nowait(event)
        return True
