"""Remove models from the Hugging Face cache: the files, and what nothing else there needs."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inllama.errors import ModelLoadError
from inllama.hub.choice import matching
from inllama.hub.gguf_names import is_model, models_in
from inllama.hub.reference import Reference
from inllama.hub.repo_cache import RepoCache

# As RepoCache.part names them; those of huggingface_hub have one more number, and may be in use.
_PART = re.compile(r"(?:[0-9a-f]{64}|[0-9a-f]{40})\.incomplete")


@dataclass(frozen=True)
class Removal:
    """What would be removed.

    Attributes:
        cache: Where.
        links: The files under their names.
        blobs: Their bytes, unless another name has them too, and what interrupted downloads left.
        size: Bytes that become free.
    """

    cache: RepoCache
    links: tuple[Path, ...]
    blobs: tuple[Path, ...]
    size: int

    def run(self) -> None:
        """Remove it. What is open elsewhere stays readable there."""
        for path in (*self.links, *self.blobs):
            path.unlink(missing_ok=True)
        for commit in self.cache.commits():
            _remove_empty(self.cache.snapshot(commit))
        if not any(_files(self.cache.folder / "blobs")) and not any(_files(self.cache.folder / "snapshots")):
            shutil.rmtree(self.cache.folder)  # which leaves alone what links lead to


def removal(reference: Reference) -> Removal:
    """Return what removing ``reference`` means: without a quantization or file all GGUFs, without a revision of all.

    Raises:
        ModelLoadError: Nothing of it is in the cache.
    """
    cache = RepoCache(reference.repo)
    commit = cache.commit_of(reference.revision)
    commits = cache.commits() if reference.revision is None else [commit] if commit is not None else []
    links = [cache.snapshot(commit) / name for commit in commits for name in _names(cache, commit, reference)]
    going = set(links)
    blobs = cache.folder / "blobs"
    needed = {path.resolve() for path in _files(cache.folder / "snapshots") if path not in going}
    freed = {path.resolve() for path in links if path.is_symlink()} - needed
    freed = {path for path in freed if path.parent == blobs.resolve()}
    if reference.quant is None and reference.file is None and reference.revision is None:
        freed |= {path for path in _files(blobs) if _PART.fullmatch(path.name)}
    if not links and not freed:
        text = f"nothing of {str(reference)!r} is in the cache, {cache.root}; 'inllama list' shows what is"
        raise ModelLoadError(text, path=str(reference), reason="not in the cache")
    own = [path for path in links if not path.is_symlink()]
    size = sum(path.stat().st_size for path in (*freed, *own))
    return Removal(cache, tuple(links), tuple(sorted(freed)), size)


def _names(cache: RepoCache, commit: str, reference: Reference) -> list[str]:
    names = cache.names(commit)
    models = models_in(names)
    if reference.file is not None:
        models = [model for model in models if reference.file in model.files]
    elif reference.quant is not None:
        models = matching([model for model in models if is_model(model.name)], reference.quant)
    return [name for model in models for name in model.files]


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place) / name for name in names)


def _remove_empty(folder: Path) -> None:
    for place, _, _ in os.walk(folder, topdown=False):
        if not os.listdir(place):
            os.rmdir(place)
