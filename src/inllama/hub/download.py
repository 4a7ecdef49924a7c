"""From a reference to files on this machine."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace

from inllama.errors import ModelLoadError
from inllama.hub.choice import choose, mmproj_for
from inllama.hub.lookup import cached
from inllama.hub.progress import Meter, NotebookBar, PullProgress, ShowProgress, in_notebook
from inllama.hub.pulled import Pulled, pulled
from inllama.hub.reference import Reference
from inllama.hub.refusals import PASSING
from inllama.hub.repo_cache import RepoCache
from inllama.hub.repository import RemoteFile, Repository, check_extra, is_offline, read_repository
from inllama.hub.transfer import Transfer

_logger = logging.getLogger("inllama")


def pull(
    reference: str,
    *,
    mmproj: bool = True,
    verify: bool = False,
    progress: Callable[[PullProgress], None] | None = None,
) -> Pulled:
    """Bring a model of the Hugging Face Hub into the cache, where it is not there yet, and return where it is.

    What an interrupted call left is kept, and the next one goes on from there. Every file is known by the hash that the
    Hub says, and has it before it gets its name. Tokens, proxies and mirrors are those of huggingface_hub. Without the
    network, or with ``HF_HUB_OFFLINE=1``, what is in the cache is returned.

    Args:
        reference: ``hf:owner/repo``, with ``:QUANT`` or ``/file.gguf`` behind it, and ``@revision`` behind that.
        mmproj: Bring the projection for images or sound that belongs to the model, if there is one.
        verify: Read files that are there already, too, and fetch those again whose hash is another.
        progress: Is told how far it is; what it raises ends the call. In a notebook, by default, there is a bar.

    Raises:
        ModelLoadError: The Hub refuses or cannot be reached, there is no such file, or several fit (``.choices``).
        InvalidRequestError: It is no reference.
        UnsupportedError: It must be downloaded, and the extra ``hub`` is not installed.
    """
    return _pull(Reference.parse(reference), mmproj, verify, progress)


def _pull(wanted: Reference, mmproj: bool, verify: bool, progress: ShowProgress | None) -> Pulled:
    if is_offline():
        return _offline(wanted, mmproj)
    check_extra(wanted)
    try:
        repository = read_repository(wanted)
    except ModelLoadError as error:
        found = cached(wanted, mmproj=mmproj, guess=True) if error.reason in PASSING else None
        if found is None:
            raise
        _logger.warning("%s; %s is taken as it was downloaded", error, found.reference)
        return found
    bar = NotebookBar() if progress is None and in_notebook() else None
    try:
        return _bring(wanted, repository, mmproj, verify, bar or progress)
    finally:
        if bar is not None:
            bar.close()


def local_model(reference: str, *, progress: ShowProgress | None = None) -> Pulled:
    """Return a model to be loaded: what is in the cache, without asking anybody, else pull it.

    Args:
        reference: As of ``pull``; without a quantization the cache is enough if it has what the Hub would give.
        progress: As of ``pull``.

    Raises:
        ModelLoadError: As ``pull``.
    """
    wanted = Reference.parse(reference)
    found = cached(wanted) or _pull(wanted, False, False, progress)
    _logger.info("%s is %s", reference, found.reference)
    return found


def _offline(reference: Reference, mmproj: bool) -> Pulled:
    found = cached(reference, mmproj=mmproj, guess=True)
    if found is None:
        text = f"{str(reference)!r} is not in the cache, {RepoCache(reference.repo).root}, and HF_HUB_OFFLINE is set"
        raise ModelLoadError(f"{text}; pull it once without", path=str(reference), reason="offline")
    return found


def _bring(
    reference: Reference, repository: Repository, mmproj: bool, verify: bool, show: ShowProgress | None
) -> Pulled:
    model = choose(repository.names, reference)
    beside = mmproj_for(repository.names, model) if mmproj else None
    files = repository.named(*model.files, *([beside] if beside is not None else []))
    cache = RepoCache(reference.repo)
    here = Transfer(reference, repository.commit, cache, Meter([], None))
    waiting = [file for file in files if here.find(file, verify=verify) is None]
    transfer = replace(here, meter=Meter(waiting, show))
    _check_room(transfer, waiting)
    for file in waiting:
        _logger.info("downloading %s of %s, %.1f MB", file.name, reference.repo, file.size / 1e6)
    for file in files:
        transfer.bring(file)
    cache.remember(reference.revision, repository.commit)
    return pulled(reference, cache, repository.commit, model, beside)


def _check_room(transfer: Transfer, waiting: Sequence[RemoteFile]) -> None:
    needed = sum(transfer.missing_bytes(file) for file in waiting)
    root = transfer.cache.root
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if needed > free:
        text = (
            f"{transfer.reference.repo} needs {needed} bytes more, and {root} has {free}; HF_HOME names another place"
        )
        raise ModelLoadError(text, path=str(transfer.reference), reason="no space", needed=needed, free=free)
