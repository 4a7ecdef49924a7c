"""Batches: many requests of a file through the app of an engine in this process, so that the engine is always full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from inllama.engine import Engine
from inllama.errors import EngineClosedError
from inllama.off_loop import off_loop
from inllama.rows import checked_window
from inllama.server.app import create_app
from inllama.server.batch_rows import (
    BadLine,
    Earlier,
    Line,
    Request,
    answer_row,
    error_code,
    error_row,
    read_request,
)
from inllama.server.exchange import Whole, http_scope, whole_answer

_HEADERS = ((b"host", b"localhost"), (b"content-type", b"application/json"))
# The queue is longer than the window by default: it is seldom full.
_RETRY_S = 0.05


@dataclass(slots=True)
class Counts:
    """How far a batch is.

    Attributes:
        done: Rows that have a result.
        failed: Rows that have an error.
        skipped: Rows that had a result or an error before.
        failed_before: Of those, the ones with an error.
        n_bytes: Of the lines of all of them.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    failed_before: int = 0
    n_bytes: int = 0


async def run_batch(
    engine: Engine,
    lines: Iterable[Line],
    write: Callable[[bytes], object],
    *,
    counts: Counts | None = None,
    earlier: Earlier | None = None,
    window: int | None = None,
    reads_off_loop: bool = False,
    progress: Callable[[], object] | None = None,
    **options: Any,
) -> Counts:
    """Compute the requests of many lines, and write a row for each as soon as it ends: not in their order.

    Cancelling it ends the requests that are computed; no row of theirs is written. Memory holds the rows of the window,
    and of all rows no more than their names.

    Args:
        engine: What computes; it is not closed.
        lines: The requests, read as they are needed.
        write: Is given each row, which ends with a line break.
        counts: Is changed as rows end, and returned.
        earlier: What was computed before; these rows are skipped.
        window: Rows that are under way at once; four times ``max_running`` by default.
        reads_off_loop: The next line may take long to come, as from a pipe.
        progress: Called after each row.
        **options: Fields of ``AppOptions``.

    Returns:
        How many rows ended, and how.

    Raises:
        EngineClosedError: The engine was closed; rows that had ended are written.
        InvalidRequestError: An option has a value that is not possible.
        TypeError: An option that does not exist.
    """
    batch = _Batch(engine, lines, write, counts or Counts(), earlier or Earlier(), progress or (lambda: None), options)
    batch.reads_off_loop = reads_off_loop
    workers = [asyncio.ensure_future(batch.work()) for _ in range(checked_window(engine, window))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return batch.counts


class _Batch:
    """The rows of a batch, which several workers take from one source."""

    def __init__(
        self,
        engine: Engine,
        lines: Iterable[Line],
        write: Callable[[bytes], object],
        counts: Counts,
        earlier: Earlier,
        progress: Callable[[], object],
        options: dict[str, Any],
    ) -> None:
        self.counts = counts
        self.reads_off_loop = False
        # Nobody could go on from a response: rows end in any order.
        self._app = create_app(engine, **{"max_stored": 0, **options})
        self._lines = iter(lines)
        self._write = write
        self._earlier = earlier
        self._progress = progress
        self._names: set[str] = set()
        self._reading = asyncio.Lock()

    async def work(self) -> None:
        """Compute rows until there are none left."""
        while (line := await self._next_line()) is not None:
            row = await self._row_of(line)
            if row is not None:
                self._write(row)
            self.counts.n_bytes += line.n_bytes
            self._progress()

    async def _next_line(self) -> Line | None:
        if not self.reads_off_loop:
            await asyncio.sleep(0)  # rows that need no computing would keep the loop for themselves
            return next(self._lines, None)
        async with self._reading:
            return await off_loop(lambda: next(self._lines, None))

    async def _row_of(self, line: Line) -> bytes | None:
        """Return the row of a line, ``None`` if there is one already, and count it."""
        found = self._read(line)
        if self._is_there(line, found):
            return None
        if isinstance(found, BadLine):
            self.counts.failed += 1
            return error_row(line, found)
        answer = await self._answer(found)
        if answer.status < 400:
            self.counts.done += 1
        else:
            self.counts.failed += 1
        return answer_row(found, answer)

    def _read(self, line: Line) -> Request | BadLine:
        found: Request | BadLine
        try:
            found = read_request(line)
        except BadLine as problem:
            found = problem
        name = found.custom_id
        if name is not None and name in self._names:
            # It has no name of its own: in the output each name stands once.
            return BadLine("duplicate_custom_id", f"an earlier line has the custom_id {name[:100]!r} too")
        if name is not None:
            self._names.add(name)
        return found

    def _is_there(self, line: Line, found: Request | BadLine) -> bool:
        if isinstance(found, BadLine) and found.custom_id is None:
            is_error = (line.number, found.message) in self._earlier.nameless
        else:
            is_error = found.custom_id in self._earlier.errors
        is_there = is_error or found.custom_id in self._earlier.results
        self.counts.skipped += is_there
        self.counts.failed_before += is_error
        return is_there

    async def _answer(self, request: Request) -> Whole:
        """Return the answer of the app, which is asked again as long as its queue is full."""
        while True:  # an engine that has nothing else to do takes every request
            scope = http_scope("POST", request.path, query=request.query, headers=_HEADERS)
            answer = await whole_answer(self._app, scope, request.body)
            if answer.status == 429:
                await asyncio.sleep(_RETRY_S)
                continue
            if answer.status == 503 and error_code(answer) == "engine_closed":
                raise EngineClosedError("the engine was closed; the rows that had ended are written")
            return answer
