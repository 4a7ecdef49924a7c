"""``inllama batch``: many requests from a file, their answers to another."""

from __future__ import annotations

import argparse
import asyncio
import os
import stat
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from inllama.cli.flags import add_flags, flag_values
from inllama.cli.lora import add_lora_flag
from inllama.cli.model_flag import add_model_flag, local_path
from inllama.cli.progress import Progress, progress
from inllama.errors import InvalidRequestError
from inllama.params import EngineOptions, ModelOptions

if TYPE_CHECKING:
    from inllama.engine import Engine
    from inllama.server.batch import Counts
    from inllama.server.batch_rows import Earlier

# About connections, clients that come and go, and responses that others go on from.
_NOT_FLAGS = frozenset(
    {
        "api_keys",
        "allowed_hosts",
        "cors_origins",
        "body_timeout_s",
        "send_timeout_s",
        "max_stored",
        "max_stored_bytes",
    }
)
_PIPE = "-"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "batch",
        help="answer the requests of a file",
        description="Answer each line of a file, a request in the shape of OpenAI's batches, with a line of another, "
        "in any order. What is in that file already is not computed again.",
    )
    parser.add_argument("requests", help=f"a .jsonl file with custom_id, method, url and body; {_PIPE} reads a pipe")
    parser.add_argument(
        "-o", "--output", required=True, help=f"the .jsonl file that answers are added to; {_PIPE} writes to a pipe"
    )
    add_model_flag(parser)
    parser.add_argument(
        "--window", type=int, help="rows that are under way at once (default: four times --max-running)"
    )
    parser.add_argument(
        "--retry-errors", action="store_true", help="remove rows with errors from the output, and compute them again"
    )
    add_lora_flag(parser)
    try:
        from inllama.server.options import AppOptions
    except ImportError:  # which running it says
        pass
    else:
        add_flags(parser, AppOptions, without=_NOT_FLAGS)
    add_flags(parser, EngineOptions)
    add_flags(parser, ModelOptions, without=frozenset({"kv_overrides"}))
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Compute what the output does not have yet; 1 if one of all rows has an error."""
    try:
        from inllama.server.options import AppOptions
    except ImportError as problem:
        print(f"inllama: {problem}", file=sys.stderr)
        return 1
    from inllama.engine import Engine

    options = flag_values(parsed, AppOptions)
    loading = flag_values(parsed, EngineOptions) | flag_values(parsed, ModelOptions)
    with _source(parsed.requests) as source:
        earlier = _earlier(parsed)
        with _target(parsed.output) as target, Engine(local_path(parsed.model), **loading) as engine:
            for name, path in parsed.lora:
                engine.load_adapter(name, path)
            counts = _compute(engine, source, target, earlier, parsed.window, options)
    return 1 if counts.failed or counts.failed_before else 0


def _earlier(parsed: argparse.Namespace) -> Earlier:
    from inllama.server.batch_rows import Earlier, drop_errors, read_earlier

    if parsed.output == _PIPE:
        return Earlier()
    path = Path(parsed.output)
    if path.exists() and parsed.requests != _PIPE and path.samefile(parsed.requests):
        raise InvalidRequestError(f"{path} cannot be both the requests and the output")
    earlier = read_earlier(path)
    if parsed.retry_errors and (earlier.errors or earlier.nameless):
        drop_errors(path)
        earlier.errors.clear()
        earlier.nameless.clear()
    return earlier


@contextmanager
def _source(path: str) -> Generator[BinaryIO, None, None]:
    with nullcontext(sys.stdin.buffer) if path == _PIPE else open(path, "rb") as file:
        yield file


@contextmanager
def _target(path: str) -> Generator[Callable[[bytes], None], None, None]:
    with nullcontext(sys.stdout.buffer) if path == _PIPE else open(path, "ab") as file:

        def write(row: bytes) -> None:
            file.write(row)
            file.flush()  # a kill loses no row that has ended

        yield write


def _compute(
    engine: Engine,
    source: BinaryIO,
    write: Callable[[bytes], None],
    earlier: Earlier,
    window: int | None,
    options: dict[str, Any],
) -> Counts:
    from inllama.server.batch import Counts, run_batch
    from inllama.server.batch_rows import lines_of
    from inllama.server.options import AppOptions

    counts = Counts()
    max_body_bytes = AppOptions.from_keywords(options).max_body_bytes
    n_bytes = _size(source)
    before = engine.stats()
    started = time.perf_counter()
    try:
        with progress() as shown:
            work = run_batch(
                engine,
                lines_of(source, max_body_bytes),
                write,
                counts=counts,
                earlier=earlier,
                window=window,
                reads_off_loop=n_bytes is None,
                progress=lambda: _show(shown, counts, n_bytes),
                **options,
            )
            asyncio.run(work)
    finally:
        after = engine.stats()
        n_tokens = after.completion_tokens - before.completion_tokens
        n_tokens += after.embedded_tokens - before.embedded_tokens
        print(_summary(counts, n_tokens, time.perf_counter() - started), file=sys.stderr)
    return counts


def _size(source: BinaryIO) -> int | None:
    """Return how many bytes a file has; ``None`` for a pipe."""
    found = os.fstat(source.fileno())
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _show(shown: Progress, counts: Counts, n_bytes: int | None) -> None:
    shown.show(_rows(counts), counts.n_bytes / n_bytes if n_bytes else None)


def _rows(counts: Counts) -> str:
    failed = f", {counts.failed} failed" if counts.failed else ""
    skipped = f", {counts.skipped} skipped" if counts.skipped else ""
    return f"{counts.done} rows done{failed}{skipped}"


def _summary(counts: Counts, n_tokens: int, seconds: float) -> str:
    before = ""
    if counts.failed_before:
        before = f" ({counts.failed_before} of them failed before; --retry-errors computes them again)"
    return (
        f"inllama: {counts.done} rows done, {counts.failed} failed, {counts.skipped} skipped{before} "
        f"in {seconds:.1f} s, {n_tokens / max(seconds, 1e-9):.1f} tokens/s"
    )
