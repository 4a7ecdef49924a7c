"""How far a download is, on a terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from inllama.cli.progress import progress
from inllama.hub.progress import PullProgress, ShowProgress

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_text(size: float) -> str:
    """Return a number of bytes as people read it, in powers of 1000."""
    unit = 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit < 2 or size >= 99.5 else f"{size:.1f} {_UNITS[unit]}"


@contextmanager
def _warnings_shown() -> Generator[None, None, None]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("inllama: %(message)s"))
    logger = logging.getLogger("inllama")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def pull_progress() -> Generator[ShowProgress, None, None]:
    """Give what a pull tells how far it is; what it warns of is shown too."""
    with _warnings_shown(), progress() as shown:
        began = time.monotonic()
        first: list[int] = []

        def show(at: PullProgress) -> None:
            first.extend([] if first else [at.done])
            seconds = time.monotonic() - began
            speed = f", {size_text((at.done - first[0]) / seconds)}/s" if seconds > 1 else ""
            what = f"checking {at.file}" if at.phase == "check" else f"{at.file}{speed}"
            part = at.done / at.total if at.total else None
            shown.show(f"{size_text(at.done)} of {size_text(at.total)}, {what}", part)

        yield show
