"""``inllama serve``: a server with OpenAI's and Anthropic's routes, and a chat page."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inllama.cli.flags import add_flags, flag_values
from inllama.cli.lora import add_lora_flag
from inllama.cli.model_flag import add_model_flag, local_path
from inllama.errors import InvalidRequestError
from inllama.params import EngineOptions, ModelOptions

if TYPE_CHECKING:
    from inllama.async_llm import AsyncLLM
    from inllama.model import Progress
    from inllama.pool import ModelPool
    from inllama.server.listen import Server
    from inllama.server.served import OneModel

_KEYS_VARIABLE = "INLLAMA_API_KEYS"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        help="serve a model over HTTP",
        description="Serve a model over HTTP: OpenAI's and Anthropic's routes, Prometheus metrics, and a chat page.",
    )
    add_model_flag(parser, several=True)
    parser.add_argument(
        "--memory",
        type=int,
        metavar="BYTES",
        help="of named models: what all of them together may take (default: what is free)",
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
        from inllama.server.served import OneModel
    except ImportError as problem:
        print(f"inllama: {problem}", file=sys.stderr)
        return 1

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if parsed.no_access_log:
        logging.getLogger("inllama.access").setLevel(logging.WARNING)
    options: dict[str, Any] = flag_values(parsed, AppOptions) | flag_values(parsed, ListenOptions)
    options["api_keys"] = _api_keys(parsed)
    server: Server | None = None

    def goes_on(done: float) -> bool:
        # A signal does not wait for a model that is still being read.
        return server is None or not server.service.is_draining

    with _models(parsed, goes_on) as model:
        server = make_server(model, **options)
        if isinstance(server.service.models, OneModel):
            server.service.models.before_ready = partial(_load_adapters, server.service.models, parsed)
        print(f"inllama: {server.url} (chat page), {server.url}/v1 (OpenAI); Ctrl-C stops", flush=True)
        server.run(sockets=[server.socket])
        if server.service.models.load_error is not None and not server.service.is_draining:
            raise server.service.models.load_error
    return 0


@contextmanager
def _models(parsed: argparse.Namespace, progress: Progress) -> Generator[AsyncLLM | ModelPool, None, None]:
    """Make what computes, and close it in the end."""
    from inllama.async_llm import AsyncLLM
    from inllama.engine import Engine
    from inllama.pool import ModelPool

    loading = flag_values(parsed, EngineOptions) | flag_values(parsed, ModelOptions)
    named = dict(_named(text) for text in parsed.model or ["demo"])
    if "" not in named:
        if parsed.lora:
            raise InvalidRequestError("--lora is for one model; leave the model's name out", option="lora")
        paths = {name: local_path(model) for name, model in named.items()}
        with ModelPool(paths, memory=parsed.memory, load=partial(Engine, progress=progress), **loading) as pool:
            yield pool
        return
    if len(parsed.model or ()) > 1:
        raise InvalidRequestError(
            "several models need names: --model small=a.gguf --model large=b.gguf", option="model"
        )
    aio = AsyncLLM(local_path(named[""]), progress=progress, **loading)
    try:
        yield aio
    finally:
        with suppress(RuntimeError):  # it was not loaded when the signal came
            aio.engine.close()


def _named(text: str) -> tuple[str, str]:
    """Return name and model of ``NAME=MODEL``; a path may have an equals sign too."""
    name, equals, model = text.partition("=")
    return ("", text) if not equals or "/" in name or Path(text).exists() else (name, model)


def _api_keys(parsed: argparse.Namespace) -> list[str]:
    # One that was given is never left out, however empty: it would leave the server open.
    keys = [key.strip() for key in parsed.api_key]
    keys += [key.strip() for key in os.environ.get(_KEYS_VARIABLE, "").split(",") if key.strip()]
    return keys if parsed.api_key_file is None else keys + _keys_of_file(parsed.api_key_file)


def _keys_of_file(file: Path) -> list[str]:
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{file} is no UTF-8 text", option="api_key_file") from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise InvalidRequestError(f"{file} has no key; it needs one in each line", option="api_key_file")
    return keys


def _load_adapters(models: OneModel, parsed: argparse.Namespace) -> None:
    for name, path in parsed.lora:
        models.loading_engine.load_adapter(name, path)
