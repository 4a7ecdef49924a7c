"""``/v1/messages`` and ``/v1/messages/count_tokens``."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from inllama.chat_outputs import ChatCompletion
from inllama.errors import InllamaError
from inllama.outputs import Usage
from inllama.server.answering import complete_chat, stream_chat
from inllama.server.call import Answer, Call, EventAnswer, JsonAnswer
from inllama.server.chat_options import Ask, effort_options, request_options, sampling_params, tool_options
from inllama.server.failures import Failure
from inllama.server.message_blocks import content_blocks, messages_of
from inllama.server.message_body import CountBody, MessageBody
from inllama.server.message_events import MessageEvents

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_STOPS = {"length": "max_tokens", "tool_calls": "tool_use", "stop": "end_turn", "cancelled": "end_turn"}


async def create_message(call: Call, body: MessageBody) -> Answer:
    """Answer a conversation."""
    name = call.new_name("msg_")
    changed = {} if body.stop_sequences is None else {"stop": body.stop_sequences}
    options = request_options(body, call) | _chat_options(call, body) | {"request_id": name}
    changed |= _structure(body)
    ask = Ask(messages_of(body.system, body.messages), sampling_params(body, changed), options)
    message: dict[str, Any] = {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(Usage(0, 0)),
    }
    end_of = partial(_end_of, body.stop_sequences or ())
    if body.stream:
        return EventAnswer(await stream_chat(call, ask, MessageEvents(call.request_id, message, end_of)))
    completion = await complete_chat(call, ask)
    end, usage = end_of(completion)
    return JsonAnswer({**message, "content": content_blocks(completion.message), **end, "usage": usage})


async def count_tokens(call: Call, body: CountBody) -> Answer:
    """Return how many tokens a conversation would be, with its instructions and tools."""
    options = _chat_options(call, body) | _structure(body)
    prompt = await call.aio.render_chat(messages_of(body.system, body.messages), **options)
    return JsonAnswer({"input_tokens": len(prompt.token_ids)})


def _chat_options(call: Call, body: MessageBody | CountBody) -> dict[str, Any]:
    found = tool_options(_tools(call, body.tools or []), None)
    if body.tool_choice is not None and (found or body.tool_choice.get("type") in ("any", "tool")):
        found |= _choice(body.tool_choice)
    effort = (body.output_config or {}).get("effort")
    if body.thinking is not None:
        found |= _thinking(call, body)
    elif isinstance(effort, str):
        found |= effort_options(call, effort, None)
    return found


def _tools(call: Call, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the functions in the shape of chats; what only Anthropic could do is left out, and noted."""
    found = []
    for tool in tools:
        if tool.get("type") in (None, "custom") and "input_schema" in tool:
            function = {"name": tool.get("name"), "parameters": tool["input_schema"]}
            if tool.get("description"):
                function["description"] = tool["description"]
            found.append({"type": "function", "function": function})
        else:
            call.ignore([f"tools[{str(tool.get('type'))[:40]}]"])
    return found


def _choice(choice: dict[str, Any]) -> dict[str, Any]:
    kind = choice.get("type")
    if kind == "tool":
        found: dict[str, Any] = {"tool_choice": {"type": "function", "function": {"name": choice.get("name")}}}
    elif isinstance(kind, str) and kind in _CHOICES:
        found = {"tool_choice": _CHOICES[kind]}
    else:
        raise Failure(
            400, "tool_choice.type must be auto, any, tool or none", code="invalid_value", param="tool_choice"
        )
    if choice.get("disable_parallel_tool_use") is True:
        found["parallel_tool_calls"] = False
    return found


def _thinking(call: Call, body: MessageBody | CountBody) -> dict[str, Any]:
    thinking = body.thinking
    assert thinking is not None
    try:
        can_switch = bool(call.engine.chat_template(None).capabilities["enable_thinking"])
    except InllamaError:
        return {}  # which the chat says better
    if not can_switch:
        # A model that does not reason, or always does, goes on as ever.
        call.ignore(["thinking"] if thinking.type == "enabled" else [])
        return {}
    if thinking.type == "disabled":
        return {"reasoning": False}
    budget = {} if thinking.budget_tokens is None else {"reasoning_budget": thinking.budget_tokens}
    return {"reasoning": True, **budget} if thinking.type == "enabled" else {}


def _structure(body: MessageBody | CountBody) -> dict[str, Any]:
    asked = (body.output_config or {}).get("format")
    if asked is None:
        return {}
    if not isinstance(asked, dict) or asked.get("type") != "json_schema" or not isinstance(asked.get("schema"), dict):
        raise Failure(
            400,
            "output_config.format needs the type json_schema and a schema",
            code="invalid_value",
            param="output_config",
        )
    return {"json_schema": asked["schema"]}


def _end_of(stops: Collection[str], completion: ChatCompletion[Any]) -> tuple[dict[str, Any], dict[str, int]]:
    choice = completion.choices[0]
    reason = "tool_use" if choice.message.tool_calls else _STOPS[choice.finish_reason]
    # The template has stop texts of its own.
    stopped = choice.stop if isinstance(choice.stop, str) and choice.stop in stops else None
    if stopped is not None and reason == "end_turn":
        reason = "stop_sequence"
    return {"stop_reason": reason, "stop_sequence": stopped}, _usage(completion.usage)


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }
