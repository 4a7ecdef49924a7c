"""What the Hub says about a repository: the commit of a revision, and its files with their sizes and hashes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from inllama._build_config import VERSION
from inllama.errors import ModelLoadError, UnsupportedError
from inllama.hub.digest import Digest
from inllama.hub.gguf_names import is_gguf
from inllama.hub.names import file_problem, is_commit
from inllama.hub.reference import Reference
from inllama.hub.refusals import asking

_TIMEOUT_S = 30.0
_MAX_BYTES = 1 << 50
_YES = frozenset({"1", "ON", "YES", "TRUE"})


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        name: Its path in the repository, checked.
        size: In bytes.
        digest: Its hash.
    """

    name: str
    size: int
    digest: Digest


@dataclass(frozen=True)
class Repository:
    """The GGUF files of a repository at one commit."""

    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def names(self) -> list[str]:
        """Of all files."""
        return [file.name for file in self.files]

    def named(self, *names: str) -> list[RemoteFile]:
        """Return the files of those names."""
        by_name = {file.name: file for file in self.files}
        return [by_name[name] for name in names]


def is_offline() -> bool:
    """Whether huggingface_hub is told to stay off the network."""
    return (os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or "").upper() in _YES


def check_extra(reference: Reference) -> None:
    """Raise ``UnsupportedError`` if the extra that downloads need is not installed."""
    try:
        import huggingface_hub as _  # noqa: F401
    except ImportError:
        text = f"{str(reference)!r} must be downloaded, which needs huggingface_hub; pip install 'inllama[hub]'"
        raise UnsupportedError(text, extra="hub") from None


def endpoint() -> str:
    """Return the address of the Hub."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def identity() -> dict[str, Any]:
    """Return how requests say who asks."""
    return {"library_name": "inllama", "library_version": VERSION}


def read_repository(reference: Reference) -> Repository:
    """Ask the Hub for the repository of ``reference`` at its revision.

    Raises:
        ModelLoadError: The Hub refuses, cannot be reached, or names files that would lead out of the cache.
    """
    from huggingface_hub import HfApi

    address = endpoint()

    def ask() -> tuple[object, list[Any]]:
        info = HfApi(endpoint=address, **identity()).model_info(
            reference.repo, revision=reference.revision, files_metadata=True, timeout=_TIMEOUT_S
        )
        return info.sha, list(info.siblings or [])

    commit, siblings = asking(reference, address, ask)
    if not is_commit(commit):
        raise _unsound(reference, f"a commit that is none: {commit!r}")
    files = tuple(_checked(reference, sibling) for sibling in siblings if _may_be_gguf(sibling.rfilename))
    return Repository(str(commit), files)


def _may_be_gguf(name: object) -> bool:
    return isinstance(name, str) and is_gguf(name)


def _checked(reference: Reference, sibling: Any) -> RemoteFile:
    name = sibling.rfilename
    problem = file_problem(name)
    if problem is not None:
        raise _unsound(reference, f"a file {name!r}, which {problem}")
    lfs = sibling.lfs
    size = lfs.size if lfs is not None else sibling.size
    digest = Digest("sha256", str(lfs.sha256)) if lfs is not None else Digest("git", str(sibling.blob_id))
    if not isinstance(size, int) or not 0 <= size <= _MAX_BYTES:
        raise _unsound(reference, f"a size of {name!r} that is not possible: {size!r}")
    if not digest.is_sound():
        raise _unsound(reference, f"no hash of {name!r}, without which it cannot be checked")
    return RemoteFile(name, size, digest)


def _unsound(reference: Reference, what: str) -> ModelLoadError:
    text = f"{endpoint()} gives {reference.repo} {what}; nothing of it is used"
    return ModelLoadError(text, path=str(reference), reason="unsafe answer", endpoint=endpoint())
