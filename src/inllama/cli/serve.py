"""``inllama serve``: a server with OpenAI's and Anthropic's routes, and a chat page."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inllama.cli.flags import add_flags, flag_values
from inllama.cli.lora import add_lora_flag
from inllama.params import EngineOptions, ModelOptions

if TYPE_CHECKING:
    from inllama.async_llm import AsyncLLM

_KEYS_VARIABLE = "INLLAMA_API_KEYS"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        help="serve a model over HTTP",
        description="Serve a model over HTTP: OpenAI's and Anthropic's routes, Prometheus metrics, and a chat page.",
    )
    parser.add_argument(
        "-m", "--model", default="demo", help="path of a GGUF file (default: the demo model inside the package)"
    )
    parser.add_argument(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help=f"a key that requests need; other users of this machine see it, {_KEYS_VARIABLE} (with commas) not. "
        "May be repeated.",
    )
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help="a file with a key in each line")
    parser.add_argument("--no-access-log", action="store_true", help="log no line for each request")
    add_lora_flag(parser)
    try:
        from inllama.server.options import AppOptions, ListenOptions
    except ImportError:  # which running it says
        pass
    else:
        for cls in (AppOptions, ListenOptions):
            add_flags(parser, cls, without=frozenset({"api_keys"}))
    add_flags(parser, EngineOptions)
    add_flags(parser, ModelOptions, without=frozenset({"kv_overrides"}))
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    try:
        from inllama.server.listen import make_server
        from inllama.server.options import AppOptions, ListenOptions
    except ImportError as problem:
        print(f"inllama: {problem}", file=sys.stderr)
        return 1
    from inllama.async_llm import AsyncLLM

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if parsed.no_access_log:
        logging.getLogger("inllama.access").setLevel(logging.WARNING)
    options: dict[str, Any] = flag_values(parsed, AppOptions) | flag_values(parsed, ListenOptions)
    options["api_keys"] = _api_keys(parsed)
    aio = AsyncLLM(parsed.model, **flag_values(parsed, EngineOptions) | flag_values(parsed, ModelOptions))
    server = make_server(aio, **options)
    server.service.before_ready = lambda: _load_adapters(aio, parsed)
    print(f"inllama: {server.url} (chat page), {server.url}/v1 (OpenAI); Ctrl-C stops", flush=True)
    try:
        server.run(sockets=[server.socket])
    finally:
        engine = server.service.loaded
        if engine is not None:
            engine.close()
    if server.service.load_error is not None:
        raise server.service.load_error
    return 0


def _api_keys(parsed: argparse.Namespace) -> list[str]:
    keys = [*parsed.api_key, *os.environ.get(_KEYS_VARIABLE, "").split(",")]
    if parsed.api_key_file is not None:
        lines = parsed.api_key_file.read_text(encoding="utf-8").splitlines()
        keys += [line for line in lines if not line.lstrip().startswith("#")]
    return [key.strip() for key in keys if key.strip()]


def _load_adapters(aio: AsyncLLM, parsed: argparse.Namespace) -> None:
    for name, path in parsed.lora:
        aio.engine.load_adapter(name, path)
