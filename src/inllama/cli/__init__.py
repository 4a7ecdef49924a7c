"""The ``inllama`` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from inllama.cli import batch, chat, doctor, embed, estimate, generate, inspect, list_models, pull, quantize, rm, serve
from inllama.errors import InllamaError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 for a failure, 2 for bad usage, 130 for Ctrl-C."""
    from inllama import __version__

    parser = argparse.ArgumentParser(prog="inllama", description="llama.cpp inside Python: run GGUF models.")
    parser.add_argument("--version", action="version", version=f"inllama {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    generate.add_parser(commands)
    chat.add_parser(commands)
    embed.add_parser(commands)
    serve.add_parser(commands)
    batch.add_parser(commands)
    pull.add_parser(commands)
    list_models.add_parser(commands)
    rm.add_parser(commands)
    estimate.add_parser(commands)
    inspect.add_parser(commands)
    quantize.add_parser(commands)
    doctor.add_parser(commands)
    parsed = parser.parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away, as `head` does. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (InllamaError, OSError) as error:
        print(f"inllama: {error}", file=sys.stderr)
        return 1
