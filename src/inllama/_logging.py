"""Gives llama.cpp's log to ``logging.getLogger("inllama.llama")``."""

from __future__ import annotations

import logging

from inllama import _core

# ggml_log_level to logging. llama.cpp's INFO is a hundred lines per model: of use for a search, not for reading.
_LEVELS = {0: logging.DEBUG, 1: logging.DEBUG, 2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}

logger = logging.getLogger("inllama")
_llama = logging.getLogger("inllama.llama")


def _publish(level: int, line: str) -> None:
    _llama.log(_LEVELS.get(level, logging.DEBUG), "%s", line)


def _lowest_level() -> int:
    """Return the lowest level of llama.cpp's that anyone reads; a load writes hundreds of lines."""
    return min((level for level, own in _LEVELS.items() if _llama.isEnabledFor(own)), default=max(_LEVELS) + 1)


# Without any handler, logging itself would print warnings to stderr.
logger.addHandler(logging.NullHandler())
_core.set_log_handler(_publish, _lowest_level)
