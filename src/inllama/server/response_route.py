"""``/v1/responses``: turns that go on from each other."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from inllama.chat_outputs import ChatCompletion
from inllama.outputs import Usage
from inllama.server.answering import complete_chat, stream_chat
from inllama.server.call import Answer, Call, EventAnswer, JsonAnswer
from inllama.server.chat_options import Ask, effort_options, request_options, sampling_params, tool_options
from inllama.server.failures import Failure
from inllama.server.response_body import ResponseBody
from inllama.server.response_events import ResponseEvents
from inllama.server.response_items import ItemNames, messages_of, output_items
from inllama.server.response_store import StoredResponse

_LOGPROBS = "message.output_text.logprobs"


async def create_response(call: Call, body: ResponseBody) -> Answer:
    """Answer a turn."""
    turn = _Turn(call, body)
    if turn.is_probe:
        return EventAnswer(_probe_events(turn)) if body.stream else JsonAnswer(turn.probed())
    if body.stream:
        return EventAnswer(await stream_chat(call, turn.ask, turn.writer()))
    return JsonAnswer(turn.finish(await complete_chat(call, turn.ask)))


async def get_response(call: Call) -> Answer:
    """Return a response that is kept."""
    return JsonAnswer(_kept(call, call.path_parameter).response)


async def delete_response(call: Call) -> Answer:
    """Forget a response; those that went on from it stay."""
    name = call.path_parameter
    if not call.service.responses.remove(call.tenant, name):
        raise _no_response(name)
    return JsonAnswer({"id": name, "object": "response", "deleted": True})


async def input_items(call: Call) -> Answer:
    """Return what a response was the answer to."""
    own = [{"id": f"in_{index}", **item} for index, item in enumerate(_kept(call, call.path_parameter).own)]
    first, last = (own[0]["id"], own[-1]["id"]) if own else (None, None)
    return JsonAnswer({"object": "list", "data": own, "first_id": first, "last_id": last, "has_more": False})


def _kept(call: Call, name: str) -> StoredResponse:
    found = call.service.responses.get(call.tenant, name)
    if found is None:
        raise _no_response(name)
    return found


def _no_response(name: str, param: str | None = None) -> Failure:
    return Failure(404, f"there is no response {name[:100]!r} any more", code="response_not_found", param=param)


async def _probe_events(turn: _Turn) -> AsyncGenerator[bytes, None]:
    writer = turn.writer()
    yield writer.start(0)
    yield writer.completed(turn.probed())


class _Turn:
    """A request and what becomes of it."""

    def __init__(self, call: Call, body: ResponseBody) -> None:
        self._call = call
        self._body = body
        self._model = call.model
        self._name = call.new_name("resp_")
        self._names = ItemNames()
        self._created = int(time.time())
        text = body.input if body.input is not None else []
        self._own = [{"type": "message", "role": "user", "content": text}] if isinstance(text, str) else text
        self._items = [*self._earlier(), *self._own]
        self.tools = _function_tools(call, body.tools or [])
        # Agents ask without an input whether the server is there.
        self.is_probe = not self._items or body.generate is False
        self.ask = Ask(messages_of(body.instructions, self._items), *self._asked())

    def _earlier(self) -> tuple[dict[str, Any], ...]:
        previous = self._body.previous_response_id
        if previous is None:
            return ()
        found = self._call.service.responses.get(self._call.tenant, previous)
        if found is None:
            raise _no_response(previous, "previous_response_id")
        return found.items

    def _asked(self) -> tuple[Any, dict[str, Any]]:
        body, call = self._body, self._call
        changed: dict[str, Any] = {}
        if body.max_output_tokens is not None:
            changed["max_tokens"] = body.max_output_tokens
        text = body.text.format if body.text is not None else None
        if text is not None and text.type == "json_object":
            changed["json_schema"] = {"type": "object"}
        elif text is not None and text.type == "json_schema":
            if text.schema_ is None:
                raise Failure(400, "text.format.schema is missing", code="invalid_value", param="text")
            changed["json_schema"] = text.schema_
        if body.text is not None and body.text.verbosity not in (None, "medium"):
            call.ignore(["text.verbosity"])
        options = request_options(body, call) | tool_options(self.tools, _choice(body.tool_choice))
        options["request_id"] = self._name
        options |= body.given({"reasoning_budget", "chat_template_kwargs"})
        if self.tools and body.parallel_tool_calls is not None:
            options["parallel_tool_calls"] = body.parallel_tool_calls
        if body.reasoning is not None and body.reasoning.effort is not None:
            options |= effort_options(call, body.reasoning.effort, options.get("chat_template_kwargs"))
        if body.top_logprobs is not None or _LOGPROBS in (body.include or ()):
            options |= {"logprobs": True, "top_logprobs": body.top_logprobs}
        return sampling_params(body, changed), options

    def writer(self) -> ResponseEvents:
        """Return what writes the events."""
        return ResponseEvents(self._names, partial(self.response, output=[], usage=None), self.finish)

    def probed(self) -> dict[str, Any]:
        """Return the response to a request that asks for nothing, and keep it."""
        response = self.response("completed", output=[], usage=_usage(Usage(0, 0), 0))
        self._keep(response, [])
        return response

    def finish(self, completion: ChatCompletion[Any]) -> dict[str, Any]:
        """Return the response that a completion becomes, and keep it."""
        choice = completion.choices[0]
        is_cut = choice.finish_reason == "length"
        status = "incomplete" if is_cut else "completed"
        output = output_items(choice.message, self._names, status=status, logprobs=choice.logprobs)
        thought = choice.message.reasoning_content
        n_reasoning = len(self._call.engine.encode(thought, add_special=False)) if thought else 0
        response = self.response(status, output=output, usage=_usage(completion.usage, n_reasoning))
        if is_cut:
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        self._keep(response, output)
        return response

    def _keep(self, response: dict[str, Any], output: list[dict[str, Any]]) -> None:
        if self._body.store is not False:
            stored = StoredResponse(response, (*self._items, *output), tuple(self._own))
            self._call.service.responses.put(self._call.tenant, stored)

    def response(self, status: str, *, output: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
        """Return the response in OpenAI's shape."""
        body = self._body
        format_ = body.text.format if body.text is not None else None
        shown = {"type": "text"} if format_ is None else format_.model_dump(by_alias=True, exclude_none=True)
        return {
            "id": self._name,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": self._model,
            "output": output,
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
            "store": body.store is not False,
            "temperature": body.temperature,
            "text": {"format": shown},
            "tool_choice": body.tool_choice or "auto",
            "tools": [tool for tool in body.tools or [] if tool.get("type") == "function"],
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": usage,
        }


def _usage(usage: Usage, n_reasoning: int) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": n_reasoning},
        "total_tokens": usage.total_tokens,
    }


def _function_tools(call: Call, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the functions in the shape of chats; what only a service of OpenAI's could do is left out, and noted."""
    found = []
    for tool in tools:
        kind = tool.get("type")
        if kind == "function":
            function = {key: tool[key] for key in ("name", "description", "parameters") if tool.get(key) is not None}
            found.append({"type": "function", "function": function})
        else:
            call.ignore([f"tools[{str(kind)[:40]}]"])
    return found


def _choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    if choice.get("type") == "allowed_tools" and isinstance(choice.get("tools"), list):
        listed = [_choice(tool) if isinstance(tool, dict) else tool for tool in choice["tools"]]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode"), "tools": listed}}
    return choice
