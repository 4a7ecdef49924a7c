"""How far a download is: for a caller's function, or as a bar in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from inllama.hub.repository import RemoteFile


@dataclass(frozen=True)
class PullProgress:
    """How far a pull is.

    Attributes:
        file: What is worked on.
        phase: ``download`` or ``check``, which reads what came and compares its hash.
        done: Bytes of all files that are here; what an earlier call left counts too.
        total: Bytes of all files that were to be fetched.
    """

    file: str
    phase: str
    done: int
    total: int


ShowProgress = Callable[[PullProgress], None]


class TooLargeError(Exception):
    """More bytes came than the file has."""


class Meter:
    """Counts the bytes of the files of one pull and tells ``show``, whose exceptions end the pull."""

    def __init__(self, files: Sequence[RemoteFile], show: ShowProgress | None) -> None:
        self._total = sum(file.size for file in files)
        self._before = 0
        self._show = show
        self.raised: BaseException | None = None

    def at(self, file: RemoteFile, phase: str, done: int) -> None:
        """So many bytes of a file are here."""
        if self._show is None:
            return
        try:
            self._show(PullProgress(file.name, phase, self._before + done, self._total))
        except BaseException as problem:
            self.raised = problem
            raise

    def end(self, file: RemoteFile) -> None:
        """A file is here and is the right one."""
        self._before += file.size

    def bar_for(self, file: RemoteFile) -> type[Bar]:
        """Return what huggingface_hub takes for tqdm, for one file."""
        return type("FileBar", (Bar,), {"meter": self, "file": file})


class Bar:
    """As much of tqdm as huggingface_hub uses, with the bytes of one file."""

    meter: Meter
    file: RemoteFile

    def __init__(self, *_: Any, initial: float = 0, total: float | None = None, **__: Any) -> None:
        self.n = int(initial)
        self.total = total
        self.update(0)

    def update(self, n: float | None = 1) -> None:
        """So many more bytes came; fewer than none when a server begins again.

        Raises:
            TooLargeError: They are more than the file has. They are not written yet.
        """
        self.n += int(n or 0)
        if self.n > self.file.size:
            raise TooLargeError
        self.meter.at(self.file, "download", self.n)

    def update_transfer(self, n: float | None = 1) -> None:
        """Xet counts what comes apart from what is written; having this, it uses one bar for both."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to be drawn."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing


def _nothing(*_: Any, **__: Any) -> None:
    return None


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class NotebookBar:
    """A bar by tqdm, which a notebook draws."""

    def __init__(self) -> None:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of ipywidgets that are missing: then it is text
            from tqdm.auto import tqdm  # type: ignore[import-untyped]

            self._bar: Any = tqdm(total=None, unit="B", unit_scale=True)

    def __call__(self, progress: PullProgress) -> None:
        """Draw it, when it is time."""
        if self._bar.total != progress.total:
            self._bar.reset(progress.total)
        self._bar.set_description_str(progress.file if progress.phase == "download" else "checking", refresh=False)
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        """Leave it as it is."""
        self._bar.close()
