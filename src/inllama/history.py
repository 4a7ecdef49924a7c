"""The messages of a conversation: kept, undone, shortened, written to a file and read again."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from inllama.chat_request import AskedPrompt
from inllama.conversation_file import parts_of, with_state
from inllama.errors import InvalidRequestError, StateError
from inllama.messages import Messages, normalized

_logger = logging.getLogger("inllama")

_FORMAT = "inllama.conversation"
_VERSION = 1
_INSTRUCTING = ("system", "developer")
# An eighth of the context is kept for an answer, where messages may be left out for it.
_ROOM_PART = 8

JsonMessage: TypeAlias = dict[str, Any]
Overflow: TypeAlias = "Literal['raise', 'drop_oldest'] | Callable[[list[JsonMessage]], Sequence[Any]]"


class History:
    """Messages in OpenAI's shape, and what is done when they no longer fit."""

    def __init__(self, messages: Messages, overflow: Overflow) -> None:
        if not callable(overflow) and overflow not in ("raise", "drop_oldest"):
            raise InvalidRequestError(
                f"overflow is {overflow!r}; use 'raise', 'drop_oldest' or a function of the messages", option="overflow"
            )
        self.messages: list[JsonMessage] = normalized(messages) if messages else []
        self.overflow = overflow
        self._last_prompt: str | None = None
        self._last_tools: object = None
        self._has_warned = False

    @property
    def system(self) -> str | None:
        """The instructions, if the first message is some."""
        first = self.messages[0] if self.messages else None
        return first["content"] if first is not None and first["role"] in _INSTRUCTING else None

    @system.setter
    def system(self, text: str | None) -> None:
        self._last_prompt = None  # the next one begins otherwise, and not by the template's doing
        rest = [message for message in self.messages if message["role"] not in _INSTRUCTING]
        self.messages = rest if text is None else [*normalized([{"role": "system", "content": text}]), *rest]

    def copy(self) -> History:
        """Return another one with the same messages."""
        made = History((), self.overflow)
        made.messages = [dict(message) for message in self.messages]
        made._last_prompt, made._last_tools = self._last_prompt, self._last_tools
        made._has_warned = self._has_warned
        return made

    def undo(self) -> str | None:
        """Take the last turn back: what the user said last, and all that followed. Returns its text."""
        places = [i for i, message in enumerate(self.messages) if message["role"] == "user"]
        if not places:
            return None
        content = self.messages[places[-1]].get("content")
        del self.messages[places[-1] :]
        self._last_prompt = None
        return content if isinstance(content, str) else None

    def shorten(self) -> bool:
        """Make room by the policy; returns whether the messages became fewer, or shorter."""
        if self.overflow == "raise":
            return False
        before = _size(self.messages)
        if callable(self.overflow):
            shorter = normalized(self.overflow([dict(message) for message in self.messages]))
            if _size(shorter) >= before:
                return False
            self.messages = shorter
        else:
            self._drop_oldest()
        self._last_prompt = None
        return _size(self.messages) < before

    def is_crowded(self, prompt: AskedPrompt, n_ctx: int, max_tokens: int | None) -> bool:
        """Whether a policy should leave something out, because a prompt leaves little room for the answer."""
        wanted = n_ctx // _ROOM_PART if max_tokens is None else min(max_tokens, n_ctx // _ROOM_PART)
        return self.overflow != "raise" and len(prompt.token_ids) + wanted > n_ctx

    def _drop_oldest(self) -> None:
        # A turn begins with what the user says; the last one must stay.
        places = [i for i, message in enumerate(self.messages) if message["role"] == "user"]
        if len(places) > 1:
            del self.messages[places[0] : places[1]]

    def note_prompt(self, prompt: AskedPrompt, tools: object) -> None:
        """Take the prompt of a turn, and warn once if it does not go on where the last one with these tools stood."""
        if tools != self._last_tools:
            self._last_prompt, self._last_tools = None, tools
        # The beginning of the model's turn may look otherwise once it is over.
        text = prompt.text.removesuffix(prompt.generation_prompt)
        last, self._last_prompt = self._last_prompt, text
        if last is None or self._has_warned or text.startswith(last):
            return
        self._has_warned = True
        n_same = next((i for i, (a, b) in enumerate(zip(last, text, strict=False)) if a != b), len(text))
        _logger.warning(
            "this model's template changes earlier turns of a conversation: of %d characters only the first %d stayed, "
            "and what follows them is computed again in every turn",
            len(last),
            n_same,
        )

    def save(self, path: str | os.PathLike[str], state: bytes | None = None) -> None:
        """Write the messages to a file, as JSON, or before the state of the KV cache."""
        data = {"format": _FORMAT, "version": _VERSION, "messages": self.messages}
        text = (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode()
        target = Path(path)
        draft = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        draft.write_bytes(text if state is None else with_state(text, state))
        draft.replace(target)  # never half a file

    @classmethod
    def load(cls, path: str | os.PathLike[str], overflow: Overflow) -> tuple[History, bytes | None]:
        """Read what ``save`` wrote, and the state if it is there.

        Raises:
            StateError: The file is no conversation, or of a version that is not known.
        """
        try:
            text, state = parts_of(Path(path).read_bytes())
            data = json.loads(text.decode())
        except (ValueError, RecursionError) as problem:
            raise StateError(f"{path} is no conversation: {problem}", path=str(path)) from None
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise StateError(f"{path} is no conversation of inllama", path=str(path))
        if data.get("version") != _VERSION:
            raise StateError(
                f"{path} has version {data.get('version')!r} but this inllama reads {_VERSION}",
                path=str(path),
                version=data.get("version"),
            )
        try:
            return cls(data["messages"], overflow), state
        except (InvalidRequestError, TypeError, KeyError) as problem:
            raise StateError(f"{path} is damaged: {problem}", path=str(path)) from None


def _size(messages: list[JsonMessage]) -> int:
    return len(json.dumps(messages))


def message_of(said: Any) -> JsonMessage:
    """Return the message of one turn: a text is the user's."""
    return normalized(said if isinstance(said, str) else [said])[0]
