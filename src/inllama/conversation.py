"""``Conversation``: the turns of a chat, with its tools."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from inllama.chat_outputs import ChatCompletion, ChatEvent
from inllama.chat_stream import ChatStream
from inllama.errors import ContextFullError, InvalidRequestError
from inllama.history import History, Overflow, message_of
from inllama.llm import LLM
from inllama.talk import Talk
from inllama.tool_rounds import MAX_TOOL_ROUNDS, ToolRounds


class Conversation(Talk[LLM]):
    """A chat that remembers what was said. One turn at a time: ``fork()`` it for others beside it.

    Only what is new in a turn is computed: the engine remembers the rest.

    >>> import inllama
    >>> with inllama.LLM() as llm:
    ...     talk = inllama.Conversation(llm, system="You are a helpful assistant.")
    ...     reply = talk.send("Hello! My name is Ada.", seed=1)
    ...     len(talk.messages)
    3

    Args:
        llm: Computes the answers; it is not closed with the conversation.
        system: Instructions, the first message.
        messages: What was said already.
        overflow: When the messages no longer fit into the context: raise ``ContextFullError``; drop the oldest turns;
            or a function that is given the messages and returns fewer or shorter ones. For the last two they have to
            leave an eighth of the context to the answer, or ``max_tokens`` if that is less.
        **options: Options of every turn, as of ``LLM.chat``. Functions among its ``tools`` run as those of ``send``; an
            answer that calls a declaration without a function is returned.
    """

    def send(
        self, said: Any, *, tools: Sequence[Any] | None = None, max_tool_rounds: int = MAX_TOOL_ROUNDS, **options: Any
    ) -> ChatCompletion[Any]:
        """Say something and return the answer.

        Args:
            said: A text, or a message.
            tools: Functions that the model can call, instead of the conversation's. They run here, one after the other,
                and the model is given what they return or raise, until it answers in words. A ``tool_choice`` counts
                for the first answer; then it is up to the model.
            max_tool_rounds: So many times; then the answer with the calls is returned.
            **options: Options of this turn, which override those of the conversation.

        Raises:
            ConcurrentUseError: Another thread waits for an answer, or changed the conversation meanwhile.
            ContextFullError: The messages do not fit, and ``overflow`` does not help. As with every error, the
                conversation is as it was before.
        """
        return self.stream(said, tools=tools, max_tool_rounds=max_tool_rounds, **options).result()

    def stream(
        self, said: Any, *, tools: Sequence[Any] | None = None, max_tool_rounds: int = MAX_TOOL_ROUNDS, **options: Any
    ) -> Turn:
        """Say something and return the answer's events as they come; arguments as ``send``.

        The turn becomes part of the conversation when it was read to its end.
        """
        return Turn(self, said, tools, max_tool_rounds, {**self._options, **options})

    def save(self, path: str | os.PathLike[str], *, kv: bool = False) -> None:
        """Write the messages to a file, as JSON; with ``kv`` also what the KV cache holds of them.

        What was computed is then not computed again by whoever loads it, in this or another process.

        Raises:
            UnsupportedError: With ``kv``: what this model remembers cannot be saved.
        """
        self._history.save(path, self._saved(self._llm.engine) if kv else None)

    @classmethod
    def load(cls, llm: LLM, path: str | os.PathLike[str], *, overflow: Overflow = "raise", **options: Any) -> Self:
        """Return the conversation that ``save`` wrote; a state of the KV cache goes into that of ``llm``.

        Raises:
            StateError: The file is no conversation, or damaged, or of a version that is not known; or its state is of
                another model, or of an engine with other options.
        """
        made = cls(llm, overflow=overflow, **options)
        made._history, state = History.load(path, overflow)
        if state is not None:
            llm.engine.load_state(state)
        return made


class Turn:
    """What follows from something that was said: iterate over it for events, or ask for its ``result()``."""

    def __init__(
        self,
        conversation: Conversation,
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
        self._stream: ChatStream[Any] | None = None
        self._is_cancelled = False
        self._events = self._run()

    def cancel(self) -> None:
        """End the answer with ``finish_reason="cancelled"``: what came until then becomes part of the conversation."""
        self._is_cancelled = True
        if self._stream is not None:
            self._stream.cancel()

    def result(self) -> ChatCompletion[Any]:
        """Generate what is left and return the last answer."""
        with self._conversation._alone():
            for _ in self:
                pass
        if self._reply is None:
            raise InvalidRequestError("the turn was closed before it had an answer")
        return self._reply

    def close(self) -> None:
        """Stop without an answer: the conversation stays as it was."""
        self._events.close()

    def _run(self) -> Generator[ChatEvent, None, None]:
        while True:
            with self._start() as self._stream:
                if self._is_cancelled:
                    self._stream.cancel()
                yield from self._stream
                self._reply = reply = self._stream.result()
            self._history.messages.append(reply.message.to_dict())
            calls = self._rounds.next_calls(reply)
            if not calls:
                break
            for call in calls:
                self._history.messages.append(self._rounds.answer(call))
        self._conversation._add_turn(self._before, self._history)

    def _start(self) -> ChatStream[Any]:
        llm, history, options = self._conversation._llm, self._history, self._rounds.options
        while True:
            try:
                stream: ChatStream[Any] = llm.stream_chat(history.messages, **options)
            except ContextFullError:
                if not history.shorten():
                    raise
                continue
            is_crowded = history.is_crowded(stream.prompt, llm.engine.n_ctx, options.get("max_tokens"))
            if not is_crowded or not history.shorten():
                history.note_prompt(stream.prompt, (options["tools"], options.get("tool_choice")))
                return stream
            stream.close()

    def __iter__(self) -> Iterator[ChatEvent]:
        return self

    def __next__(self) -> ChatEvent:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
