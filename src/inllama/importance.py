"""Importance matrices: which inputs of each tensor matter, as llama.cpp's ``llama-imatrix`` writes it."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

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
        try:
            found = _read_gguf(path) if _is_gguf(path) else _read_older(path)
        except OSError as error:
            raise _error(path, str(error)) from error
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
    arrays = {tensor.name: tensor for tensor in read.tensors if tensor.name.endswith((_SUMS, _COUNTS))}
    values = {}
    for name in {name.removesuffix(_SUMS).removesuffix(_COUNTS): None for name in arrays}:
        sums, counts = arrays.get(name + _SUMS), arrays.get(name + _COUNTS)
        if sums is None or counts is None:
            raise _error(path, f"it has either sums or counts of {name!r}, and needs both")
        if {sums.type, counts.type} != {"f32"} or sums.n_elements % counts.n_elements != 0:
            raise _error(path, f"the sums of {name!r} must be f32 as its counts, and as many for each of these")
        values[name] = _mean(read.array(sums), read.array(counts))
    datasets, n_chunks = read.metadata.get("imatrix.datasets"), read.metadata.get("imatrix.chunk_count")
    return Importance(
        values,
        path,
        datasets[0] if isinstance(datasets, tuple) and datasets and isinstance(datasets[0], str) else "",
        n_chunks if isinstance(n_chunks, int) and 0 < n_chunks < 2**31 else 0,
    )


def _mean(sums: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean square of each input; of an expert that was never asked, 1."""
    import numpy as np

    rows = sums.reshape(counts.size, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.floor(counts.reshape(-1, 1) + np.float32(0.5))
        mean = np.where(each > 0, rows / each, np.float32(1))
    return np.ascontiguousarray(mean.reshape(-1), dtype=np.float32)


class _Fields:
    """Takes integers and more from the beginning of a file; never more than there are."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file = file
        self._path = path
        self._n_left = os.fstat(file.fileno()).st_size

    def __bool__(self) -> bool:
        return self._n_left > 0

    def take(self, n: int, least: int = 0) -> bytes:
        taken = self._file.read(n) if least <= n <= self._n_left else b""
        if len(taken) != n:
            raise _error(self._path, "it is no importance matrix of llama.cpp, damaged or incomplete")
        self._n_left -= n
        return taken

    def integer(self) -> int:
        return int(struct.unpack("<i", self.take(4))[0])

    def text(self) -> str:
        return self.take(self.integer()).partition(b"\0")[0].decode(errors="replace")


def _read_older(path: str) -> Importance:
    """Read what ``llama-imatrix`` wrote before GGUF: sums over calls, and how many calls."""
    import numpy as np

    with open(path, "rb") as file:
        fields = _Fields(file, path)
        values = {}
        for _ in range(fields.integer()):
            name, n_calls, n_values = fields.text(), fields.integer(), fields.integer()
            sums = np.frombuffer(fields.take(4 * n_values, least=4), dtype="<f4").astype(np.float32)
            values[name] = sums / np.float32(n_calls) if n_calls > 0 else sums
        n_chunks = fields.integer() if fields else 0
        return Importance(values, path, fields.text() if fields else "", max(n_chunks, 0))
