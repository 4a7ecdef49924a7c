"""Server-sent events, written as cheaply as text can be."""

from __future__ import annotations

from json import JSONEncoder, encoder

DONE = b"data: [DONE]\n\n"

# Line breaks are escaped, so that an event is one line.
to_text = JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
# The same for a text alone: one call into C.
quoted = encoder.encode_basestring


def event(value: object) -> bytes:
    """Return an event without a name."""
    return f"data: {to_text(value)}\n\n".encode()


def named_event(name: str, value: object) -> bytes:
    """Return an event with a name."""
    return f"event: {name}\ndata: {to_text(value)}\n\n".encode()
