"""The events of a response that is being generated, in OpenAI's shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from inllama.chat_outputs import ChatCompletion, ChatEvent, ReasoningDelta, TextDelta, ToolCall, ToolCallDelta
from inllama.outputs import TokenLogprob
from inllama.server.event_text import named_event
from inllama.server.failures import Failure
from inllama.server.response_items import ItemNames, call_item, reasoning_item, text_item, text_part


class ResponseEvents:
    """Writes events: an item begins, grows and ends before the next one begins.

    Args:
        names: Ids of the items.
        snapshot: Returns the response with a status, as it is before it has an output.
        finish: Returns the response that a completion becomes.
    """

    def __init__(
        self,
        names: ItemNames,
        snapshot: Callable[[str], dict[str, Any]],
        finish: Callable[[ChatCompletion[Any]], dict[str, Any]],
    ) -> None:
        self._names = names
        self._snapshot = snapshot
        self._finish = finish
        self._n_events = 0
        self._n_items = 0
        self._open: _Item | None = None
        self._n_ended: Counter[type[_Item]] = Counter()

    def start(self, n_prompt: int) -> bytes:
        """That the response was made, and that it is computed."""
        response = self._snapshot("in_progress")
        return self._write("response.created", response=response) + self._write(
            "response.in_progress", response=response
        )

    def event(self, event: ChatEvent) -> bytes:
        """A piece of an item, with what opens it."""
        if isinstance(event, ReasoningDelta):
            return self._enter(_Reasoning(self._name("rs", _Reasoning))) + self._add(event.text)
        if isinstance(event, TextDelta):
            return self._enter(_Text(self._name("msg", _Text))) + self._add(event.text, event.logprobs)
        if isinstance(event, ToolCallDelta):
            call = _Call(self._names.of("fc", event.call_index), event.id or "", event.name or "")
            return self._enter(call) + (self._add(event.arguments) if event.arguments else b"")
        return self._leave("incomplete" if event.finish_reason == "length" else "completed")

    def end(self, completion: ChatCompletion[Any]) -> bytes:
        """The whole response, after a text that no event had: an empty one, or a call that could not be read."""
        response = self._finish(completion)
        first = response["output"][0]
        if self._n_items > 0 or first["type"] != "message":
            return self.completed(response)
        entered = self._enter(_Text(first["id"]))
        text = first["content"][0]["text"]
        return entered + (self._add(text) if text else b"") + self._leave(first["status"]) + self.completed(response)

    def completed(self, response: dict[str, Any]) -> bytes:
        """The same, of a response that is there already."""
        return self._write(f"response.{response['status']}", response=response)

    def failed(self, failure: Failure) -> bytes:
        """The end of a response that failed."""
        error = {"code": "server_error" if failure.status >= 500 else failure.code, "message": failure.message}
        return self._write("response.failed", response={**self._snapshot("failed"), "error": error})

    def _name(self, prefix: str, kind: type[_Item]) -> str:
        # What comes behind a call is an item of its own.
        return self._open.name if isinstance(self._open, kind) else self._names.of(prefix, self._n_ended[kind])

    def _enter(self, item: _Item) -> bytes:
        if self._open is not None and self._open.name == item.name:
            return b""
        left = self._leave()
        self._open = item
        added = self._write("response.output_item.added", output_index=self._n_items, item=item.item("in_progress"))
        return left + added + self._part("added")

    def _add(self, delta: str, logprobs: Sequence[TokenLogprob] = ()) -> bytes:
        assert self._open is not None
        return self._write(self._open.delta, **self._place(), **self._open.grow(delta, logprobs))

    def _leave(self, status: str = "completed") -> bytes:
        item = self._open
        if item is None:
            return b""
        done = self._write(item.done, **self._place(), **item.whole()) + self._part("done")
        ended = self._write("response.output_item.done", output_index=self._n_items, item=item.item(status))
        self._open = None
        self._n_items += 1
        self._n_ended[type(item)] += 1
        return done + ended

    def _part(self, what: str) -> bytes:
        assert self._open is not None
        part = self._open.part()
        return b"" if part is None else self._write(f"response.content_part.{what}", **self._place(), part=part)

    def _place(self) -> dict[str, Any]:
        assert self._open is not None
        place = {"item_id": self._open.name, "output_index": self._n_items}
        return place if self._open.part() is None else {**place, "content_index": 0}

    def _write(self, kind: str, **fields: Any) -> bytes:
        number = self._n_events
        self._n_events += 1
        return named_event(kind, {"type": kind, "sequence_number": number, **fields})


class _Item:
    """An item that grows."""

    delta: str
    done: str

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""

    def grow(self, delta: str, logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
        """Add a piece; returns what its event says."""
        self.text += delta
        return {"delta": delta}

    def item(self, status: str) -> dict[str, Any]:
        """The item as it is."""
        raise NotImplementedError

    def part(self) -> dict[str, Any] | None:
        """Its only part, if it has parts."""
        return None

    def whole(self) -> dict[str, Any]:
        """What the event of its end says."""
        return {"text": self.text}


class _Reasoning(_Item):
    delta, done = "response.reasoning_text.delta", "response.reasoning_text.done"

    def item(self, status: str) -> dict[str, Any]:
        return reasoning_item(self.name, self.text, status=status)

    def part(self) -> dict[str, Any]:
        return {"type": "reasoning_text", "text": self.text}


class _Text(_Item):
    delta, done = "response.output_text.delta", "response.output_text.done"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._logprobs: list[TokenLogprob] = []

    def grow(self, delta: str, logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
        self._logprobs += logprobs
        return {**super().grow(delta, logprobs), "logprobs": [one.to_dict() for one in logprobs]}

    def item(self, status: str) -> dict[str, Any]:
        text = None if status == "in_progress" else self.text
        return text_item(self.name, text, status=status, logprobs=self._logprobs)

    def part(self) -> dict[str, Any]:
        return text_part(self.text, self._logprobs)

    def whole(self) -> dict[str, Any]:
        return {"text": self.text, "logprobs": self.part()["logprobs"]}


class _Call(_Item):
    delta, done = "response.function_call_arguments.delta", "response.function_call_arguments.done"

    def __init__(self, name: str, call_id: str, function: str) -> None:
        super().__init__(name)
        self._call_id = call_id
        self._function = function

    def item(self, status: str) -> dict[str, Any]:
        return call_item(self.name, ToolCall(self._call_id, self._function, {}, self.text), status=status)

    def whole(self) -> dict[str, Any]:
        return {"arguments": self.text, "name": self._function}
