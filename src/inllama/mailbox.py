"""Brings the events of engines into an event loop: one descriptor for all requests of the loop."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from typing import Any, Protocol

import inllama._core as _core
from inllama.engine import Engine
from inllama.errors import QueueFullError
from inllama.request import Prepared
from inllama.texts import PreparedTexts
from inllama.waiting import SLICE_S

# Events handed out before other callbacks of the loop have their turn: about a millisecond's work.
_AT_ONCE = 256


class Receiver(Protocol):
    """Who waits for the events of a request.

    Attributes:
        reads_at_once: What is delivered counts as read; otherwise the receiver tells ``Mailbox.events`` when it is, and
            the request pauses while too much is not.
    """

    reads_at_once: bool

    def deliver(self, event: Any) -> bool:
        """Take an event; returns whether it was the last one."""


class Mailbox:
    """The event queue of one event loop. Only for code that runs in it.

    The loop alone keeps it: what nobody will ever read is cancelled when the loop is closed.
    """

    def __init__(self) -> None:
        self.events = _core.EventQueue()
        self._receivers: dict[int, tuple[Receiver, Engine]] = {}
        self._lines: weakref.WeakKeyDictionary[Engine, dict[bool, asyncio.Lock]] = weakref.WeakKeyDictionary()
        self._waiting: set[asyncio.Future[None]] = set()

    @classmethod
    def of_running_loop(cls) -> Mailbox:
        """Return the mailbox of the running loop."""
        loop = asyncio.get_running_loop()
        known = _mailboxes.get(loop)
        mailbox = None if known is None else known()
        if mailbox is None:
            mailbox = cls()
            loop.add_reader(mailbox.events.descriptor(), mailbox._read)
            _mailboxes[loop] = weakref.ref(mailbox)
        return mailbox

    def submit(self, engine: Engine, request: Prepared | PreparedTexts, receiver: Receiver) -> int:
        """Hand a request over and return its number; raises ``QueueFullError`` if there is no room."""
        number = engine.submit(self.events, request)
        self._receivers[number] = (receiver, engine)
        return number

    async def submit_waiting(self, engine: Engine, request: Prepared | PreparedTexts, receiver: Receiver) -> int:
        """``submit``, but wait for room, if the request does, while others use the loop; who came first goes first."""
        if not request.waits:
            return self.submit(engine, request, receiver)
        line = self.line(engine, request)
        if not line.locked():
            with suppress(QueueFullError):
                return self.submit(engine, request, receiver)
        async with line:
            while True:
                try:
                    return self.submit(engine, request, receiver)
                except QueueFullError:
                    await self.wait_for_room()

    def line(self, engine: Engine, request: Prepared | PreparedTexts) -> asyncio.Lock:
        """Return what those of this loop who wait for the same room queue at: only the first one looks for it."""
        lines = self._lines.setdefault(engine, {})
        return lines.setdefault(request.is_reproducible, asyncio.Lock())

    async def wait_for_room(self) -> None:
        """Wait a moment, or until a request of this loop has ended."""
        room = asyncio.get_running_loop().create_future()
        self._waiting.add(room)
        try:
            # Room that requests of other loops and threads leave is found by looking again.
            await asyncio.wait([room], timeout=SLICE_S)
        finally:
            self._waiting.remove(room)
            room.cancel()

    def _read(self) -> None:
        has_ended = False
        for event in self.events.take(limit=_AT_ONCE, are_read=False):
            number = event[0]
            receiver, _ = self._receivers.get(number, (None, None))
            is_over = receiver is not None and self._deliver(receiver, event)
            if receiver is None or receiver.reads_at_once:
                self.events.note_read(number)
            if is_over:
                del self._receivers[number]
                has_ended = True
        if has_ended:
            for room in self._waiting:
                if not room.done():
                    room.set_result(None)

    def _deliver(self, receiver: Receiver, event: Any) -> bool:
        try:
            return receiver.deliver(event)
        except Exception as error:  # the events behind it are taken already
            message = "the events of an inllama request could not be delivered"
            asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
            self._receivers[event[0]][1].cancel(event[0])
            return True

    def __del__(self) -> None:
        for number, (_, engine) in self._receivers.items():
            engine.cancel(number)


# A loop holds its mailbox as what it calls when the descriptor can be read.
_mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Mailbox]] = weakref.WeakKeyDictionary()
