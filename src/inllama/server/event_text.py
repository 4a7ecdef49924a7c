"""Server-sent events, written as cheaply as text can be."""

from __future__ import annotations

import json

DONE = b"data: [DONE]\n\n"

# Of a text, it is one call into C; line breaks are escaped, so that an event is one line.
to_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def event(value: object) -> bytes:
    """Return an event without a name."""
    return f"data: {to_text(value)}\n\n".encode()


def named_event(name: str, value: object) -> bytes:
    """Return an event with a name."""
    return f"event: {name}\ndata: {to_text(value)}\n\n".encode()
