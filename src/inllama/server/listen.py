"""Serving an app at an address, until a signal ends it."""

from __future__ import annotations

import ipaddress
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any

import uvicorn

from inllama.async_llm import AsyncLLM
from inllama.engine import Engine
from inllama.errors import InvalidRequestError
from inllama.options import split_keywords
from inllama.server.app import app_of, make_service
from inllama.server.options import AppOptions, ListenOptions
from inllama.server.protocol import protocol_with
from inllama.server.service import Service, logger


def serve(model: Engine | AsyncLLM, **options: Any) -> None:
    """Serve an engine until SIGTERM or Ctrl-C; running requests may end first, new ones get a 503 meanwhile.

    Args:
        model: An engine, which is not closed; or an ``AsyncLLM``, whose model is loaded while ``/health`` answers.
        **options: Fields of ``AppOptions`` and ``ListenOptions``.

    Raises:
        InvalidRequestError: An option has a value that is not possible, or everybody could reach the server.
        ModelLoadError: The file cannot be loaded.
        OSError: Nothing can listen at the address.
        TypeError: An option that does not exist.
    """
    server = make_server(model, **options)
    server.run(sockets=[server.socket])
    if server.service.load_error is not None:
        raise server.service.load_error


def make_server(model: Engine | AsyncLLM, **options: Any) -> Server:
    """Return a server that listens already; arguments and errors as ``serve``."""
    about_app, about_listening = split_keywords(options, AppOptions, ListenOptions)
    limits = ListenOptions.from_keywords(about_listening)
    service = make_service(model, about_app)
    if not (limits.allow_anyone or len(service.keys) or _is_loopback(limits.host)):
        raise InvalidRequestError(
            f"everybody who reaches {limits.host} could use this server; give api_keys (or INLLAMA_API_KEYS), "
            "or allow_anyone",
            option="host",
            value=limits.host,
        )
    return Server(service, limits)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Server(uvicorn.Server):
    """uvicorn, which lets requests end before it does."""

    def __init__(self, service: Service, limits: ListenOptions) -> None:
        super().__init__(
            uvicorn.Config(
                app_of(service),
                http=protocol_with(limits),
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_keep_alive=limits.idle_timeout_s,
                timeout_graceful_shutdown=1,
                limit_concurrency=limits.max_connections,
                proxy_headers=False,
            )
        )
        self.service = service
        self._limits = limits
        self._drains_until: float | None = None
        self.socket = _listening(limits)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more requests; a second signal ends those that run."""
        if self.service.is_draining or sig != signal.SIGTERM:
            self.force_exit = self.should_exit = True
        self.drain()

    def drain(self) -> None:
        """Take no more requests, and stop once those that run have ended, or ``drain_s`` is over."""
        self.service.is_draining = True
        if self._drains_until is None:
            self._drains_until = time.monotonic() + self._limits.drain_s

    async def on_tick(self, counter: int) -> bool:
        """Look whether it is time to stop."""
        if self.service.load_error is not None:
            self.should_exit = True
        elif self._drains_until is not None:
            n_active = self.service.n_active
            if n_active == 0 or time.monotonic() > self._drains_until:
                logger.info("stopped, with %d requests cut off", n_active)
                self.should_exit = True
        return await super().on_tick(counter)


def _listening(limits: ListenOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in limits.host else socket.AF_INET
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((limits.host, limits.port))
        made.listen(limits.max_connections)
    except OSError as problem:
        made.close()
        raise OSError(problem.errno, f"nothing can listen at {limits.host}:{limits.port}: {problem.strerror}") from None
    return made


def run_in_thread(server: Server) -> threading.Thread:
    """Run a server in a thread of its own, until ``drain`` is called."""
    thread = threading.Thread(target=server.run, kwargs={"sockets": [server.socket]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    return thread
