"""What both kinds of conversation have: messages, and everything that computes nothing."""

from __future__ import annotations

import os
from typing import Any, Generic, Self, TypeVar

from inllama.history import History, JsonMessage, Overflow
from inllama.messages import Messages

L = TypeVar("L")


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
        self._options = options
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
        self._history.system = text

    def undo(self) -> str | None:
        """Take the last turn back; returns what the user had said."""
        return self._history.undo()

    def fork(self) -> Self:
        """Return another conversation that begins with the same messages; they are computed once."""
        made = type(self)(self._llm, overflow=self._history.overflow, **self._options)
        made._history = self._history.copy()
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the messages to a file, as JSON."""
        self._history.save(path)

    @classmethod
    def load(cls, llm: L, path: str | os.PathLike[str], *, overflow: Overflow = "raise", **options: Any) -> Self:
        """Return the conversation that ``save`` wrote.

        Raises:
            StateError: The file is no conversation, or of a version that is not known.
        """
        made = cls(llm, overflow=overflow, **options)
        made._history = History.load(path, overflow)
        return made

    def __len__(self) -> int:
        return len(self._history.messages)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._llm!r}, {len(self)} messages)"
