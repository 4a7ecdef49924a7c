"""Many requests in flat memory, for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator
from typing import Generic, TypeVar

from inllama.engine import Engine
from inllama.mailbox import Mailbox
from inllama.reception import Event, Reception
from inllama.request import Prepared
from inllama.rows import Rows

_T = TypeVar("_T")


class _Source(Generic[_T]):
    """Rows from an iterable of either kind. An asynchronous one is read by a task, while results go on.

    Attributes:
        is_empty: Whether nothing more comes.
        error: What the iterable raised in the end.
    """

    def __init__(self, rows: Iterable[_T] | AsyncIterable[_T], news: asyncio.Event) -> None:
        self.is_empty = False
        self.error: BaseException | None = None
        self._news = news
        self._found: list[_T] = []
        self._is_wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._now: Iterator[_T] | None = None
        if isinstance(rows, AsyncIterable):
            self._task = asyncio.create_task(self._read(rows))
        else:
            self._now = iter(rows)

    def next(self) -> list[_T]:
        """Return the next row, or nothing if there is none now; sets ``news`` when it comes."""
        if self._now is None:
            found, self._found = self._found, []
            if not found:
                self._is_wanted.set()
            return found
        try:
            return [next(self._now)]
        except StopIteration:
            self.is_empty = True
        except Exception as error:
            self._end(error)
        return []

    async def _read(self, rows: AsyncIterable[_T]) -> None:
        # One task for all: what a source opens for several rows, such as a timeout, belongs to one.
        try:
            later = aiter(rows)
            while True:
                await self._is_wanted.wait()
                row = await anext(later)
                self._found = [row]
                self._is_wanted.clear()
                self._news.set()
        except StopAsyncIteration:
            self.is_empty = True
        except asyncio.CancelledError as error:
            self._end(error)
            raise
        except Exception as error:
            self._end(error)
        finally:
            self._news.set()

    def _end(self, error: BaseException) -> None:
        self.error = error
        self.is_empty = True

    async def close(self) -> None:
        """Ask for nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


class _Receiver:
    reads_at_once = True

    def __init__(self, rows: Rows, news: asyncio.Event) -> None:
        self._rows = rows
        self._news = news

    def deliver(self, event: Event) -> bool:
        is_over = self._rows.receive(event)
        if is_over:
            self._news.set()
        return is_over


async def complete_each_async(
    engine: Engine,
    rows: Iterable[_T] | AsyncIterable[_T],
    prepare: Callable[[_T], Awaitable[Prepared | Exception]],
    *,
    window: int,
    ordered: bool,
) -> AsyncGenerator[tuple[int, Reception], None]:
    """Compute rows together; yields each with its index. Cancels what runs when closed.

    What ``rows`` raises is raised when the rows before it were given out.
    """
    mailbox = Mailbox.of_running_loop()
    news = asyncio.Event()

    def submit(request: Prepared) -> int:
        return mailbox.submit(engine, request, receiver)

    under_way = Rows(engine, submit, window, ordered=ordered)
    receiver = _Receiver(under_way, news)
    source = _Source(rows, news)
    try:
        while True:
            news.clear()
            under_way.submit()
            while under_way.wants_more and not source.is_empty:
                found = source.next()
                if not found:
                    break
                under_way.add(await prepare(found[0]))
                await asyncio.sleep(0)  # others use the loop between two rows
            row = under_way.give()
            if row is not None:
                yield row
            elif under_way.refused is not None and not under_way.numbers:
                async with mailbox.line(engine, under_way.refused):
                    under_way.submit()
                    while under_way.refused is not None:
                        await mailbox.wait_for_room()
                        under_way.submit()
            elif not under_way.is_empty or not source.is_empty:
                await news.wait()
            elif source.error is not None:
                raise source.error
            else:
                return
    finally:
        for number in under_way.numbers:
            engine.cancel(number)
        await source.close()
