"""``inllama rm``: remove models from the Hugging Face cache."""

from __future__ import annotations

import argparse
import sys

from inllama.cli.pull_progress import size_text


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "rm",
        help="remove a downloaded model",
        description="Remove a model from the Hugging Face cache, which other programs use too: with :QUANT or a file "
        "just that, else every GGUF of the repository. What Ollama and LM Studio have is theirs to remove.",
    )
    parser.add_argument("model", help="hf:owner/repo, with :QUANT or /file.gguf, and with @revision behind it")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Say what would go, ask, and remove it; 1 if the answer is no, 2 if nobody can be asked."""
    from inllama.hub.reference import Reference
    from inllama.hub.removal import removal

    found = removal(Reference.parse(parsed.model))
    if not parsed.yes:
        for path in found.links:
            print(path.relative_to(found.cache.root))
        if not sys.stdin.isatty():
            print("inllama: nothing is removed without a terminal to ask on; give --yes", file=sys.stderr)
            return 2
        print(f"Remove {len(found.links)} files, {size_text(found.size)}? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return 1
    found.run()
    print(f"inllama: {size_text(found.size)} are free again", file=sys.stderr)
    return 0
