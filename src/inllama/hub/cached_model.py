"""A model that is on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CachedModel:
    """A model that is on this machine.

    Attributes:
        source: Whose cache it is in: ``huggingface``, ``ollama`` or ``lmstudio``.
        name: What ``LLM`` takes for it: a reference, or a path.
        path: The file, or the first part of a split one.
        files: All its files, in order.
        size: Of all files, in bytes.
        revision: The commit, of those of the Hub.
        title: What the other program calls it; empty for those of the Hub.
    """

    source: str
    name: str
    path: Path
    files: tuple[Path, ...]
    size: int
    revision: str | None = None
    title: str = ""
