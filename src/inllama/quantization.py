"""``quantize``: a model's weights in fewer bits."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import inllama._core as _core
from inllama.errors import ModelLoadError
from inllama.importance import Importance


def quantization_types() -> tuple[str, ...]:
    """Return the names that ``type`` can have: those of llama.cpp's own tool."""
    return tuple(_core.quantization_types())


def quantize(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    type: str,
    *,
    imatrix: str | os.PathLike[str] | None = None,
    n_threads: int | None = None,
    output_type: str | None = None,
    token_embedding_type: str | None = None,
    allow_requantize: bool = False,
    quantize_output: bool = True,
    pure: bool = False,
    progress: Callable[[float], object] | None = None,
) -> None:
    """Write a GGUF file whose weights have another type; the same bytes as llama.cpp's own tool writes.

    The file gets its name when it is complete.

    Args:
        source: The model's file, best in F32, F16 or BF16.
        target: The file to be written; one that is there is replaced.
        type: Such as ``Q4_K_M``; ``quantization_types()`` lists them.
        imatrix: A file of llama.cpp's that says which inputs of each tensor matter, in GGUF or its older form.
        n_threads: Threads; by default the usable cores.
        output_type: Of the output tensor, such as ``q8_0``; by default what ``type`` means.
        token_embedding_type: Of the token embeddings.
        allow_requantize: Also weights that were quantized before, which loses more than quantizing once.
        quantize_output: Quantize the output tensor too.
        pure: All tensors alike, without the mixtures of ``type``.
        progress: Called with 0.0 to 1.0; ``False`` or an exception stops.

    Raises:
        InvalidRequestError: An option has a value that is not possible, or the type needs an ``imatrix``.
        ModelLoadError: ``source`` or ``imatrix`` cannot be read, or not be quantized.
    """
    options: dict[str, object] = {
        "type": type,
        "n_threads": n_threads or _core.usable_cores(),
        "output_type": output_type or "",
        "token_embedding_type": token_embedding_type or "",
        "allow_requantize": allow_requantize,
        "quantize_output": quantize_output,
        "pure": pure,
        **(Importance() if imatrix is None else Importance.read(imatrix)).options(),
    }
    goal = Path(target)
    if _are_same(goal, source):
        raise ModelLoadError(f"{goal} is both source and target; give another target", path=str(goal), reason="same")
    handle, part = tempfile.mkstemp(prefix=goal.name, suffix=".part", dir=goal.parent or ".")
    os.close(handle)
    try:
        _core.quantize(source, part, options, progress)
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, goal)
    finally:
        Path(part).unlink(missing_ok=True)


def _are_same(one: Path, other: str | os.PathLike[str]) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False  # one of them is not there


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
