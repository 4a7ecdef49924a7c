"""The cache that all of Hugging Face's libraries share, for one repository.

``models--owner--repo/`` has ``blobs/`` (files, named by their hash), ``snapshots/<commit>/`` (links to them under the
names of the repository) and ``refs/<revision>`` (the commit that a branch or tag was last seen at).
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from inllama.errors import ModelLoadError
from inllama.hub.digest import Digest
from inllama.hub.gguf_names import is_gguf
from inllama.hub.names import file_problem, is_commit


def cache_root() -> Path:
    """Return the folder of the cache, as huggingface_hub finds it (``HF_HUB_CACHE``, ``HF_HOME``)."""
    given = os.environ.get
    home = given("HF_HOME") or os.path.join(given("XDG_CACHE_HOME") or os.path.join("~", ".cache"), "huggingface")
    found = given("HF_HUB_CACHE") or given("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    return Path(os.path.expandvars(os.path.expanduser(found)))


class RepoCache:
    """What the cache has of one repository. Names were checked before: see ``names.py``."""

    def __init__(self, repo: str, root: Path | None = None) -> None:
        self.root = (cache_root() if root is None else root).absolute()
        self.folder = self.root / ("models--" + repo.replace("/", "--"))

    def commit_of(self, revision: str | None) -> str | None:
        """Return the commit of a branch, tag or commit as it was last seen here."""
        if is_commit(revision):
            return revision
        try:
            found = (self.folder / "refs" / (revision or "main")).read_text(encoding="utf-8", errors="replace").strip()
        except (OSError, ValueError):
            return None
        return found if is_commit(found) else None

    def commits(self) -> list[str]:
        """Return the commits of which files are here."""
        return sorted(name for name in _listed(self.folder / "snapshots") if is_commit(name))

    def snapshot(self, commit: str) -> Path:
        """Return the folder of a commit."""
        return self.folder / "snapshots" / commit

    def names(self, commit: str) -> list[str]:
        """Return the names of the GGUF files that are here of a commit."""
        snapshot = self.snapshot(commit)
        found = []
        for folder, _, files in os.walk(snapshot):
            for file in files:
                name = (Path(folder) / file).relative_to(snapshot).as_posix()
                if is_gguf(name) and file_problem(name) is None and self.file(commit, name) is not None:
                    found.append(name)
        return sorted(found)

    def file(self, commit: str, name: str) -> Path | None:
        """Return the path of a file, if it is here and its link does not lead out of the cache."""
        path = self.snapshot(commit) / name
        return path if path.is_file() and _is_below(path, self.root) else None

    def blob(self, digest: Digest) -> Path:
        """Return where the bytes with a hash are, or would be."""
        return self.folder / "blobs" / digest.value

    def part(self, digest: Digest) -> Path:
        """Return where they grow while they come."""
        return self.folder / "blobs" / f"{digest.value}.incomplete"

    def lock(self, digest: Digest) -> Path:
        """Return the file by which processes, also those of huggingface_hub, agree on who fetches it."""
        return self.root / ".locks" / self.folder.name / f"{digest.value}.lock"

    def make_folders(self, digest: Digest) -> None:
        """Make the folders of a blob.

        Raises:
            ModelLoadError: A link that is there already leads out of the cache.
        """
        for path in (self.blob(digest), self.lock(digest)):
            self._make_folder(path.parent)

    def link(self, commit: str, name: str, blob: Path) -> Path:
        """Make the blob known under its name at a commit.

        Raises:
            ModelLoadError: A link that is there already leads out of the cache.
        """
        path = self.snapshot(commit) / name
        self._make_folder(path.parent)
        made = path.with_name(f".{uuid.uuid4().hex}")
        try:
            # From where the link really is: a cache may be reached by several names.
            os.symlink(os.path.relpath(blob.parent.resolve() / blob.name, path.parent.resolve()), made)
        except OSError:  # Windows allows links to few
            os.replace(blob, path)
        else:
            os.replace(made, path)
        return path

    def remember(self, revision: str | None, commit: str) -> None:
        """Write which commit a branch or tag is at."""
        if revision == commit:
            return
        path = self.folder / "refs" / (revision or "main")
        self._make_folder(path.parent)
        if self.commit_of(revision) != commit:
            made = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
            made.write_text(commit, encoding="utf-8")
            os.replace(made, path)

    def _make_folder(self, folder: Path) -> None:
        if not _is_below(folder, self.root):
            text = f"{folder} leads out of the cache {self.root}, to {folder.resolve()}; remove that link"
            raise ModelLoadError(text, path=str(folder), reason="link out of the cache")
        folder.mkdir(parents=True, exist_ok=True)


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_below(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a circle of links
        return False
