"""An app under the project's own HTTP server, on a free port of this machine."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from inllama import AsyncLLM, Engine, ModelPool
from inllama.server.listen import Server, make_server, run_in_thread


@contextmanager
def serving_app(model: Engine | AsyncLLM | ModelPool, **options: Any) -> Generator[Server, None, None]:
    """Serve a model; what is still running at the end is cut off."""
    server = make_server(model, **{"port": 0, "drain_s": 0.0, **options})
    thread = run_in_thread(server)
    try:
        yield server
    finally:
        server.drain()
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def running(engine: Engine, **options: Any) -> Generator[Server, None, None]:
    """Serve an engine."""
    with serving_app(engine, **options) as server:
        yield server


@contextmanager
def served(engine: Engine, **options: Any) -> Generator[str, None, None]:
    """The same; yields the address."""
    with serving_app(engine, **options) as server:
        yield server.url
