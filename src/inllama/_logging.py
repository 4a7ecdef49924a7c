"""Gives llama.cpp's log to ``logging.getLogger("inllama.llama")``."""

from __future__ import annotations

import logging

from inllama import _core

# ggml_log_level to logging. llama.cpp's INFO is a hundred lines per model: of use for a search, not for reading.
_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}

logger = logging.getLogger("inllama")
_llama = logging.getLogger("inllama.llama")


def _publish(level: int, line: str) -> None:
    _llama.log(_LEVELS.get(level, logging.DEBUG), "%s", line)


# Without any handler, logging itself would print warnings to stderr.
logger.addHandler(logging.NullHandler())
_core.set_log_handler(_publish)
