"""Connections that cannot hold the server up: headers have a largest size and a longest time."""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from inllama.server.event_text import to_text
from inllama.server.failures import RETRY_AFTER_S, Failure
from inllama.server.gate import write_access_line
from inllama.server.options import ListenOptions

# Bytes of a header line besides its name and value.
_N_AROUND = 4


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 by httptools, with the limits that uvicorn leaves to what is before it.

    Attributes:
        limits: Those of the server.
        rejected: Is told the code of each error that a connection has before it is a request.
    """

    limits: ListenOptions
    rejected: Callable[[str], None]

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._n_quiet_bytes = 0  # since the last piece of a body, or the end of a request
        self._is_in_headers = True
        self._timer: TimerHandle | None = None
        self._closes_since: float | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse headers that are too large, also those behind a body."""
        if self._is_in_headers and self._timer is None and not self.transport.is_closing():
            self._start_timer()  # of the next request of a connection that is kept open
        self._n_quiet_bytes += len(data)
        super().data_received(data)
        if self._n_quiet_bytes > self.limits.max_header_bytes:
            self._refuse_headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a body are for nobody."""
        if self._is_in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop waiting; the body has a time of its own."""
        self._stop_timer()
        self._is_in_headers = False
        if self.transport.is_closing():
            return
        n_bytes = sum(len(name) + len(value) + _N_AROUND for name, value in self.headers) + len(self.url)
        if n_bytes > self.limits.max_header_bytes:
            self._refuse_headers()
        elif len(self.connections) > self.limits.max_connections:
            self._refuse(
                b"503 Service Unavailable",
                "there are too many connections; try again later",
                code="too_many_connections",
                kind="server_error",
                more=b"retry-after: %d\r\n" % RETRY_AFTER_S,
            )
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, unless the request was refused."""
        self._n_quiet_bytes = 0
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect the headers of the next request."""
        self._stop_timer()
        self._is_in_headers = True
        self._n_quiet_bytes = 0
        if self.cycle is not None:
            super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            # Before the body was; what came of it has ended the wait for another request.
            wait = self.timeout_keep_alive
            self.timeout_keep_alive_task = self.loop.call_later(wait, self.timeout_keep_alive_handler)

    def _has_cycle(self) -> bool:
        # It is missing, whatever its type says, when the first request of a connection was refused.
        cycle: object = self.cycle
        return cycle is not None

    def on_response_complete(self) -> None:
        """Wait for what is left of a body that nobody reads, or of headers that came too early, but not long."""
        super().on_response_complete()
        is_between = self._is_in_headers and self._timer is None
        if not is_between and self.cycle.response_complete and not self.transport.is_closing():
            self._stop_timer()
            self._start_timer()

    def end_if_stuck(self, now: float) -> None:
        """Drop a connection that is being closed, but whose client does not take the rest of an answer."""
        if not self.transport.is_closing():
            return
        if self._closes_since is None:
            self._closes_since = now
        elif now - self._closes_since > self.limits.header_timeout_s:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(b"400 Bad Request", "this is no request of HTTP/1.1", code="invalid_http")

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.limits.header_timeout_s, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._start_timer()  # the next request came too early; first the one before it
        elif self._is_in_headers:
            self._refuse(b"408 Request Timeout", "the headers did not arrive in time", code="invalid_headers")
        else:
            self.transport.close()

    def _refuse_headers(self) -> None:
        self._refuse(b"431 Request Header Fields Too Large", "the headers are too large", code="invalid_headers")

    def _refuse(
        self, status: bytes, text: str, *, code: str, kind: str = "invalid_request_error", more: bytes = b""
    ) -> None:
        if self.transport.is_closing():
            return
        self.rejected(code)
        write_access_line("-", self.client, "-", "-", int(status[:3]), 0.0)
        self._stop_timer()
        cycle = self.cycle
        is_running = cycle is not None and not cycle.response_complete
        # What is written while an answer is would become a part of it.
        if not self.pipeline and not (is_running and cycle.response_started):
            body = to_text(Failure(0, text, code=code, kind=kind).to_dict()).encode()
            head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
            self.transport.write(head % (status, len(body)) + more + b"\r\n" + body)
        if is_running:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()


def protocol_with(limits: ListenOptions, rejected: Callable[[str], None]) -> type[LimitedProtocol]:
    """Return the class of connections with these attributes."""
    return type("Protocol", (LimitedProtocol,), {"limits": limits, "rejected": staticmethod(rejected)})
