"""From the body of a chat to the arguments of ``AsyncLLM.stream_chat``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inllama.engine import Engine
from inllama.errors import InllamaError
from inllama.params import SamplingParams
from inllama.server.body import REQUEST, SAMPLING, SamplingBody, unsupported_field
from inllama.server.call import Call
from inllama.server.chat_body import CHAT, ChatBody, ResponseFormat
from inllama.server.failures import Failure

# What a template may call how long its model shall reason.
_EFFORT = "reasoning_effort"


@dataclass(frozen=True, slots=True)
class Ask:
    """What a model is asked, whatever the API.

    Attributes:
        messages: In OpenAI's shape.
        params: Sampling options.
        options: Other keywords of ``stream_chat``.
    """

    messages: list[dict[str, Any]]
    params: SamplingParams
    options: dict[str, Any]


def sampling_params(body: SamplingBody, changed: Mapping[str, Any] | None = None) -> SamplingParams:
    """Return the sampling options of a body, and some that have other names there."""
    given = body.given(SAMPLING) | dict(changed or {})
    try:
        return SamplingParams.from_dict(given)
    except TypeError as problem:
        raise Failure(400, str(problem), code="invalid_value") from None


def request_options(body: SamplingBody, call: Call, n_prompts: int = 1) -> dict[str, Any]:
    """Return what a body asks of the engine besides tokens: within limits, apart from other keys, without waiting."""
    allowed = call.service.options
    given = body.given(REQUEST)
    n_outputs = n_prompts * given.get("n", 1)
    if n_outputs > allowed.max_outputs:
        raise Failure(
            400,
            f"{n_outputs} outputs are asked for, and at most {allowed.max_outputs} are allowed; ask several times",
            code="too_many_outputs",
            param="n",
        )
    if given.get("priority", 0) > 0:
        raise Failure(
            400, "priority must be 0 or less: nobody goes before others here", code="invalid_value", param="priority"
        )
    limit = allowed.request_timeout_s
    if limit is not None:
        given["timeout_s"] = min(given.get("timeout_s", limit), limit)
    given["cache_salt"] = salt(call, given.get("cache_salt", ""))
    return {**given, "wait": False, "request_id": call.request_id}


def salt(call: Call, asked: str) -> str:
    """Return the ``cache_salt`` of a request: keys share no prefixes."""
    return f"{call.tenant}:{asked}" if call.tenant else asked


def read_chat(body: ChatBody, call: Call) -> Ask:
    """Return what a chat asks for.

    Raises:
        Failure: Something is not there, or too much.
        InvalidRequestError: An option has a value that is not possible.
    """
    changed: dict[str, Any] = {}
    if body.max_completion_tokens is not None:
        changed["max_tokens"] = body.max_completion_tokens
    if body.response_format is not None:
        changed |= _structure(body.response_format)
    options = request_options(body, call) | body.given(CHAT)
    if body.logprobs:
        options |= {"logprobs": True, "top_logprobs": body.top_logprobs}
    elif body.top_logprobs is not None:
        raise Failure(400, "top_logprobs needs logprobs=true", code="invalid_value", param="top_logprobs")
    options |= tool_options(body.tools or [], body.tool_choice)
    if not options.get("tools"):
        options.pop("parallel_tool_calls", None)
    if body.reasoning_effort is not None:
        options |= effort_options(call, body.reasoning_effort, options.get("chat_template_kwargs"))
    return Ask(body.messages, sampling_params(body, changed), options)


def _structure(asked: ResponseFormat) -> dict[str, Any]:
    if asked.type == "text":
        return {}
    if asked.type == "json_object":
        return {"json_schema": {"type": "object"}}
    if asked.json_schema is None or asked.json_schema.schema_ is None:
        raise Failure(
            400,
            "response_format.json_schema.schema is missing; give the schema, or the type json_object",
            code="invalid_value",
            param="response_format",
        )
    return {"json_schema": asked.json_schema.schema_}


def tool_options(tools: list[dict[str, Any]], choice: str | dict[str, Any] | None) -> dict[str, Any]:
    """Return the tools that can be called, and whether they must be."""
    for tool in tools:
        if tool.get("type") != "function":
            raise unsupported_field(f"a tool of the type {str(tool.get('type'))[:50]!r}", ("function",))
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        tools, choice = _allowed(tools, choice.get("allowed_tools"))
    found: dict[str, Any] = {"tools": tools} if tools else {}
    if choice is not None:
        found["tool_choice"] = choice
    return found


def _allowed(tools: list[dict[str, Any]], allowed: Any) -> tuple[list[dict[str, Any]], str]:
    mode = allowed.get("mode") if isinstance(allowed, dict) else None
    listed = allowed.get("tools") if isinstance(allowed, dict) else None
    if mode not in ("auto", "required") or not isinstance(listed, list):
        raise Failure(400, "allowed_tools needs a mode and tools", code="invalid_value", param="tool_choice")
    names = [_name(tool) for tool in listed]
    return [tool for tool in tools if _name(tool) in names], mode


def _name(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, dict) else None
    return function.get("name") if isinstance(function, dict) else None


def effort_options(call: Call, effort: str, variables: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return how a model is told how long it shall reason; one that cannot be told goes on as ever, and it is noted."""
    try:
        template = call.engine.chat_template(None)
    except InllamaError:
        return {}  # which the chat says better
    if _EFFORT in template.source:
        return {"chat_template_kwargs": {_EFFORT: effort, **(variables or {})}}
    if effort == "none":
        return {"reasoning": False}
    if _can_switch(call.engine):
        return {"reasoning": True}
    call.ignore([_EFFORT])
    return {}


def _can_switch(engine: Engine) -> bool:
    return bool(engine.chat_template(None).capabilities["enable_thinking"])
