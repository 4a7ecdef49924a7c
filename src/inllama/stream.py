"""``TextStream``: the results of one request, as they come."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, cast

import inllama._core as _core
from inllama.engine import Engine, Prepared, wait_for
from inllama.errors import InllamaError, QueueFullError
from inllama.outputs import Choice, Chunk, Completion, FinishReason, Timings, Usage

# What one step gave one output, as inllama._core.EventQueue.take returns it.
Event = tuple[int, int, str, tuple[int, ...], Any, str | None, int | None, int | None, Exception | None, Any]


class Reception:
    """Puts the events of one request together."""

    def __init__(self, engine: Engine, request: Prepared, error: Exception | None = None) -> None:
        self._engine = engine
        self._request = request
        self._text: list[list[str]] = [[] for _ in request.seeds]
        self._tokens: list[list[int]] = [[] for _ in request.seeds]
        self._ends: dict[int, tuple[FinishReason, str | int | None]] = {}
        self._summary: tuple[int, int, int, float, float, float, float] | None = None
        self.error = error

    @property
    def is_over(self) -> bool:
        """Whether the last event has come."""
        return self._summary is not None

    def receive(self, event: Event) -> Chunk | None:
        """Take the next event; returns its chunk, or ``None`` for an error, which is kept."""
        _, output, text, tokens, _, finish, stop_index, stop_token, error, summary = event
        if summary is not None:
            self._summary = summary
        if error is not None:
            if isinstance(error, InllamaError):
                error.fields.setdefault("partial", "".join(self._text[0]))
            self.error = error
            return None
        self._text[output].append(text)
        self._tokens[output].extend(tokens)
        stop = self._request.stops[stop_index] if stop_index is not None else stop_token
        if finish is not None:
            self._ends[output] = (cast("FinishReason", finish), stop)
        return Chunk(text, tokens, output, cast("FinishReason | None", finish), stop)

    def completion(self) -> Completion:
        """Return everything that came; raises the request's error."""
        if self.error is not None:
            raise self.error
        assert self._summary is not None
        n_prompt, n_cached, n_completion, queued, prefill, first_token, total = self._summary
        return Completion(
            request_id=self._request.request_id,
            model=os.path.basename(self._engine.model.path),
            choices=tuple(
                Choice(i, "".join(self._text[i]), tuple(self._tokens[i]), *self._ends[i], seed)
                for i, seed in enumerate(self._request.seeds)
            ),
            usage=Usage(n_prompt, n_completion, n_cached),
            timings=Timings(prefill, first_token, total, queued),
        )


class TextStream:
    """A request that is being generated: iterate over it for chunks, or ask for its ``result()``. One consumer."""

    def __init__(self, engine: Engine, request: Prepared) -> None:
        self._engine = engine
        self._request = request
        self._reception = Reception(engine, request)
        self._events = _core.EventQueue()
        self._chunks: deque[Chunk] = deque()
        self._is_closed = False
        self._number = engine.submit(self._events, request, wait=True)

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
        wait_for(self._events)
        for event in self._events.take():
            chunk = self._reception.receive(event)
            if chunk is not None:
                self._chunks.append(chunk)

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


def complete_all(
    engine: Engine, requests: Sequence[Prepared | Exception]
) -> Generator[tuple[int, Reception], None, None]:
    """Compute many requests together; yields each with its index as it ends. Cancels the rest when closed."""
    events = _core.EventQueue()
    waiting = deque((index, request) for index, request in enumerate(requests) if isinstance(request, Prepared))
    running: dict[int, tuple[int, Reception]] = {}
    try:
        while waiting or running:
            # Events are read while there is no room: a request whose events nobody reads would not go on.
            while waiting:
                index, request = waiting[0]
                try:
                    number = engine.submit(events, request, wait=not running)
                except QueueFullError:
                    break
                except InllamaError as error:
                    waiting.popleft()
                    yield index, Reception(engine, request, error)
                    continue
                running[number] = (index, Reception(engine, request))
                waiting.popleft()
            if running:
                wait_for(events)
            for event in events.take():
                index, reception = running[event[0]]
                reception.receive(event)
                if reception.is_over:
                    del running[event[0]]
                    yield index, reception
    finally:
        for number in running:
            engine.cancel(number)
