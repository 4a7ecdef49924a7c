"""The events of an answer in Anthropic's shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inllama.chat_outputs import ChatCompletion, ChatEvent, ReasoningDelta, TextDelta, ToolCallDelta
from inllama.server.event_text import named_event
from inllama.server.failures import Failure, anthropic_dict


class MessageEvents:
    """Writes events: a block begins, grows and ends before the next one begins.

    Args:
        request_id: Of the request, for errors.
        beginning: The message without its content.
        end_of: Returns why the message ended, and its usage.
    """

    def __init__(
        self,
        request_id: str,
        beginning: dict[str, Any],
        end_of: Callable[[ChatCompletion[Any]], tuple[dict[str, Any], dict[str, int]]],
    ) -> None:
        self._request_id = request_id
        self._beginning = beginning
        self._end_of = end_of
        self._n_blocks = 0
        self._open: tuple[str, int] | None = None

    def start(self, n_prompt: int) -> bytes:
        """The message, still empty; how much of the prompt was in memory is known at the end."""
        message = {**self._beginning, "usage": {**self._beginning["usage"], "input_tokens": n_prompt}}
        return _write("message_start", message=message) + _write("ping")

    def event(self, event: ChatEvent) -> bytes:
        """A piece of a block, with what opens it."""
        if isinstance(event, TextDelta):
            return self._add(("text", 0), {"type": "text", "text": ""}, {"type": "text_delta", "text": event.text})
        if isinstance(event, ReasoningDelta):
            block = {"type": "thinking", "thinking": "", "signature": ""}
            return self._add(("thinking", 0), block, {"type": "thinking_delta", "thinking": event.text})
        if isinstance(event, ToolCallDelta):
            call: dict[str, Any] = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": event.arguments}
            return self._add(("tool_use", event.call_index), call, delta)
        return b""

    def end(self, completion: ChatCompletion[Any]) -> bytes:
        """Why it ended, and the usage."""
        left = self._leave()
        if self._n_blocks == 0:  # an answer has a block, even of nothing
            left = self._add(("text", 0), {"type": "text", "text": ""}, None) + self._leave()
        delta, usage = self._end_of(completion)
        return left + _write("message_delta", delta=delta, usage=usage) + _write("message_stop")

    def failed(self, failure: Failure) -> bytes:
        """The error."""
        return named_event("error", anthropic_dict(failure, self._request_id))

    def _add(self, place: tuple[str, int], block: dict[str, Any], delta: dict[str, Any] | None) -> bytes:
        written = b""
        if self._open != place:
            written = self._leave() + _write("content_block_start", index=self._n_blocks, content_block=block)
            self._open = place
        if delta is None:
            return written
        return written + _write("content_block_delta", index=self._n_blocks, delta=delta)

    def _leave(self) -> bytes:
        if self._open is None:
            return b""
        written = _write("content_block_stop", index=self._n_blocks)
        self._open = None
        self._n_blocks += 1
        return written


def _write(kind: str, **fields: Any) -> bytes:
    return named_event(kind, {"type": kind, **fields})
