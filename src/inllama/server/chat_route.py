"""``/v1/chat/completions``."""

from __future__ import annotations

import time
from typing import Any

from inllama.chat_outputs import ChatCompletion, ChatEvent, Finished, ReasoningDelta, TextDelta, ToolCallDelta
from inllama.server.answering import FINGERPRINT, complete_chat, finish_of, plain_timings, stream_chat
from inllama.server.call import Answer, Call, EventAnswer, JsonAnswer
from inllama.server.chat_body import ChatBody
from inllama.server.chat_options import read_chat
from inllama.server.event_text import DONE, event, quoted, to_text
from inllama.server.failures import Failure


async def chat_completions(call: Call, body: ChatBody) -> Answer:
    """Answer a chat."""
    ask = read_chat(body, call)
    name = ask.options["request_id"] = call.new_name("chatcmpl-")
    if not body.stream:
        if body.stream_options is not None:
            raise Failure(400, "stream_options needs stream=true", code="invalid_value", param="stream_options")
        return JsonAnswer(whole_chat(await complete_chat(call, ask), call.model))
    has_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    writer = ChatChunks(name, call.model, body.n or 1, has_usage=has_usage)
    return EventAnswer(await stream_chat(call, ask, writer))


def whole_chat(completion: ChatCompletion[Any], model: str) -> dict[str, Any]:
    """Return OpenAI's shape of an answer."""
    plain = completion.to_dict()
    for choice in plain["choices"]:
        choice["finish_reason"] = finish_of(choice["finish_reason"])
    return {
        **plain,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": FINGERPRINT,
        "timings": plain_timings(completion.timings),
    }


class ChatChunks:
    """Writes chunks in OpenAI's shape.

    Args:
        name: Of the answer.
        model: Its name.
        n_outputs: Of the request.
        has_usage: Whether the usage comes last.
    """

    def __init__(self, name: str, model: str, n_outputs: int, *, has_usage: bool) -> None:
        self._n_outputs = n_outputs
        self._has_usage = has_usage
        facts = {
            "id": name,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        self._facts = to_text(facts)[:-1]
        self._tail = ',"finish_reason":null}]' + (',"usage":null}\n\n' if has_usage else "}\n\n")
        self._heads = [f'data: {self._facts},"choices":[{{"index":{index},"delta":' for index in range(n_outputs)]

    def start(self, n_prompt: int) -> bytes:
        """The role of each output."""
        return b"".join(self._delta(index, '{"role":"assistant","content":""}') for index in range(self._n_outputs))

    def event(self, event: ChatEvent) -> bytes:
        """One chunk."""
        if isinstance(event, TextDelta):
            delta = f'{{"content":{quoted(event.text)}}}'
            if event.logprobs:
                logprobs = {"content": [one.to_dict() for one in event.logprobs]}
                delta += f',"logprobs":{to_text(logprobs)}'
            return self._delta(event.index, delta)
        if isinstance(event, ReasoningDelta):
            return self._delta(event.index, f'{{"reasoning_content":{quoted(event.text)}}}')
        if isinstance(event, ToolCallDelta):
            return self._delta(event.index, to_text({"tool_calls": [_plain_call(event)]}))
        return self._finish(event)

    def _delta(self, index: int, delta: str) -> bytes:
        return f"{self._heads[index]}{delta}{self._tail}".encode()

    def _finish(self, event: Finished) -> bytes:
        tail = self._tail.replace("null", to_text(finish_of(event.finish_reason)), 1)
        return f"{self._heads[event.index]}{{}}{tail}".encode()

    def end(self, completion: ChatCompletion[Any]) -> bytes:
        """The usage, if it is wanted, and the mark of the end."""
        if not self._has_usage:
            return DONE
        usage, timings = to_text(completion.usage.to_dict()), to_text(plain_timings(completion.timings))
        return f'data: {self._facts},"choices":[],"usage":{usage},"timings":{timings}}}\n\n'.encode() + DONE

    def failed(self, failure: Failure) -> bytes:
        """The error, without the mark of the end."""
        return event(failure.to_dict())


def _plain_call(delta: ToolCallDelta) -> dict[str, Any]:
    function: dict[str, str] = {"arguments": delta.arguments}
    if delta.name is None:
        return {"index": delta.call_index, "function": function}
    return {
        "index": delta.call_index,
        "id": delta.id,
        "type": "function",
        "function": {"name": delta.name, **function},
    }
