"""``ChatStream``: what a model answers in a chat, as it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Generic, Self, TypeVar

from inllama.chat_assembly import AnswerReader, chat_completion
from inllama.chat_outputs import ChatCompletion, ChatEvent, Finished
from inllama.chat_request import AskedPrompt, ChatRequest
from inllama.engine import Engine
from inllama.stream import TextStream

T = TypeVar("T")


class ChatStream(Generic[T]):
    """An answer that is being generated: iterate over it for events, or ask for its ``result()``. One consumer."""

    def __init__(self, engine: Engine, chat: ChatRequest) -> None:
        self._chat = chat
        self._readers = readers_of(chat)
        self._events: deque[ChatEvent] = deque()
        self._completion: ChatCompletion[T] | None = None
        self._n_finished = 0
        self._stream = TextStream(engine, chat.request)

    @property
    def request_id(self) -> str:
        """The request's name."""
        return self._stream.request_id

    @property
    def prompt(self) -> AskedPrompt:
        """What the model was asked, with ``text`` and ``token_ids``."""
        return self._chat.prompt

    def cancel(self) -> None:
        """End the request at its next step with ``finish_reason="cancelled"``. Any thread; again does nothing."""
        self._stream.cancel()

    def result(self) -> ChatCompletion[T]:
        """Generate what is left and return everything, events that were read before included.

        Raises:
            GrammarError: The model called what the tools do not allow; ``.completion`` has its answer.
            IncompleteOutputError: ``output`` was asked for, and the answer is not complete; ``.completion`` has it.
        """
        for _ in self:
            pass
        return self._completed()

    def _completed(self) -> ChatCompletion[T]:
        if self._completion is None:
            self._completion = chat_completion(self._chat, self._stream.result(), self._readers)
        return self._completion

    def close(self) -> None:
        """Stop without a result; done by leaving a ``with`` block and by collection."""
        self._events.clear()
        self._stream.close()

    def __iter__(self) -> Iterator[ChatEvent]:
        return self

    def __next__(self) -> ChatEvent:
        while not self._events:
            chunk = next(self._stream)
            self._events.extend(self._readers[chunk.index].push(chunk))
        event = self._events.popleft()
        if isinstance(event, Finished):
            self._n_finished += 1
            if self._n_finished == len(self._readers):
                return replace(event, completion=self._completed())
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def readers_of(chat: ChatRequest) -> list[AnswerReader]:
    """Return what reads each output of a request."""
    return [AnswerReader(chat, index) for index in range(len(chat.request.seeds))]
