"""What a GGUF file says of itself, read strictly and without loading it.

>>> from inllama import gguf
>>> file = gguf.read("model.gguf")  # doctest: +SKIP
>>> file.architecture, file.n_params, file.context_length  # doctest: +SKIP
('llama', 2885376, 512)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inllama import _core
from inllama.errors import InvalidRequestError, ModelLoadError

__all__ = ["File", "Metadata", "Tensor", "Value", "Vocabulary", "read"]

# Texts in an array are a tuple; numbers and bools in one are a read-only numpy array.
Value = bool | int | float | str | tuple[str, ...] | NDArray[Any]

_NUMPY = {
    "f32": np.float32,
    "f16": np.float16,
    "f64": np.float64,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
}


class Metadata(Mapping[str, Value]):
    """The entries of a file, by their keys. Arrays are made when they are asked for; any thread."""

    def __init__(self, header: _core.GgufHeader) -> None:
        self._header = header
        self._entries = {
            key: (i, kind, n if is_array else None) for i, (key, kind, is_array, n) in enumerate(header.entries)
        }

    def __getitem__(self, key: str) -> Value:
        index, kind, _ = self._entries[key]
        value = self._header.value(index)
        if isinstance(value, np.ndarray):
            value = value.view(np.bool_) if kind == "bool" else value
            value.flags.writeable = False
        return value  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __repr__(self) -> str:
        return f"<Metadata of {len(self)} entries>"

    def type_of(self, key: str) -> str:
        """Return the type of an entry in the file, such as ``u32`` or ``str[151936]``.

        Args:
            key: Of an entry.
        """
        _, kind, n = self._entries[key]
        return kind if n is None else f"{kind}[{n}]"

    def length_of(self, key: str) -> int | None:
        """Return the number of elements of an array, without making it; ``None`` for one value.

        Args:
            key: Of an entry.
        """
        return self._entries[key][2]


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file.

    Attributes:
        name: Such as ``blk.0.attn_q.weight``.
        shape: In numpy's order, the slowest dimension first: llama.cpp prints it the other way round.
        type: Such as ``f32`` or ``q4_K``, as llama.cpp spells it.
        n_elements: Product of its shape.
        n_bytes: Of its data.
        offset: Of its data, from the beginning of the file.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    n_elements: int
    n_bytes: int
    offset: int


@dataclass(frozen=True)
class Vocabulary:
    """What a file says of its tokenizer.

    Attributes:
        model: ``llama``, ``gpt2``, ``bert``, ``t5``, ``rwkv`` and others.
        splitter: How text is split before, for those that do.
        n_tokens: Number of tokens; 0 if they have no text.
        n_merges: Number of merges, for those that have some.
        special: Ids of special tokens by what they are for, such as ``bos``, ``eos``, ``padding``.
    """

    model: str
    splitter: str | None
    n_tokens: int
    n_merges: int
    special: Mapping[str, int]


@dataclass(frozen=True)
class File:
    """What a file says of itself.

    Attributes:
        path: Where it is; ``None`` if it was read from bytes.
        version: Of the format, 2 or 3.
        alignment: Bytes to a multiple of which tensors begin.
        n_bytes: Size of the file, or of the bytes.
        header_bytes: Bytes before the data of the tensors.
        data_bytes: Bytes of the data.
        metadata: Its entries.
        tensors: In the order of the file.
    """

    path: str | None
    version: int
    alignment: int
    n_bytes: int
    header_bytes: int
    data_bytes: int
    metadata: Metadata = field(repr=False)
    tensors: tuple[Tensor, ...] = field(repr=False)

    @property
    def architecture(self) -> str | None:
        """Such as ``llama``."""
        return self._text("general.architecture")

    @property
    def name(self) -> str | None:
        """What its makers call it."""
        return self._text("general.name")

    @property
    def kind(self) -> str:
        """``model``, ``adapter``, ``mmproj`` and others, as the file says; ``model`` if it does not."""
        return self._text("general.type") or "model"

    @property
    def n_params(self) -> int:
        """Number of weights in this file."""
        return sum(tensor.n_elements for tensor in self.tensors)

    @property
    def n_files(self) -> int:
        """Files that the model is split into."""
        return self._integer("split.count") or 1

    @property
    def context_length(self) -> int | None:
        """Tokens that it was trained with."""
        return self._integer(f"{self.architecture}.context_length")

    @property
    def embedding_length(self) -> int | None:
        """Width of a layer."""
        return self._integer(f"{self.architecture}.embedding_length")

    @property
    def n_layers(self) -> int | None:
        """Number of layers."""
        return self._integer(f"{self.architecture}.block_count")

    @property
    def chat_template(self) -> str | None:
        """The Jinja text of its chats."""
        return self._text("tokenizer.chat_template")

    @property
    def bytes_by_type(self) -> dict[str, int]:
        """Bytes of the tensors of each type, the most first."""
        totals: dict[str, int] = {}
        for tensor in self.tensors:
            totals[tensor.type] = totals.get(tensor.type, 0) + tensor.n_bytes
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))

    @property
    def bits_per_weight(self) -> float | None:
        """On the average; ``None`` without tensors."""
        return 8 * sum(tensor.n_bytes for tensor in self.tensors) / self.n_params if self.tensors else None

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What it says of its tokenizer."""
        model = self._text("tokenizer.ggml.model")
        if model is None:
            return None
        special = {}
        for key in self.metadata:
            if key.startswith("tokenizer.ggml.") and key.endswith("_token_id"):
                token = self._integer(key)
                if token is not None:
                    special[key.removeprefix("tokenizer.ggml.").removesuffix("_token_id")] = token
        return Vocabulary(
            model=model,
            splitter=self._text("tokenizer.ggml.pre"),
            n_tokens=self._length("tokenizer.ggml.tokens"),
            n_merges=self._length("tokenizer.ggml.merges"),
            special=special,
        )

    def array(self, tensor: Tensor) -> NDArray[Any]:
        """Return the data of a tensor, read anew from the file, in its shape.

        Args:
            tensor: One of this file's, of a type that numpy has.

        Raises:
            InvalidRequestError: The file was read from bytes, or the type is one of blocks.
            ModelLoadError: The data is not there any more.
        """
        kind = _NUMPY.get(tensor.type)
        if kind is None:
            raise InvalidRequestError(f"tensor {tensor.name} is of type {tensor.type}, which numpy does not have")
        if self.path is None:
            raise InvalidRequestError("the file was read from bytes; give its path to read data")
        with open(self.path, "rb") as file:
            file.seek(tensor.offset)
            data = file.read(tensor.n_bytes)
        if len(data) != tensor.n_bytes:
            reason = f"the data of tensor {tensor.name} is not there"
            raise ModelLoadError(f"could not read {self.path}: {reason}", path=self.path, reason=reason)
        return np.frombuffer(data, kind).reshape(tensor.shape)

    def _text(self, key: str) -> str | None:
        value = self.metadata[key] if key in self.metadata and self.metadata.length_of(key) is None else None
        return value if isinstance(value, str) else None

    def _integer(self, key: str) -> int | None:
        value = self.metadata[key] if key in self.metadata and self.metadata.length_of(key) is None else None
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def _length(self, key: str) -> int:
        return (self.metadata.length_of(key) or 0) if key in self.metadata else 0


