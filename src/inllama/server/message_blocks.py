"""Between Anthropic's messages and those of a chat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inllama.chat_outputs import Message
from inllama.server.failures import Failure
from inllama.server.response_items import joined_instructions

# A part of the system prompt that Claude Code changes with every request, and that no model needs: with it, no prefix
# would be found again.
_BILLING = "x-anthropic-billing-header:"


def messages_of(system: str | list[dict[str, Any]] | None, messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages of a chat.

    Raises:
        Failure: A block is of a kind that is not there, or incomplete.
    """
    found: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        role, content = message.get("role"), message.get("content")
        if isinstance(content, str):
            found.append({"role": role, "content": content})
        elif not isinstance(content, list):
            raise _invalid(f"{at}.content", "must be text or a list of blocks")
        elif role == "assistant":
            found.append(_answer(content, at))
        else:
            found += _said(str(role), content, at)
    return joined_instructions(_instructions(system), found)


def _instructions(system: str | list[dict[str, Any]] | None) -> str | None:
    if system is None or isinstance(system, str):
        return system
    texts = [_text(block, f"system[{index}]") for index, block in enumerate(system)]
    return "\n\n".join(text for text in texts if not text.startswith(_BILLING))


def _answer(blocks: list[Any], at: str) -> dict[str, Any]:
    texts: list[str] = []
    found: dict[str, Any] = {"role": "assistant"}
    for index, block in enumerate(blocks):
        place = f"{at}.content[{index}]"
        kind = _kind(block, place)
        if kind == "text":
            texts.append(_text(block, place))
        elif kind == "thinking":
            thought = block.get("thinking")
            found["reasoning_content"] = found.get("reasoning_content", "") + str(thought or "")
        elif kind == "tool_use":
            function = {"name": block.get("name"), "arguments": block.get("input")}
            call = {"id": block.get("id"), "type": "function", "function": function}
            found.setdefault("tool_calls", []).append(call)
        elif kind != "redacted_thinking":
            raise _unsupported(kind, place)
    if texts or "tool_calls" not in found:
        found["content"] = "".join(texts)
    return found


def _said(role: str, blocks: list[Any], at: str) -> list[dict[str, Any]]:
    """Return the results of tools, and then what the user says."""
    results, parts = [], []
    for index, block in enumerate(blocks):
        place = f"{at}.content[{index}]"
        kind = _kind(block, place)
        if kind == "tool_result":
            results.append({"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": _result(block, place)})
        elif kind == "text":
            parts.append({"type": "text", "text": _text(block, place)})
        elif kind in ("image", "document"):
            parts.append({"type": "image" if kind == "image" else kind})  # the chat says what is missing
        else:
            raise _unsupported(kind, place)
    return [*results, {"role": role, "content": parts}] if parts or not results else results


def _result(block: dict[str, Any], at: str) -> str:
    content = block.get("content")
    if content is None or isinstance(content, str):
        text = content or ""
    elif isinstance(content, list):
        text = "".join(_text(part, f"{at}.content[{index}]") for index, part in enumerate(content))
    else:
        raise _invalid(f"{at}.content", "must be text or a list of blocks")
    return f"Error: {text}" if block.get("is_error") is True else text


def _kind(block: Any, at: str) -> str:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str):
        raise _invalid(at, "must be an object with a type")
    return kind


def _text(block: Any, at: str) -> str:
    kind = _kind(block, at)
    if kind != "text":
        raise _unsupported(kind, at)
    text = block.get("text")
    if not isinstance(text, str):
        raise _invalid(f"{at}.text", "must be text")
    return text


def _unsupported(kind: str, at: str) -> Failure:
    return Failure(400, f"{at} is of the type {kind[:50]!r}, which is not supported here", code="unsupported_field")


def _invalid(at: str, problem: str) -> Failure:
    return Failure(400, f"{at} {problem}", code="invalid_value", param=at.partition("[")[0])


def content_blocks(message: Message) -> list[dict[str, Any]]:
    """Return the blocks that a model's message becomes."""
    found: list[dict[str, Any]] = []
    if message.reasoning_content:
        found.append({"type": "thinking", "thinking": message.reasoning_content, "signature": ""})
    if message.content or not message.tool_calls:
        found.append({"type": "text", "text": message.content})
    for call in message.tool_calls:
        found.append({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments})
    return found
