"""``-m``: the model of a command, brought here with a bar if it is one of the Hub."""

from __future__ import annotations

import argparse
import sys

from inllama.cli.pull_progress import pull_progress
from inllama.hub.reference import SCHEME

_TEXT = "path of a GGUF file, or hf:owner/repo:QUANT of the Hugging Face Hub"


def add_model_flag(parser: argparse.ArgumentParser, *, required: bool = False, several: bool = False) -> None:
    """Add the flag; unless it is required, the default is the demo model. Several models have names."""
    if several:
        text = f"{_TEXT}; may be repeated as NAME=MODEL, and requests name one (default: the demo model)"
        parser.add_argument("-m", "--model", action="append", help=text)
    elif required:
        parser.add_argument("-m", "--model", required=True, help=_TEXT)
    else:
        parser.add_argument(
            "-m", "--model", default="demo", help=f"{_TEXT} (default: the demo model inside the package)"
        )


def local_path(model: str) -> str:
    """Return what a loader takes for the value of the flag.

    Raises:
        ModelLoadError: It is of the Hub and cannot be had.
    """
    if not model.startswith(SCHEME):
        return model
    from inllama.hub.download import local_model

    with pull_progress() as show:
        found = local_model(model, progress=show)
    if found.reference != model:
        print(f"inllama: {found.reference}", file=sys.stderr)
    return str(found.path)
