"""Bring one file into the cache: what came before is kept, and nothing is known by its name before it was checked."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inllama.errors import ModelLoadError
from inllama.hub.progress import Meter, TooLargeError
from inllama.hub.reference import Reference
from inllama.hub.refusals import refusal
from inllama.hub.repo_cache import RepoCache
from inllama.hub.repository import RemoteFile, endpoint, identity

_logger = logging.getLogger("inllama")

# Loggers that name addresses: those of storage carry a signature that lets anyone read.
_TALKATIVE = (
    "huggingface_hub.file_download",
    "huggingface_hub.utils._http",
    *(f"http{name}" for name in ("x", "x2", "core.http11", "core2.http11", "core.http2", "core2.http2")),
)


@dataclass(frozen=True)
class Transfer:
    """Brings files of one repository at one commit."""

    reference: Reference
    commit: str
    cache: RepoCache
    meter: Meter

    def bring(self, file: RemoteFile) -> Path:
        """Return the path of a file that is in the cache, or is now.

        Raises:
            ModelLoadError: It cannot be fetched, or what came has another hash.
        """
        self.cache.make_folders(file.digest)
        with _alone(self.cache.lock(file.digest)):
            found = self.find(file)  # another process may have brought it meanwhile
            if found is None:
                self._fetch(file)
                self.meter.end(file)
                found = self.cache.link(self.commit, file.name, self.cache.blob(file.digest))
            return found

    def find(self, file: RemoteFile, *, verify: bool = False) -> Path | None:
        """Return the path of a file if it is in the cache and sound; one that is damaged is removed.

        Args:
            file: The file.
            verify: Read it and compare its hash; otherwise its size alone.
        """
        path = self.cache.file(self.commit, file.name)
        blob = self.cache.blob(file.digest)
        if path is not None and not path.is_symlink():  # a system without links: the file itself
            blob = path
        if not blob.is_file():
            return None
        if blob.stat().st_size != file.size or (verify and not file.digest.fits(blob)):
            _logger.warning("%s in the cache is damaged and is fetched again", file.name)
            blob.unlink()
            return None
        linked = path is not None and path.resolve() == blob.resolve()
        return path if linked else self.cache.link(self.commit, file.name, blob)

    def missing_bytes(self, file: RemoteFile) -> int:
        """Return how much of a file that is not in the cache must still come."""
        part = self.cache.part(file.digest)
        return max(0, file.size - part.stat().st_size) if part.is_file() else file.size

    def _fetch(self, file: RemoteFile) -> None:
        part = self.cache.part(file.digest)
        if part.is_symlink() or (part.exists() and part.stat().st_size > file.size):
            part.unlink()
        self._receive(file, part)
        self.meter.at(file, "check", file.size)
        size = part.stat().st_size
        if size != file.size or not file.digest.fits(part):
            part.unlink()
            problem = (
                "has another hash than the Hub says"
                if size == file.size
                else f"has {size} bytes instead of {file.size}"
            )
            text = (
                f"{file.name} of {self.reference.repo} {problem}, and was thrown away; try again, "
                "and if it is so again, tell its owner"
            )
            expected = file.digest.value
            raise ModelLoadError(text, path=str(self.reference), reason="wrong hash", file=file.name, expected=expected)
        os.replace(part, self.cache.blob(file.digest))

    def _receive(self, file: RemoteFile, part: Path) -> None:
        try:
            with _without_queries():
                self._request(file, part)
            return
        except Exception as error:
            if error is self.meter.raised:
                raise
            refused = self._broken(error, file, part)
        # Out here nothing leads to the error any more: its requests and frames hold the token.
        raise refused

    def _broken(self, error: Exception, file: RemoteFile, part: Path) -> ModelLoadError:
        if isinstance(error, TooLargeError):
            part.unlink(missing_ok=True)
            text = (
                f"{file.name} of {self.reference.repo} has more than the {file.size} bytes that the Hub says; not kept"
            )
            return ModelLoadError(text, path=str(self.reference), reason="too large", file=file.name)
        done = part.stat().st_size if part.is_file() else 0
        if isinstance(error, OSError) and str(error).startswith("Consistency check failed"):
            error = ConnectionError()
        found = refusal(error, self.reference, endpoint())
        found.fields.update(file=file.name, done=done, size=file.size)
        if found.reason == "unreachable":
            text = f"{file.name} of {self.reference.repo} broke off after {done} of {file.size} bytes"
            remedy = "the same again goes on from there"
            return ModelLoadError(f"{text}; {remedy}", **found.fields | {"reason": "broken off"})
        return found

    def _request(self, file: RemoteFile, part: Path) -> None:
        from huggingface_hub import constants, hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        if file.size > constants.MAX_HTTP_DOWNLOAD_SIZE or constants.HF_XET_HIGH_PERFORMANCE:
            self._request_whole(file, part)
            return
        repo, address = self.reference.repo, endpoint()
        with part.open("ab") as target:
            # Not hf_hub_download: it throws away what came when it is interrupted (huggingface_hub's issue 4196).
            http_get(
                hf_hub_url(repo, file.name, revision=self.commit, endpoint=address),
                target,
                resume_size=target.tell(),
                headers=build_hf_headers(**identity()),
                expected_size=file.size,
                displayed_filename=file.name,
                tqdm_class=self.meter.bar_for(file),
            )

    def _request_whole(self, file: RemoteFile, part: Path) -> None:
        """Receive a file as huggingface_hub does it, which is Xet where it can; it cannot go on after a break."""
        from huggingface_hub import hf_hub_download

        place = part.with_suffix(".whole")
        try:
            came = hf_hub_download(
                self.reference.repo,
                file.name,
                revision=self.commit,
                endpoint=endpoint(),
                local_dir=place,
                cache_dir=place,
                tqdm_class=self.meter.bar_for(file),
                **identity(),
            )
            os.replace(came, part)
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Generator[None, None, None]:
    """Wait until no other process fetches the same file, also through huggingface_hub."""
    from filelock import FileLock

    lock = FileLock(path)
    try:
        lock.acquire()
    except NotImplementedError:  # a file system without locks; two that write together spoil the hash, and it is seen
        yield
        return
    try:
        yield
    finally:
        lock.release()


class _WithoutQueries(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the line, without what stands behind the question mark of an address."""
        record.msg, record.args = re.sub(r"\?[^\s'\"]+", "?...", record.getMessage()), ()
        return True


@contextmanager
def _without_queries() -> Generator[None, None, None]:
    made = _WithoutQueries()
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    for logger in loggers:
        logger.addFilter(made)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(made)
