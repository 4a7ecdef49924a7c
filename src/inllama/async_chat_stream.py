"""``AsyncChatStream``: what a model answers in a chat, as it comes, for an event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Generic, Self, TypeVar

from inllama.async_stream import AsyncTextStream
from inllama.chat_assembly import AnswerReader, chat_completion
from inllama.chat_outputs import ChatCompletion, ChatEvent, Finished
from inllama.chat_request import AskedPrompt, ChatRequest
from inllama.chat_stream import readers_of
from inllama.engine import Engine
from inllama.request import Prepared

T = TypeVar("T")


class _Started:
    """What is known once the messages have become a prompt. The stream would refer to itself without it."""

    __slots__ = ("chat", "readers")

    def __init__(self) -> None:
        self.chat: ChatRequest | None = None
        self.readers: list[AnswerReader] = []


class AsyncChatStream(Generic[T]):
    """An answer that is being generated: iterate over it for events, or await its ``result()``. One consumer.

    It starts with the first of these, and is read in the event loop where it started. When the task that reads it is
    cancelled, so is the request.
    """

    def __init__(self, prepare: Callable[[], Awaitable[tuple[Engine, ChatRequest]]]) -> None:
        self._started = started = _Started()
        self._events: deque[ChatEvent] = deque()
        self._completion: ChatCompletion[T] | None = None
        self._n_finished = 0

        async def request() -> tuple[Engine, Prepared]:
            engine, started.chat = await prepare()
            started.readers = readers_of(started.chat)
            return engine, started.chat.request

        self._stream = AsyncTextStream(request)

    @property
    def request_id(self) -> str | None:
        """The request's name; ``None`` before it has started."""
        return self._stream.request_id

    def cancel(self) -> None:
        """End the request at its next step with ``finish_reason="cancelled"``. Any thread; again does nothing.

        One that has not started yet gives no events.
        """
        self._stream.cancel()

    async def start(self) -> AskedPrompt:
        """Hand the request over, and return what the model was asked, with ``text`` and ``token_ids``.

        Raises as the first event would: when the messages, the options or the prompt's length do not fit.
        """
        await self._stream.start()
        assert self._started.chat is not None
        return self._started.chat.prompt

    async def result(self) -> ChatCompletion[T]:
        """Generate what is left and return everything, also what was read before; errors as ``ChatStream``."""
        async for _ in self:
            pass
        return await self._completed()

    async def _completed(self) -> ChatCompletion[T]:
        if self._completion is None:
            completion = await self._stream.result()
            assert self._started.chat is not None
            self._completion = chat_completion(self._started.chat, completion, self._started.readers)
        return self._completion

    async def aclose(self) -> None:
        """Stop without a result; done by leaving an ``async with`` block and by collection."""
        self._events.clear()
        await self._stream.aclose()

    def __aiter__(self) -> AsyncIterator[ChatEvent]:
        return self

    async def __anext__(self) -> ChatEvent:
        while not self._events:
            chunk = await anext(self._stream)
            self._events.extend(self._started.readers[chunk.index].push(chunk))
        event = self._events.popleft()
        if isinstance(event, Finished):
            self._n_finished += 1
            if self._n_finished == len(self._started.readers):
                return replace(event, completion=await self._completed())
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
