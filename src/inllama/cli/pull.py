"""``inllama pull``: bring a model of the Hugging Face Hub here."""

from __future__ import annotations

import argparse
import sys

from inllama.cli.pull_progress import pull_progress


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "pull",
        help="download a model",
        description="Bring a model of the Hugging Face Hub into its cache, check it, and print its path. What was "
        "interrupted goes on where it was.",
    )
    parser.add_argument("model", help="hf:owner/repo, with :QUANT or /file.gguf, and with @revision behind it")
    parser.add_argument("--no-mmproj", action="store_true", help="leave the projection for images or sound away")
    parser.add_argument(
        "--verify", action="store_true", help="read what is here already too, and fetch again what is damaged"
    )
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Pull; the paths go to standard output, the commit to standard error."""
    from inllama.hub.download import pull

    with pull_progress() as show:
        found = pull(parsed.model, mmproj=not parsed.no_mmproj, verify=parsed.verify, progress=show)
    print(f"inllama: {found.reference}", file=sys.stderr)
    print(found.path)
    if found.mmproj is not None:
        print(found.mmproj)
    return 0
