"""``AsyncConversation``: the turns of a chat, with its tools, for an event loop."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

from inllama.async_chat_stream import AsyncChatStream
from inllama.async_llm import AsyncLLM
from inllama.chat_outputs import ChatCompletion, ChatEvent
from inllama.errors import ContextFullError, InvalidRequestError
from inllama.history import History, Overflow, message_of
from inllama.off_loop import off_loop
from inllama.talk import Talk
from inllama.tool_rounds import MAX_TOOL_ROUNDS, ToolRounds


class AsyncConversation(Talk[AsyncLLM]):
    """``Conversation`` over an ``AsyncLLM``; one turn at a time, of whatever task. Arguments as there."""

    async def send(
        self, said: Any, *, tools: Sequence[Any] | None = None, max_tool_rounds: int = MAX_TOOL_ROUNDS, **options: Any
    ) -> ChatCompletion[Any]:
        """Say something and return the answer; arguments and errors as ``Conversation.send``.

        Functions that are not asynchronous run on another thread.
        """
        return await self.stream(said, tools=tools, max_tool_rounds=max_tool_rounds, **options).result()

    def stream(
        self, said: Any, *, tools: Sequence[Any] | None = None, max_tool_rounds: int = MAX_TOOL_ROUNDS, **options: Any
    ) -> AsyncTurn:
        """Say something and return the answer's events as they come; arguments as ``send``.

        The turn becomes part of the conversation when it was read to its end.
        """
        return AsyncTurn(self, said, tools, max_tool_rounds, {**self._options, **options})

    async def save(self, path: str | os.PathLike[str], *, kv: bool = False) -> None:
        """Write the messages to a file; arguments and errors as ``Conversation.save``."""
        engine = await self._llm.start() if kv else None
        await off_loop(lambda: self._history.save(path, None if engine is None else self._saved(engine)))

    @classmethod
    async def load(
        cls, llm: AsyncLLM, path: str | os.PathLike[str], *, overflow: Overflow = "raise", **options: Any
    ) -> Self:
        """Return the conversation that ``save`` wrote; arguments and errors as ``Conversation.load``."""
        made = cls(llm, overflow=overflow, **options)
        made._history, state = await off_loop(lambda: History.load(path, overflow))
        if state is not None:
            engine = await llm.start()
            await off_loop(lambda: engine.load_state(state))
        return made


class AsyncTurn:
    """What follows from something that was said: iterate over it for events, or await its ``result()``."""

    def __init__(
        self,
        conversation: AsyncConversation,
        said: Any,
        tools: Sequence[Any] | None,
        max_tool_rounds: int,
        options: dict[str, Any],
    ) -> None:
        self._conversation = conversation
        self._rounds = ToolRounds(tools, max_tool_rounds, options)
        self._before = conversation._history
        self._history = self._before.copy()
        self._history.messages.append(message_of(said))
        self._reply: ChatCompletion[Any] | None = None
        self._stream: AsyncChatStream[Any] | None = None
        self._is_cancelled = False
        self._events = self._run()

    def cancel(self) -> None:
        """End the answer with ``finish_reason="cancelled"``: what came until then becomes part of the conversation."""
        self._is_cancelled = True
        if self._stream is not None:
            self._stream.cancel()

    async def result(self) -> ChatCompletion[Any]:
        """Generate what is left and return the last answer."""
        with self._conversation._alone():
            async for _ in self:
                pass
        if self._reply is None:
            raise InvalidRequestError("the turn was closed before it had an answer")
        return self._reply

    async def aclose(self) -> None:
        """Stop without an answer: the conversation stays as it was."""
        await self._events.aclose()

    async def _run(self) -> AsyncGenerator[ChatEvent, None]:
        while True:
            async with await self._start() as self._stream:
                if self._is_cancelled:
                    self._stream.cancel()
                async for event in self._stream:
                    yield event
                self._reply = reply = await self._stream.result()
            self._history.messages.append(reply.message.to_dict())
            calls = self._rounds.next_calls(reply)
            if not calls:
                break
            for call in calls:
                self._history.messages.append(await self._rounds.answer_async(call))
        self._conversation._add_turn(self._before, self._history)

    async def _start(self) -> AsyncChatStream[Any]:
        llm, history, options = self._conversation._llm, self._history, self._rounds.options
        while True:
            stream: AsyncChatStream[Any] = llm.stream_chat(history.messages, **options)
            try:
                prompt = await stream.start()
            except ContextFullError:
                if not history.shorten():
                    raise
                continue
            is_crowded = history.is_crowded(prompt, llm.engine.n_ctx, options.get("max_tokens"))
            if not is_crowded or not history.shorten():
                history.note_prompt(prompt, (options["tools"], options.get("tool_choice")))
                return stream
            await stream.aclose()

    def __aiter__(self) -> AsyncIterator[ChatEvent]:
        return self

    async def __anext__(self) -> ChatEvent:
        return await anext(self._events)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
