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
from inllama.pool import ModelPool
from inllama.server.app import app_of, make_service
from inllama.server.options import AppOptions, ListenOptions
from inllama.server.protocol import LimitedProtocol, protocol_with
from inllama.server.served import logger
from inllama.server.service import Service

# How long requests that were cut off may take to end.
_CUT_OFF_S = 2.0

_TICKS_PER_SECOND = 10  # of uvicorn


def serve(model: Engine | AsyncLLM | ModelPool, **options: Any) -> None:
    """Serve an engine until SIGTERM or Ctrl-C; running requests may end first, new ones get a 503 meanwhile.

    Args:
        model: An engine, which is not closed; an ``AsyncLLM``, whose model is loaded while ``/health`` answers; or a
            ``ModelPool``, whose models are loaded when requests name them.
        **options: Fields of ``AppOptions`` and ``ListenOptions``.

    Raises:
        InvalidRequestError: An option has a value that is not possible, or everybody could reach the server.
        ModelLoadError: The file cannot be loaded.
        OSError: Nothing can listen at the address.
        TypeError: An option that does not exist.
    """
    server = make_server(model, **options)
    server.run(sockets=[server.socket])
    if server.service.models.load_error is not None:
        raise server.service.models.load_error


def make_server(model: Engine | AsyncLLM | ModelPool, **options: Any) -> Server:
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
                http=protocol_with(limits, service.metrics.rejected),
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_keep_alive=limits.idle_timeout_s,
                timeout_graceful_shutdown=1,
                proxy_headers=False,
            )
        )
        self.service = service
        self._limits = limits
        self._drains_until: float | None = None
        self._is_cut_off = False
        self.socket = _listening(limits)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more requests; Ctrl-C and a second signal end those that run, and one more does not wait for them."""
        is_impatient = self.service.is_draining or sig != signal.SIGTERM
        self.force_exit = self.should_exit = self._is_cut_off
        self.drain()
        if is_impatient:
            self._drains_until = time.monotonic()

    def drain(self) -> None:
        """Take no more requests, and stop once those that run have ended, or ``drain_s`` is over."""
        self.service.is_draining = True
        if self._drains_until is None:
            self._drains_until = time.monotonic() + self._limits.drain_s

    async def on_tick(self, counter: int) -> bool:
        """Look whether it is time to stop, and for connections that do not end."""
        if counter % _TICKS_PER_SECOND == 0:
            for connection in list(self.server_state.connections):
                assert isinstance(connection, LimitedProtocol)
                connection.end_if_stuck(time.monotonic())
        if self.service.models.load_error is not None:
            self.should_exit = True
        elif self._drains_until is not None:
            self._end_drain(self._drains_until - time.monotonic())
        return await super().on_tick(counter)

    def _end_drain(self, time_left_s: float) -> None:
        if self.service.n_active == 0:
            self.should_exit = True
        elif time_left_s <= 0 and not self._is_cut_off:
            logger.warning("%d requests are cut off", self.service.n_active)
            self._is_cut_off = True
            for connection in list(self.server_state.connections):
                connection.transport.abort()  # as if the clients had gone away: each request ends by itself
        elif time_left_s < -_CUT_OFF_S:
            self.should_exit = True


def _listening(limits: ListenOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in limits.host else socket.AF_INET
    # asyncio sends small pieces at once (TCP_NODELAY) only where the protocol is named.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
