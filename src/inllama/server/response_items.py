"""Between the items of OpenAI's Responses and the messages of a chat."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from inllama.chat_outputs import Message, ToolCall
from inllama.outputs import TokenLogprob
from inllama.server.failures import Failure

_TEXTS = ("input_text", "output_text", "text", "reasoning_text", "summary_text")


def messages_of(instructions: str | None, items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages that items stand for; reasoning, text and calls of one answer become one message.

    Raises:
        Failure: An item is of a kind that is not there, or incomplete.
    """
    found: list[dict[str, Any]] = []
    turn: dict[str, Any] | None = None  # the answer that the last items belong to
    for index, item in enumerate(items):
        at = f"input[{index}]"
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind in ("reasoning", "function_call") or (kind == "message" and item.get("role") == "assistant"):
            is_new = turn is None or (kind == "message" and "content" in turn)
            if is_new:
                turn = {"role": "assistant"}
                found.append(turn)
            assert turn is not None
            _add(turn, kind, item, at)
        else:
            turn = None
            found.append(_message(kind, item, at))
    for message in found:
        if "reasoning_content" in message and "tool_calls" not in message:
            message.setdefault("content", "")  # it was cut off in its reasoning
    return joined_instructions(instructions, [message for message in found if len(message) > 1])


def joined_instructions(instructions: str | None, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages whose instructions are one message: many templates take only one, at the beginning."""
    texts = [instructions] if instructions else []
    n_leading = 0
    while n_leading < len(messages) and messages[n_leading].get("role") in ("system", "developer"):
        texts.append(_plain_text(messages[n_leading].get("content")))
        n_leading += 1
    first = [{"role": "system", "content": "\n\n".join(texts)}] if texts else []
    return first + messages[n_leading:]


def _plain_text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _add(turn: dict[str, Any], kind: str, item: dict[str, Any], at: str) -> None:
    if kind == "reasoning":
        parts = item.get("content") or item.get("summary") or []
        text = "".join(_text_part(part, f"{at}.content") for part in _listed(parts, f"{at}.content"))
        if text:
            turn["reasoning_content"] = turn.get("reasoning_content", "") + text
    elif kind == "message":
        turn["content"] = _content(item.get("content"), f"{at}.content")
    else:
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        calls = turn.setdefault("tool_calls", [])
        calls.append({"id": item.get("call_id"), "type": "function", "function": function})


def _message(kind: Any, item: dict[str, Any], at: str) -> dict[str, Any]:
    if kind == "message":
        return {"role": item.get("role"), "content": _content(item.get("content"), f"{at}.content")}
    if kind == "function_call_output":
        output = item.get("output")
        return {
            "role": "tool",
            "tool_call_id": item.get("call_id"),
            "content": output if isinstance(output, str) else _content(output, f"{at}.output"),
        }
    raise Failure(
        400, f"{at}.type is {str(kind)[:50]!r}, which is not supported here", code="unsupported_field", param="input"
    )


def _content(content: Any, at: str) -> Any:
    if isinstance(content, str):
        return content
    return [_part(part, f"{at}[{i}]") for i, part in enumerate(_listed(content, at))]


def _part(part: Any, at: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _TEXTS:
        return {"type": "text", "text": part.get("text")}
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal")}
    if not isinstance(part, dict):
        raise _invalid(at, "must be an object")
    return part  # which the chat knows or refuses


def _text_part(part: Any, at: str) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str):
        raise _invalid(at, "has a part without text")
    return text


def _listed(value: Any, at: str) -> list[Any]:
    if not isinstance(value, list):
        raise _invalid(at, "must be text or a list of parts")
    return value


def _invalid(at: str, problem: str) -> Failure:
    return Failure(400, f"{at} {problem}", code="invalid_value", param="input")


class ItemNames:
    """The ids of a response's output items."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], str] = {}

    def of(self, kind: str, index: int = 0) -> str:
        """Return the id of an item: ``rs``, ``msg`` or ``fc``."""
        return self._known.setdefault((kind, index), f"{kind}_{uuid.uuid4().hex}")


def output_items(
    message: Message, names: ItemNames, *, status: str, logprobs: Sequence[TokenLogprob] | None = None
) -> list[dict[str, Any]]:
    """Return the items that a model's message becomes.

    Args:
        message: It.
        names: Their ids.
        status: Of the last one: ``completed``, or ``incomplete`` for an answer that was cut off.
        logprobs: Of the text, if they were asked for.
    """
    found = []
    if message.reasoning_content:
        found.append(reasoning_item(names.of("rs"), message.reasoning_content, status="completed"))
    if message.content or not (found or message.tool_calls):
        found.append(text_item(names.of("msg"), message.content, status="completed", logprobs=logprobs))
    found += [call_item(names.of("fc", index), call) for index, call in enumerate(message.tool_calls)]
    found[-1]["status"] = status
    return found


def reasoning_item(name: str, text: str, *, status: str) -> dict[str, Any]:
    """Return the item of what a model thought."""
    content = [{"type": "reasoning_text", "text": text}] if text else []
    return {"id": name, "type": "reasoning", "status": status, "summary": [], "content": content}


def text_item(
    name: str, text: str | None, *, status: str, logprobs: Sequence[TokenLogprob] | None = None
) -> dict[str, Any]:
    """Return the item of what a model said; ``None``: nothing yet."""
    content = [] if text is None else [text_part(text, logprobs)]
    return {"id": name, "type": "message", "status": status, "role": "assistant", "content": content}


def text_part(text: str, logprobs: Sequence[TokenLogprob] | None = None) -> dict[str, Any]:
    """Return the part of it that has the text."""
    shown = [one.to_dict() for one in logprobs or ()]
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": shown}


def call_item(name: str, call: ToolCall, *, status: str = "completed") -> dict[str, Any]:
    """Return the item of a call."""
    return {
        "id": name,
        "type": "function_call",
        "status": status,
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments_text,
    }
