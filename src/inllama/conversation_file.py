"""The file of a conversation that has the state of the KV cache with it.

A header of 24 bytes, little-endian: ``INLLAMAC``, the version of the format and the CRC-32 of the messages, 4 bytes
each, and the length of the messages, 8 bytes. Then the messages in JSON, as they are without a state, and the state,
which has a checksum of its own.
"""

from __future__ import annotations

import struct
import zlib

_MAGIC = b"INLLAMAC"
_VERSION = 1
_HEADER = struct.Struct("<8sIIQ")


def with_state(text: bytes, state: bytes) -> bytes:
    """Return the content of the file."""
    return _HEADER.pack(_MAGIC, _VERSION, zlib.crc32(text), len(text)) + text + state


def parts_of(data: bytes) -> tuple[bytes, bytes | None]:
    """Return the messages and, if it is there, the state.

    Raises:
        ValueError: The file is damaged, or of a version that is not known.
    """
    if not data.startswith(_MAGIC):
        return data, None
    if len(data) < _HEADER.size:
        raise ValueError("it is cut off")
    _, version, checksum, n_text = _HEADER.unpack_from(data)
    if version != _VERSION:
        raise ValueError(f"it has version {version} but this inllama reads {_VERSION}")
    text = data[_HEADER.size : _HEADER.size + n_text]
    if len(text) != n_text or zlib.crc32(text) != checksum:
        raise ValueError("its checksum does not match")
    return text, data[_HEADER.size + n_text :]
