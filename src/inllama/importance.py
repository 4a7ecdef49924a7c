"""Importance matrices: which inputs of each tensor matter, as llama.cpp's ``llama-imatrix`` writes it."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inllama.errors import ModelLoadError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SUMS, _COUNTS = ".in_sum2", ".counts"


@dataclass(frozen=True)
class Importance:
    """What an importance matrix says; the empty one says nothing.

    Attributes:
        values: By tensor, the mean square of each input; of a tensor of several experts one after the other.
        file: The path, for the notes in the quantized file.
        dataset: What it was computed on; empty if unknown.
        n_chunks: On how many pieces of that; 0 if unknown.
    """

    values: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    file: str = ""
    dataset: str = ""
    n_chunks: int = 0

    @classmethod
    def read(cls, file: str | os.PathLike[str]) -> Importance:
        """Read a file, in GGUF or the binary form of before.

        Raises:
            ModelLoadError: It cannot be read, is none, or has a value that is no mean square.
        """
        import numpy as np

        path = os.fspath(file)
        found = _read_gguf(path) if _is_gguf(path) else _read_older(path)
        if not found.values:
            raise _error(path, "it says nothing about any tensor")
        for name, values in found.values.items():
            if not (np.isfinite(values).all() and (values >= 0).all()):
                raise _error(path, f"what it says of {name!r} is not finite, or below 0")
        return found

    def options(self) -> dict[str, object]:
        """Return it as ``_core.quantize`` takes it."""
        return {
            "importance": self.values,
            "importance_file": self.file,
            "importance_dataset": self.dataset,
            "importance_chunks": self.n_chunks,
        }


def _error(path: str, reason: str) -> ModelLoadError:
    return ModelLoadError(f"could not read the importance matrix {path}: {reason}", path=path, reason=reason)


def _is_gguf(path: str) -> bool:
    if not Path(path).is_file():
        return True  # whose reader says what is wrong
    with open(path, "rb") as file:
        return file.read(4) == b"GGUF"


def _read_gguf(path: str) -> Importance:
    from inllama import gguf

    read = gguf.read(path)
    arrays = {tensor.name: tensor for tensor in read.tensors}
    names = [name.removesuffix(_SUMS) for name in arrays if name.endswith(_SUMS)]
    metadata: Mapping[str, Any] = read.metadata
    datasets = metadata.get("imatrix.datasets") or ("",)
    return Importance(
        {
            name: _mean(read.array(arrays[name + _SUMS]), read.array(arrays[name + _COUNTS]))
            for name in names
            if name + _COUNTS in arrays
        },
        path,
        str(datasets[0]),
        int(metadata.get("imatrix.chunk_count", 0)),
    )


def _mean(sums: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean square of each input; of an expert that was never asked, 1."""
    import numpy as np

    rows = sums.reshape(counts.size, -1)
    each = counts.reshape(-1, 1).astype(np.int64).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(each > 0, rows / each, np.float32(1))
    return np.ascontiguousarray(mean.reshape(-1), dtype=np.float32)


class _Bytes:
    """Takes integers and more from the beginning of bytes; never more than there are."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._rest = memoryview(Path(path).read_bytes())

    def __bool__(self) -> bool:
        return len(self._rest) > 0

    def take(self, n: int, least: int = 0) -> memoryview:
        if not least <= n <= len(self._rest):
            raise _error(self._path, "it is no importance matrix of llama.cpp, damaged or incomplete")
        taken, self._rest = self._rest[:n], self._rest[n:]
        return taken

    def integer(self) -> int:
        return int(struct.unpack("<i", self.take(4))[0])

    def text(self) -> str:
        return bytes(self.take(self.integer())).partition(b"\0")[0].decode(errors="replace")


def _read_older(path: str) -> Importance:
    """Read what ``llama-imatrix`` wrote before GGUF: sums over calls, and how many calls."""
    import numpy as np

    rest = _Bytes(path)
    values = {}
    for _ in range(rest.integer()):
        name, n_calls, n_values = rest.text(), rest.integer(), rest.integer()
        sums = np.frombuffer(rest.take(4 * n_values, least=4), dtype="<f4").astype(np.float32)
        values[name] = sums / np.float32(n_calls) if n_calls > 0 else sums
    n_chunks = rest.integer() if rest else 0
    return Importance(values, path, rest.text() if rest else "", max(n_chunks, 0))
