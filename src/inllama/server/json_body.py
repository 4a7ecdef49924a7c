"""The body of a request: read within limits of size, time and depth, as strict JSON."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from starlette.types import Receive, Scope

from inllama.errors import InvalidRequestError
from inllama.json_text import loads
from inllama.off_loop import off_loop
from inllama.server.failures import Failure
from inllama.server.options import AppOptions

# From here on, other requests would notice that a body is parsed: about a millisecond's work.
_LARGE_BYTES = 128 << 10
# What may be the half of a character, which is no text.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Disconnected(Exception):
    """The client went away."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return a header's value; raises ``Failure`` if it is there twice."""
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise Failure(400, f"the header {name.decode()} is there {len(values)} times", code="invalid_header")
    return values[0] if values else None


async def read_json(scope: Scope, receive: Receive, options: AppOptions) -> dict[str, Any]:
    """Return the object that a body holds.

    Raises:
        Failure: It is too large, too slow, no JSON or no object.
        Disconnected: The client went away meanwhile.
    """
    _check_headers(scope, options)
    try:
        async with asyncio.timeout(options.body_timeout_s):
            body = await _read(receive, options.max_body_bytes)
    except TimeoutError:
        raise Failure(
            408, f"the body did not arrive within {options.body_timeout_s:g} s", code="body_timeout"
        ) from None
    if len(body) <= _LARGE_BYTES:
        return parse_object(body, options.max_json_depth)
    return await off_loop(lambda: parse_object(body, options.max_json_depth))


def parse_object(body: bytes, max_depth: int) -> dict[str, Any]:
    """Return the object of a JSON text; raises ``Failure`` if it is none."""
    try:
        text = body.decode()
    except UnicodeDecodeError as problem:
        raise Failure(
            400, f"the body is not UTF-8: {problem.reason} at byte {problem.start}", code="invalid_json"
        ) from None
    try:
        value = loads(text, "the body")
    except InvalidRequestError as problem:
        raise Failure(400, str(problem), code="invalid_json") from None
    if not isinstance(value, dict):
        raise Failure(400, "the body must be a JSON object", code="invalid_json")
    _check_depth(value, max_depth)
    if _SURROGATE.search(body):
        _check_characters(value)
    return value


def _check_headers(scope: Scope, options: AppOptions) -> None:
    kind = (header(scope, b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Failure(415, "the content type must be application/json", code="invalid_content_type")
    encoding = (header(scope, b"content-encoding") or b"identity").strip().lower()
    if encoding != b"identity":
        raise Failure(415, "a compressed body is not read; send it as it is", code="invalid_content_encoding")
    length = header(scope, b"content-length")
    if length is not None and length.isdigit() and int(length[:20]) > options.max_body_bytes:
        raise _too_large(options.max_body_bytes)


def _too_large(limit: int) -> Failure:
    return Failure(413, f"the body is larger than {limit} bytes", code="body_too_large")


async def _read(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    n_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        n_bytes += len(parts[-1])
        if n_bytes > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join(parts)


def _check_depth(value: Any, limit: int) -> None:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise Failure(400, f"the body is nested more than {limit} deep", code="invalid_json")


def _check_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Failure(400, "the body has a lone surrogate, which is no Unicode text", code="invalid_json") from None