def read(source: str | os.PathLike[str] | bytes | bytearray | memoryview, *, header_only: bool = False) -> File:
    """Read a file's header, and refuse everything in it that is damaged.

    Whether llama.cpp can load it is another question: that depends on what the entries say.

    Args:
        source: A path, or the first bytes of a file: its header at least.
        header_only: Do not mind that data is missing, as in a file that is still downloaded. Always so for bytes.

    Raises:
        ModelLoadError: It is no GGUF file, or damaged; ``.where`` names the entry, tensor or part. If bytes are
            missing, ``.n_needed`` says how many there must be at least.
    """
    is_bytes = isinstance(source, (bytes, bytearray, memoryview))
    given = bytes(source) if isinstance(source, (bytearray, memoryview)) else source
    header = _core.read_gguf(given, header_only or is_bytes)
    tensors = tuple(
        Tensor(name, dimensions[::-1], kind, n_elements, n_bytes, header.data_begin + offset)
        for name, dimensions, kind, n_elements, n_bytes, offset in header.tensors
    )
    return File(
        path=None if isinstance(given, bytes) else os.fspath(Path(given)),
        version=header.version,
        alignment=header.alignment,
        n_bytes=header.n_bytes,
        header_bytes=header.data_begin,
        data_bytes=header.data_bytes,
        metadata=Metadata(header),
        tensors=tensors,
    )
