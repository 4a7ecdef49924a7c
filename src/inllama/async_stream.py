"""``AsyncTextStream``: the results of one request, as they come, for an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

import inllama._core as _core
from inllama.engine import Engine
from inllama.mailbox import Mailbox
from inllama.outputs import Chunk, Completion
from inllama.reception import Event, Reception
from inllama.request import Prepared


class _Inbox:
    """What came and was not read. The mailbox keeps it until the last event; the stream may be gone by then."""

    __slots__ = ("chunks", "reader", "reads_at_once", "reception")

    def __init__(self, reception: Reception) -> None:
        self.reception = reception
        self.reads_at_once = False
        self.chunks: deque[Chunk] = deque()
        self.reader: asyncio.Future[None] | None = None

    def deliver(self, event: Event) -> bool:
        chunk = self.reception.receive(event)
        if chunk is not None and not self.reads_at_once:
            self.chunks.append(chunk)
        if self.reader is not None and not self.reader.done():
            self.reader.set_result(None)
        return self.reception.is_over


class AsyncTextStream:
    """A request that is being generated: iterate over it for chunks, or await its ``result()``. One consumer.

    It starts with the first of these, and is read in the event loop where it started. When the task that reads it is
    cancelled, so is the request.
    """

    def __init__(self, prepare: Callable[[], Awaitable[tuple[Engine, Prepared]]]) -> None:
        self._prepare = prepare
        self._engine: Engine | None = None
        self._inbox: _Inbox | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = 0
        self._events: _core.EventQueue | None = None
        self._is_starting = False
        self._is_cancelled = False
        self._is_closed = False

    @property
    def request_id(self) -> str | None:
        """The request's name; ``None`` before it has started."""
        return None if self._inbox is None else self._inbox.reception.request_id

    def cancel(self) -> None:
        """End the request at its next step with ``finish_reason="cancelled"``. Any thread; again does nothing.

        One that has not started yet gives no chunks.
        """
        self._is_cancelled = True
        if self._engine is not None:
            self._engine.cancel(self._number)

    async def start(self) -> None:
        """Hand the request over, unless that was done; reading does it too."""
        await self._started()

    async def result(self) -> Completion:
        """Generate what is left and return everything, chunks that were read before included."""
        inbox = await self._started()
        self._drop_chunks(inbox)
        while not inbox.reception.is_over:
            await self._news(inbox)
        return inbox.reception.completion()

    async def aclose(self) -> None:
        """Stop without a result; done by leaving an ``async with`` block and by collection."""
        self._close()

    def _drop_chunks(self, inbox: _Inbox) -> None:
        inbox.reads_at_once = True
        if inbox.chunks and self._events is not None:
            self._events.note_read(self._number, len(inbox.chunks))
        inbox.chunks.clear()

    def _close(self) -> None:
        self._is_closed = True
        if self._inbox is not None:
            self._drop_chunks(self._inbox)
        if self._inbox is None or not self._inbox.reception.is_over:
            self.cancel()

    async def _started(self) -> _Inbox:
        if self._inbox is not None:
            return self._inbox
        if self._is_starting:
            raise _read_twice()
        self._is_starting = True
        try:
            engine, request = await self._prepare()
            inbox = _Inbox(Reception(engine, request))
            mailbox = Mailbox.of_running_loop()
            self._number = await mailbox.submit_waiting(engine, request, inbox)
        except asyncio.CancelledError:
            self._close()
            raise
        finally:
            self._is_starting = False
        self._engine, self._inbox, self._loop = engine, inbox, asyncio.get_running_loop()
        self._events = mailbox.events
        if self._is_cancelled:  # meanwhile
            engine.cancel(self._number)
        return inbox

    async def _news(self, inbox: _Inbox) -> None:
        if inbox.reader is not None:
            raise _read_twice()
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            raise RuntimeError("this stream was started in another event loop; read it there")
        inbox.reader = loop.create_future()
        try:
            await inbox.reader
        except BaseException:
            self._close()
            raise
        finally:
            inbox.reader = None

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        inbox = self._inbox
        if inbox is None:
            if self._is_cancelled:
                raise StopAsyncIteration
            inbox = await self._started()
        while not inbox.chunks:
            if self._is_closed:
                raise StopAsyncIteration
            if inbox.reception.is_over:
                if inbox.reception.error is not None:
                    raise inbox.reception.error
                raise StopAsyncIteration
            await self._news(inbox)
        assert self._events is not None
        self._events.note_read(self._number)
        return inbox.chunks.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __del__(self) -> None:
        if hasattr(self, "_inbox"):
            self._close()


def _read_twice() -> RuntimeError:
    return RuntimeError("this stream is being read already; one consumer each")
