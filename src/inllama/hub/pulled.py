"""A model of the Hub that is on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inllama.hub.gguf_names import GgufModel
from inllama.hub.reference import Reference
from inllama.hub.repo_cache import RepoCache


@dataclass(frozen=True)
class Pulled:
    """A model of the Hub on this machine.

    Attributes:
        path: What a loader is given: the file, or the first part of a split one.
        files: All its files, in order.
        mmproj: The projection for images or sound beside it, if it was asked for and there is one.
        repo: ``owner/repo``.
        revision: The commit.
        reference: The reference of just these bytes, with the commit.
    """

    path: Path
    files: tuple[Path, ...]
    mmproj: Path | None
    repo: str
    revision: str
    reference: str


def pulled(reference: Reference, cache: RepoCache, commit: str, model: GgufModel, mmproj: str | None) -> Pulled:
    """Return the files of a model, which are in the cache."""
    snapshot = cache.snapshot(commit)
    files = tuple(snapshot / name for name in model.files)
    beside = snapshot / mmproj if mmproj is not None else None
    pinned = reference.with_file(model.name, commit)
    return Pulled(files[0], files, beside, reference.repo, commit, str(pinned))
