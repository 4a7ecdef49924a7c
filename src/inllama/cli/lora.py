"""``--lora``: adapters for a command that runs one model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inllama.llm import LLM


def add_lora_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag."""
    parser.add_argument(
        "--lora",
        metavar="NAME=PATH",
        type=_named_path,
        action="append",
        default=[],
        help="load a LoRA adapter, which is used with scale 1 unless --adapters says otherwise. May be repeated.",
    )


def load_adapters(llm: LLM, parsed: argparse.Namespace) -> dict[str, Any]:
    """Load what was asked for; return the option of every request."""
    for name, path in parsed.lora:
        llm.engine.load_adapter(name, path)
    if not parsed.lora or parsed.adapters is not None:
        return {}
    return {"adapters": {name: 1.0 for name, _ in parsed.lora}}


def _named_path(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise ValueError(text)
    return name, path


_named_path.__name__ = "NAME=PATH"
