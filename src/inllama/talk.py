"""What both kinds of conversation have: messages, and everything that computes nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar

from inllama.chat_request import ChatCall
from inllama.engine import Engine
from inllama.errors import ConcurrentUseError, StateError
from inllama.history import History, JsonMessage, Overflow
from inllama.messages import Messages
from inllama.tools import tools_of

L = TypeVar("L")

_logger = logging.getLogger("inllama")


class Talk(Generic[L]):
    """Base of ``Conversation`` and ``AsyncConversation``, over what computes the answers."""

    def __init__(
        self,
        llm: L,
        *,
        system: str | None = None,
        messages: Messages = (),
        overflow: Overflow = "raise",
        **options: Any,
    ) -> None:
        self._llm = llm
        self._history = History(messages, overflow)
        if options.get("tools") is not None:
            options["tools"] = tools_of(options["tools"])
        self._options = options
        self._sending = threading.Lock()  # held while an answer is awaited
        if system is not None:
            self.system = system

    @property
    def messages(self) -> tuple[JsonMessage, ...]:
        """Everything that was said, in OpenAI's shape."""
        return tuple(self._history.messages)

    @property
    def system(self) -> str | None:
        """The instructions, which may be changed between turns."""
        return self._history.system

    @system.setter
    def system(self, text: str | None) -> None:
        self._history = self._history.copy()  # so that a turn that is computed notices
        self._history.system = text

    def undo(self) -> str | None:
        """Take the last turn back; returns what the user had said."""
        self._history = self._history.copy()
        return self._history.undo()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the conversation for one turn; raises ``ConcurrentUseError`` if somebody else does."""
        if not self._sending.acquire(blocking=False):
            raise ConcurrentUseError("this conversation waits for another answer; wait for that first, or fork() it")
        try:
            yield
        finally:
            self._sending.release()

    def _add_turn(self, before: History, after: History) -> None:
        """Take what came of a turn; raises ``ConcurrentUseError`` if the conversation went on without it."""
        if self._history is not before:
            raise ConcurrentUseError(
                "the conversation was changed while this turn was computed, so it cannot become part of it; take one "
                "turn at a time, or fork() it"
            )
        self._history = after

    def fork(self) -> Self:
        """Return another conversation that begins with the same messages; they are computed once."""
        made = type(self)(self._llm, overflow=self._history.overflow, **self._options)
        made._history = self._history.copy()
        return made

    def _saved(self, engine: Engine) -> bytes | None:
        """Return what the KV cache holds of the messages; ``None``: nothing."""
        if not self._history.messages:
            return None
        options = {**self._options, "add_generation_prompt": False, "continue_final_message": False}
        prompt = ChatCall(engine, None, options, is_streaming=False).render(self._history.messages)
        adapters, salt = options.get("adapters"), options.get("cache_salt", "")
        try:
            return engine.save_state(prompt.token_ids.tolist(), adapters=adapters, cache_salt=salt)
        except StateError:
            _logger.info("the KV cache holds nothing of the conversation, which is saved without it")
            return None

    def __len__(self) -> int:
        return len(self._history.messages)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._llm!r}, {len(self)} messages)"
