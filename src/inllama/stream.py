"""``TextStream``: the results of one request, as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import inllama._core as _core
from inllama.engine import Engine
from inllama.outputs import Chunk, Completion
from inllama.reception import Reception
from inllama.request import Prepared
from inllama.waiting import wait_for


class TextStream:
    """A request that is being generated: iterate over it for chunks, or ask for its ``result()``. One consumer."""

    def __init__(self, engine: Engine, request: Prepared) -> None:
        self._engine = engine
        self._request = request
        self._reception = Reception(engine, request)
        self._events = _core.EventQueue()
        self._chunks: deque[Chunk] = deque()
        self._is_closed = False
        self._number = engine.submit_waiting(self._events, request)

    @property
    def request_id(self) -> str:
        """The request's name."""
        return self._request.request_id

    def cancel(self) -> None:
        """End the request at its next step with ``finish_reason="cancelled"``. Any thread; again does nothing."""
        self._engine.cancel(self._number)

    def result(self) -> Completion:
        """Generate what is left and return everything, chunks that were read before included."""
        while not self._reception.is_over:
            self._receive()
        self._chunks.clear()
        return self._reception.completion()

    def close(self) -> None:
        """Stop without a result; done by leaving a ``with`` block and by collection."""
        self._is_closed = True
        self._chunks.clear()
        if not self._reception.is_over:
            self.cancel()

    def _receive(self) -> None:
        try:
            for event in wait_for(self._events):
                chunk = self._reception.receive(event)
                if chunk is not None:
                    self._chunks.append(chunk)
        except BaseException:
            self.close()  # Ctrl-C: nobody reads on, but the traceback may keep this for long
            raise

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        while not self._chunks:
            if self._is_closed:
                raise StopIteration
            if self._reception.is_over:
                if self._reception.error is not None:
                    raise self._reception.error
                raise StopIteration
            self._receive()
        return self._chunks.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_number"):
            self.close()
