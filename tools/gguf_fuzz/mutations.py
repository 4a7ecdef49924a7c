"""Ways to damage a file. Each yields (name, bytes) or (name, GgufFile), always the same ones for the same arguments."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace

from .layout import BLOCKS, FLAG, SCALARS, TEXT, Entry, GgufFile, IntegerField, Tensor, Value

Change = tuple[str, bytes]
Edges = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
# Of what a file says; some are sound for some entries.
NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 64, 96, 100, 255, 256, 512, 513, 1024, 65535, 2**20, 2**31 - 1, 2**32 - 1)
REALS = (0.0, -0.0, 1.0, -1.0, 1e-38, 1e-5, 1e5, 3e38, -3e38, float("nan"), float("inf"), float("-inf"))
TEXTS: tuple[Value, ...] = ("", "x", "none", "llama", "gpt2", "bert", "t5", "rwkv", "yarn", "\0", b"\xff", "a" * 300)


def truncations(content: bytes, n_header: int, step: int = 1) -> Iterator[Change]:
    """Cut after every ``step`` bytes of the header, and after every 4 KiB of the data."""
    for n in range(0, n_header, step):
        yield f"first {n} bytes", content[:n]
    for n in range(n_header, len(content), 4096):
        yield f"first {n} bytes", content[:n]


def bit_flips(content: bytes, n_header: int, seed: int, n: int | None = None) -> Iterator[Change]:
    """Flip every bit of the header once in a random order, or ``n`` of them."""
    order = list(range(n_header * 8))
    random.Random(seed).shuffle(order)
    for bit in order[:n]:
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit % 8} of byte {bit // 8}", bytes(changed)


def noise(content: bytes, n_header: int, seed: int, n: int) -> Iterator[Change]:
    """Write random bytes over a few random places of the header."""
    source = random.Random(seed)
    for i in range(n):
        changed = bytearray(content)
        for _ in range(source.randint(2, 8)):
            at = source.randrange(n_header)
            changed[at : at + source.choice((1, 1, 2, 4, 8))] = source.randbytes(1)
        yield f"noise {i}", bytes(changed)


def integer_fields(content: bytes, fields: Sequence[IntegerField]) -> Iterator[Change]:
    """Write each of ``Edges``, and the size plus one, over every integer of the header."""
    for place in fields:
        mask = (1 << 8 * place.n_bytes) - 1
        values = dict.fromkeys(value & mask for value in (*Edges, len(content) + 1))
        for value in values:
            changed = bytearray(content)
            changed[place.offset : place.offset + place.n_bytes] = value.to_bytes(place.n_bytes, "little")
            yield f"{place.what} (byte {place.offset}) is {value}", bytes(changed)


def _fits(value: Value, kind: int) -> bool:
    if kind == TEXT:
        return isinstance(value, (str, bytes))
    try:
        struct.pack("<" + SCALARS[kind], value)
    except (struct.error, OverflowError):
        return False
    return True


def _values_of(kind: int) -> Sequence[Value]:
    if kind == TEXT:
        return TEXTS
    if kind == FLAG:
        return (0, 1)
    return REALS if SCALARS[kind] in "fd" else [n for n in (*NUMBERS, -1) if _fits(n, kind)]


def _retyped(entry: Entry) -> Iterator[Entry]:
    for kind in (*SCALARS, TEXT):
        if kind == entry.type:
            continue
        sample: Value = "1" if kind == TEXT else 1
        values = tuple(value if _fits(value, kind) else sample for value in entry.values)
        yield replace(entry, type=kind, values=values)


def _changed(entry: Entry, source: random.Random) -> Iterator[Entry]:
    yield replace(entry, is_array=not entry.is_array, values=entry.values[:1] or (_values_of(entry.type)[0],))
    yield from _retyped(entry)
    if not entry.is_array:
        for value in _values_of(entry.type):
            yield replace(entry, values=(value,))
        return
    values = list(entry.values)
    for n in (0, 1, len(values) - 1, len(values) + 1, 2 * len(values), 600):
        yield replace(entry, values=tuple((values * (n // max(len(values), 1) + 1))[: max(n, 0)]))
    for value in _values_of(entry.type):
        for at in {0, len(values) - 1, *(source.randrange(max(len(values), 1)) for _ in range(3))}:
            if values:
                yield replace(entry, values=(*values[:at], value, *values[at + 1 :]))


def entries(file: GgufFile, seed: int) -> Iterator[tuple[str, GgufFile]]:
    """Change every entry in many ways, remove it, double it."""
    source = random.Random(seed)
    for i, entry in enumerate(file.entries):
        before, after = file.entries[:i], file.entries[i + 1 :]
        yield f"{entry.key} removed", replace(file, entries=before + after)
        yield f"{entry.key} twice", replace(file, entries=(*before, entry, entry, *after))
        for changed in _changed(entry, source):
            shown = f"[{len(changed.values)}]" if changed.is_array else str(changed.values[0])[:20]
            name = f"{entry.key} = {shown} of type {changed.type}"
            yield name, replace(file, entries=(*before, changed, *after))


def added_entries(file: GgufFile, keys: Sequence[str]) -> Iterator[tuple[str, GgufFile]]:
    """Add entries that the file does not have, with values at the edges; ``{arch}`` in a key is filled in."""
    known = {entry.key for entry in file.entries}
    for key in (name.replace("{arch}", file.architecture) for name in keys):
        if key in known:
            continue
        for kind in (4, 6, 7, TEXT):
            for value in _values_of(kind):
                added = Entry(key, kind, (value,))
                yield f"{key} = {str(value)[:20]} of type {kind}", replace(file, entries=(*file.entries, added))
        for kind in (4, 5, 7, TEXT):
            for n in (0, 1, 3, 4, 600):
                value = "x" if kind == TEXT else 1
                added = Entry(key, kind, (value,) * n, is_array=True)
                yield f"{key} = [{n}] of type {kind}", replace(file, entries=(*file.entries, added))


def _changed_tensor(tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    for kind, (block, _) in BLOCKS.items():
        if kind != tensor.type and tensor.shape and tensor.shape[0] % block == 0:
            yield f"of type {kind}", tensor.resized(type=kind)
    yield "reversed", tensor.resized(shape=tensor.shape[::-1])
    yield "flat", tensor.resized(shape=(max(len(tensor.data) // 4, 1),), type=0)
    yield "without dimensions", tensor.resized(shape=(), type=0)
    for i, n in enumerate(tensor.shape):
        for changed in {n - 1, n + 1, 2 * n, 1, 0}:
            if changed != n:
                shape = (*tensor.shape[:i], changed, *tensor.shape[i + 1 :])
                block, _ = BLOCKS[tensor.type]
                if shape[0] % block == 0:
                    yield f"of shape {shape}", tensor.resized(shape=shape)
    if len(tensor.shape) < 4:
        yield "with one more dimension", tensor.resized(shape=(*tensor.shape, 2))
    yield "all bits set", replace(tensor, data=b"\xff" * len(tensor.data))
    infinite = struct.pack("<f", float("inf")) * (len(tensor.data) // 4 + 1)
    yield "infinite", replace(tensor, data=infinite[: len(tensor.data)])


def tensors(file: GgufFile) -> Iterator[tuple[str, GgufFile]]:
    """Change every tensor in many ways, remove it, rename it."""
    for i, tensor in enumerate(file.tensors):
        before, after = file.tensors[:i], file.tensors[i + 1 :]
        yield f"{tensor.name} removed", replace(file, tensors=before + after)
        renamed = replace(tensor, name=tensor.name + "2")
        yield f"{tensor.name} renamed", replace(file, tensors=(*before, renamed, *after))
        yield f"{tensor.name} and another", replace(file, tensors=(*file.tensors, renamed))
        for what, changed in _changed_tensor(tensor):
            yield f"{tensor.name} {what}", replace(file, tensors=(*before, changed, *after))


def architectures(file: GgufFile, names: Sequence[str]) -> Iterator[tuple[str, GgufFile]]:
    """Call the model one of another architecture."""
    old = file.architecture
    for name in names:
        changed = []
        for entry in file.entries:
            if entry.key == "general.architecture":
                changed.append(replace(entry, values=(name,)))
            elif entry.key.startswith(old + "."):
                changed.append(replace(entry, key=name + entry.key[len(old) :]))
            else:
                changed.append(entry)
        yield f"as {name}", replace(file, entries=tuple(changed))


def together(file: GgufFile, keys: Sequence[str], seed: int, n: int) -> Iterator[tuple[str, GgufFile]]:
    """Make two or three of those changes at once, at random."""
    source = random.Random(seed)
    for i in range(n):
        changed, names = file, []
        for _ in range(source.choice((2, 2, 3))):
            way = source.randrange(4)
            if way == 0 and changed.tensors:
                at = source.randrange(len(changed.tensors))
                what, tensor = source.choice(list(_changed_tensor(changed.tensors[at])))
                changed = replace(changed, tensors=(*changed.tensors[:at], tensor, *changed.tensors[at + 1 :]))
                names.append(f"{tensor.name} {what}")
            elif way == 1:
                key = source.choice(keys).replace("{arch}", file.architecture)
                kind = source.choice((4, 4, 6, 7))
                added = Entry(key, kind, (source.choice(list(_values_of(kind))),))
                changed = replace(changed, entries=(*(e for e in changed.entries if e.key != key), added))
                names.append(f"{key} = {added.values[0]!r}")
            else:
                at = source.randrange(len(changed.entries))
                entry = source.choice(list(_changed(changed.entries[at], source)))
                changed = replace(changed, entries=(*changed.entries[:at], entry, *changed.entries[at + 1 :]))
                names.append(f"{entry.key} = {str(entry.values[:1])[:24]} of type {entry.type}")
        yield f"{i}: {'; '.join(names)}", changed
