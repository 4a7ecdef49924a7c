"""``inllama generate``: stream a continuation of a prompt."""

from __future__ import annotations

import argparse
import sys

from inllama.cli.flags import add_flags, flag_values
from inllama.cli.lora import add_lora_flag, load_adapters
from inllama.cli.model_flag import add_model_flag, local_path
from inllama.params import EngineOptions, ModelOptions, RequestOptions, SamplingParams

_DEFAULT_MAX_TOKENS = 256
# Without a use on a command line that prints one text.
_NOT_FLAGS = frozenset({"n", "request_id", "output", "wait", "kv_overrides"})


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "generate", help="continue a text", description="Continue a text and print it as it comes."
    )
    parser.add_argument("prompt", nargs="?", help="the text; read from standard input if not given")
    add_model_flag(parser)
    add_lora_flag(parser)
    for cls in (SamplingParams, RequestOptions, EngineOptions, ModelOptions):
        add_flags(parser, cls, without=_NOT_FLAGS)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Stream to standard output: the prompt, then what the model adds."""
    from inllama.llm import LLM

    prompt = parsed.prompt
    if prompt is None:
        if sys.stdin.isatty():
            print("inllama: give a prompt, or pipe one in", file=sys.stderr)
            return 2
        prompt = sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n")
    loading = flag_values(parsed, EngineOptions) | flag_values(parsed, ModelOptions)
    asked = flag_values(parsed, SamplingParams) | flag_values(parsed, RequestOptions)
    asked.setdefault("max_tokens", _DEFAULT_MAX_TOKENS)
    with LLM(local_path(parsed.model), **loading) as llm:
        asked |= load_adapters(llm, parsed)
        with llm.stream(prompt, **asked) as stream:
            sys.stdout.write(prompt)
            sys.stdout.flush()
            for chunk in stream:
                sys.stdout.write(chunk.text)
                sys.stdout.flush()
            sys.stdout.write("\n")
    return 0
