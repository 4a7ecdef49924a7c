"""How far a long command is, on a terminal: a bar where the ``cli`` extra is installed, else a line that changes."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol

# A person reads no faster, and each line of text costs a system call.
_INTERVAL_S = 0.1


class Progress(Protocol):
    """Shows how far something is."""

    def show(self, text: str, part: float | None) -> None:
        """Show a text, and the part that is done; ``None``: nobody knows."""

    def end(self) -> None:
        """Leave the last text where it is."""


class NoProgress:
    """Shows nothing."""

    def show(self, text: str, part: float | None) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


class PlainProgress:
    """A line on standard error."""

    def __init__(self) -> None:
        self._last = ""
        self._next_s = 0.0

    def show(self, text: str, part: float | None) -> None:
        """Write the line anew, a few times per second."""
        self._last = text if part is None else f"{text}, {part:.0%}"
        now = time.monotonic()
        if now >= self._next_s:
            self._next_s = now + _INTERVAL_S
            self._write("")

    def end(self) -> None:
        """Write it for the last time."""
        if self._last:
            self._write("\n")

    def _write(self, end: str) -> None:
        sys.stderr.write(f"\r{self._last}{end}")
        sys.stderr.flush()


class RichProgress:
    """A bar by rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        text = TextColumn("{task.description}", markup=False)
        self._shown: Any = Progress(
            BarColumn(), TaskProgressColumn(), text, TimeElapsedColumn(), console=Console(stderr=True)
        )
        self._task = self._shown.add_task("", total=None)
        self._shown.start()

    def show(self, text: str, part: float | None) -> None:
        """Change it; rich draws when it is time."""
        total = None if part is None else 1.0
        self._shown.update(self._task, description=text, completed=part or 0.0, total=total)

    def end(self) -> None:
        """Draw it for the last time."""
        self._shown.stop()


def make_progress() -> Progress:
    """Return the best there is: nothing without a terminal, a bar with the ``cli`` extra."""
    if not sys.stderr.isatty():
        return NoProgress()
    return RichProgress() if importlib.util.find_spec("rich") is not None else PlainProgress()


@contextmanager
def progress() -> Generator[Progress, None, None]:
    """Show progress until the block ends."""
    made = make_progress()
    try:
        yield made
    finally:
        made.end()
