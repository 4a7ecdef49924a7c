"""Messages as users give them, checked and brought into the one form that chat templates read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeAlias

from inllama.chat_outputs import Message, ToolCall
from inllama.errors import InvalidRequestError, UnsupportedError
from inllama.json_text import loads

Messages: TypeAlias = "str | Iterable[Mapping[str, Any] | Message | Any]"

ROLES = ("system", "developer", "user", "assistant", "tool")

_KEYS = ("role", "content", "name", "reasoning_content", "tool_calls", "tool_call_id")
# Of unknown keys: what clients send along without meaning it, such as "annotations": [].
_EMPTY: tuple[Any, ...] = ("", [], {})
# What is missing for a part of the content that is no text.
_PROJECTORS = {
    **dict.fromkeys(("image_url", "input_image", "image"), "an image projector"),
    **dict.fromkeys(("input_audio", "audio_url", "audio"), "an audio projector"),
    **dict.fromkeys(("video_url", "video"), "an image projector, which reads the video's frames"),
}


def normalized(messages: Messages) -> list[dict[str, Any]]:
    """Return messages in OpenAI's shape, without what is empty or unknown to templates.

    Args:
        messages: A text, which is one message of the user; or any mix of mappings in OpenAI's shape, ``Message``
            objects, and objects with ``model_dump()`` or ``to_dict()``. Arguments of tool calls: JSON text or mappings.

    Raises:
        InvalidRequestError: A message that no template can take; ``.place`` says where, as ``messages[2].content``.
        UnsupportedError: A part of a content that is no text; ``.missing`` says what it needs.
        TypeError: They are no text and no list.
    """
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if isinstance(messages, (Mapping, Message, bytes)) or not isinstance(messages, Iterable):
        raise TypeError(f"messages must be text or a list of messages, not {type(messages).__name__}")
    found = [_message(message, f"messages[{i}]") for i, message in enumerate(messages)]
    if not found:
        _fail("messages", "is empty; give at least one message")
    return found


def to_json(messages: list[dict[str, Any]]) -> str:
    """Return the JSON text of normalized messages; non-ASCII characters stand for themselves.

    Raises:
        InvalidRequestError: A text has a NUL character or a lone surrogate; ``.place`` says where.
    """
    text = json.dumps(messages, ensure_ascii=False)
    # The escape can also be a backslash of the user's followed by "u0000"; only the search below knows.
    if "\\u0000" in text or not text.isascii():
        _check_characters(messages, "messages")
    return text


def _message(message: Any, at: str) -> dict[str, Any]:
    given = _mapping(message, at)
    role = given.get("role")
    if role not in ROLES:
        problem = "is missing" if role is None else f"is {role!r}"
        _fail(f"{at}.role", f"{problem}; use one of {', '.join(ROLES)}")
    found: dict[str, Any] = {"role": role}
    for key, value in given.items():
        if key == "role" or value is None:
            continue
        read = _READERS.get(key)
        if read is not None:
            found[key] = read(value, f"{at}.{key}")
        elif value not in _EMPTY:
            _fail(f"{at}.{key}", f"is unknown; known keys are {', '.join(_KEYS)}")
    if not found.get("tool_calls"):
        found.pop("tool_calls", None)
        if "content" not in found:
            remedy = "; an assistant needs it or tool_calls" if role == "assistant" else ""
            _fail(f"{at}.content", f"is missing{remedy}")
    elif role != "assistant":
        _fail(f"{at}.tool_calls", f"cannot be in a message of the role {role!r}, only of assistant")
    if role == "tool" and "tool_call_id" not in found:
        _fail(f"{at}.tool_call_id", "is missing; give the id of the call that it answers")
    if role != "tool" and "tool_call_id" in found:
        _fail(f"{at}.tool_call_id", "belongs to the role tool only")
    return found


def _mapping(message: Any, at: str) -> Mapping[str, Any]:
    if isinstance(message, Mapping):
        return message
    if hasattr(message, "model_dump"):
        plain = message.model_dump(exclude_none=True)
    elif hasattr(message, "to_dict"):
        plain = message.to_dict()
    else:
        plain = None
    if not isinstance(plain, Mapping):
        _fail(at, f"is {type(message).__name__}; use a mapping with role and content, or a Message")
    return plain


def _text(value: Any, at: str) -> str:
    if not isinstance(value, str):
        _fail(at, f"is {type(value).__name__} but must be text")
    return value


def _content(value: Any, at: str) -> str | list[dict[str, Any]]:
    if isinstance(value, str):
        return value
    if not isinstance(value, (list, tuple)) or not value:
        problem = "has no parts" if isinstance(value, (list, tuple)) else f"is {type(value).__name__}"
        _fail(at, f"{problem}; use text or a list of parts")
    return [_part(part, f"{at}[{i}]") for i, part in enumerate(value)]


def _part(part: Any, at: str) -> dict[str, Any]:
    given = _mapping(part, at) if hasattr(part, "model_dump") else part
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind == "text":
        return {"type": "text", "text": _text(given.get("text"), f"{at}.text")}
    missing = _PROJECTORS.get(kind) if isinstance(kind, str) else None
    if missing is not None:
        text = f"{at} is of type {kind!r}, which needs {missing} beside the model; only text can be read"
        raise UnsupportedError(text, place=at, missing=missing)
    _fail(at, 'is no part of a content; use {"type": "text", "text": ...}')


def _tool_calls(value: Any, at: str) -> list[dict[str, Any]]:
    if not isinstance(value, (list, tuple)):
        _fail(at, f"is {type(value).__name__} but must be a list")
    return [_tool_call(call, f"{at}[{i}]") for i, call in enumerate(value)]


def _tool_call(call: Any, at: str) -> dict[str, Any]:
    if isinstance(call, ToolCall):
        return call.to_dict()
    given = _mapping(call, at)
    kind, function = given.get("type", "function"), given.get("function")
    if kind != "function":
        _fail(f"{at}.type", f"is {kind!r} but must be 'function'")
    if not isinstance(function, Mapping):
        _fail(f"{at}.function", "must be an object with name and arguments")
    name = _text(function.get("name"), f"{at}.function.name")
    arguments = _arguments(function.get("arguments"), f"{at}.function.arguments")
    named = {"id": _text(given["id"], f"{at}.id")} if given.get("id") is not None else {}
    return {**named, "type": "function", "function": {"name": name, "arguments": arguments}}


def _arguments(value: Any, at: str) -> str:
    if isinstance(value, str) and value.strip():
        if not isinstance(loads(value, at), dict):
            _fail(at, "is JSON but no object")
        return value
    if value is None or value == "" or isinstance(value, Mapping):
        try:
            return json.dumps(value or {}, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as problem:
            _fail(at, f"has no JSON form: {problem}")
    _fail(at, f"is {type(value).__name__} but must be an object or its JSON text")


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "content": _content,
    "name": _text,
    "reasoning_content": _text,
    "tool_call_id": _text,
    "tool_calls": _tool_calls,
}


def _check_characters(value: Any, at: str) -> None:
    if isinstance(value, dict):
        for key, member in value.items():
            _check_characters(member, f"{at}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _check_characters(item, f"{at}[{i}]")
    elif "\0" in value:
        _fail(at, f"has a NUL character at {value.index(chr(0))}; remove it")
    elif not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as problem:
            _fail(at, f"has a lone surrogate at character {problem.start}, which is no Unicode text")


def _fail(place: str, problem: str) -> NoReturn:
    raise InvalidRequestError(f"{place} {problem}", place=place)
