"""``inllama list``: the models that are on this machine."""

from __future__ import annotations

import argparse
import json
from typing import Any

from inllama.cli.pull_progress import size_text


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "list",
        help="show the models on this machine",
        description="Show the GGUF models in the caches of Hugging Face, Ollama and LM Studio. What stands in the last "
        "column can be given with -m.",
    )
    parser.add_argument("--json", action="store_true", help="a JSON object for each model, with its path")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Print a line for each model."""
    from inllama.hub.caches import cached_models

    for model in cached_models():
        if parsed.json:
            fields: dict[str, Any] = {
                "source": model.source,
                "name": model.name,
                "path": str(model.path),
                "files": [str(file) for file in model.files],
                "size": model.size,
                "revision": model.revision,
                "title": model.title,
            }
            print(json.dumps(fields))
        else:
            title = f"{model.title}  " if model.title else ""
            print(f"{model.source:<11}  {size_text(model.size):>8}  {title}{model.name}")
    return 0
