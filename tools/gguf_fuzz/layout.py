"""A GGUF file taken apart, so that any part of it can be changed and the rest written so that it still fits."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from pathlib import Path

TEXT, ARRAY, FLAG = 8, 9, 7
# Type number to struct's letter.
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
# Tensor type number to elements and bytes of a block; those that exist at the pinned commit.
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip
Value = int | float | str | bytes


@dataclass(frozen=True)
class Entry:
    """An entry of the metadata.

    Attributes:
        key: Its name.
        type: Number of its type, or of its elements' type.
        values: One, or the elements.
        is_array: Whether they are elements.
    """

    key: str
    type: int
    values: tuple[Value, ...]
    is_array: bool = False

    def to_bytes(self) -> bytes:
        """Return it as a file has it."""
        head = _text(self.key)
        if self.is_array:
            head += struct.pack("<IIQ", ARRAY, self.type, len(self.values))
        else:
            head += struct.pack("<I", self.type)
        if self.type == TEXT:
            return head + b"".join(_text(value) for value in self.values)
        return head + struct.pack(f"<{len(self.values)}{SCALARS[self.type]}", *self.values)


@dataclass(frozen=True)
class Tensor:
    """A tensor: ``shape`` has the fastest dimension first, as in the file."""

    name: str
    shape: tuple[int, ...]
    type: int
    data: bytes = field(repr=False)

    def resized(self, **changes: object) -> Tensor:
        """Return it with another shape or type, and as many bytes as that takes: its own, again and again."""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        elements = 1
        for n in changed.shape:
            elements *= n
        block, block_bytes = BLOCKS[changed.type]
        n_bytes = max(elements // block * block_bytes, 0)
        data = self.data or b"\0"
        return replace(changed, data=(data * (n_bytes // len(data) + 1))[:n_bytes])


@dataclass(frozen=True)
class GgufFile:
    """The parts of a file."""

    entries: tuple[Entry, ...]
    tensors: tuple[Tensor, ...]
    version: int = 3
    alignment: int = 32

    @property
    def architecture(self) -> str:
        """The text of ``general.architecture``."""
        return next((str(entry.values[0]) for entry in self.entries if entry.key == "general.architecture"), "")

    def header(self) -> bytes:
        """Return the bytes before the data, without what aligns it."""
        parts = [b"GGUF", struct.pack("<IQQ", self.version, len(self.tensors), len(self.entries))]
        parts += [entry.to_bytes() for entry in self.entries]
        offset = 0
        for tensor in self.tensors:
            shape = struct.pack(f"<I{len(tensor.shape)}q", len(tensor.shape), *tensor.shape)
            parts.append(_text(tensor.name) + shape + struct.pack("<IQ", tensor.type, offset))
            offset += self._padded(len(tensor.data))
        return b"".join(parts)

    def to_bytes(self) -> bytes:
        """Return the file."""
        header = self.header()
        parts = [header, bytes(self._padded(len(header)) - len(header))] if self.tensors else [header]
        for tensor in self.tensors:
            parts += [tensor.data, bytes(self._padded(len(tensor.data)) - len(tensor.data))]
        return b"".join(parts)

    def _padded(self, n: int) -> int:
        return (n + self.alignment - 1) // self.alignment * self.alignment


@dataclass(frozen=True)
class IntegerField:
    """An integer of the header: a count, a length, a type, a dimension, an offset."""

    what: str
    offset: int
    n_bytes: int


def _text(text: Value) -> bytes:
    raw = text if isinstance(text, bytes) else str(text).encode()
    return struct.pack("<Q", len(raw)) + raw


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 4
        self.fields: list[IntegerField] = []

    def integer(self, letter: str, what: str) -> int:
        (value,) = struct.unpack_from("<" + letter, self.content, self.at)
        size = struct.calcsize("<" + letter)
        self.fields.append(IntegerField(what, self.at, size))
        self.at += size
        return int(value)

    def text(self, what: str) -> str:
        n = self.integer("Q", f"length of {what}")
        raw = self.content[self.at : self.at + n]
        self.at += n
        return raw.decode()

    def entry(self) -> Entry:
        key = self.text("a key")
        kind = self.integer("I", f"type of {key}")
        is_array = kind == ARRAY
        n = 1
        if is_array:
            kind = self.integer("I", f"element type of {key}")
            n = self.integer("Q", f"length of {key}")
        if kind == TEXT:
            return Entry(key, kind, tuple(self.text(key) for _ in range(n)), is_array)
        letter = SCALARS[kind]
        values = struct.unpack_from(f"<{n}{letter}", self.content, self.at)
        if letter not in "fd":
            size = struct.calcsize("<" + letter)
            self.fields += [IntegerField(f"value of {key}", self.at + i * size, size) for i in range(n)]
        self.at += struct.calcsize(f"<{n}{letter}")
        return Entry(key, kind, values, is_array)

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.text("a tensor's name")
        n = self.integer("I", f"dimensions of {name}")
        shape = tuple(self.integer("q", f"dimension of {name}") for _ in range(n))
        return name, shape, self.integer("I", f"type of {name}"), self.integer("Q", f"offset of {name}")


def take_apart(content: bytes) -> tuple[GgufFile, list[IntegerField]]:
    """Return the parts of a sound file, and where the integers of its header are."""
    reader = _Reader(content)
    version = reader.integer("I", "version")
    n_tensors = reader.integer("Q", "number of tensors")
    n_entries = reader.integer("Q", "number of entries")
    entries = tuple(reader.entry() for _ in range(n_entries))
    infos = [reader.tensor() for _ in range(n_tensors)]
    alignment = next((int(entry.values[0]) for entry in entries if entry.key == "general.alignment"), 32)
    begin = (reader.at + alignment - 1) // alignment * alignment
    tensors = []
    for name, shape, kind, offset in infos:
        elements = 1
        for n in shape:
            elements *= n
        block, block_bytes = BLOCKS[kind]
        data = content[begin + offset : begin + offset + elements // block * block_bytes]
        tensors.append(Tensor(name, shape, kind, data))
    return GgufFile(entries, tuple(tensors), version, alignment), reader.fields


def read(path: Path) -> tuple[GgufFile, list[IntegerField]]:
    """Return what ``take_apart`` does of a file."""
    return take_apart(path.read_bytes())
