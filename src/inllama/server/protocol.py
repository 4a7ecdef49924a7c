"""Connections that cannot hold the server up: headers have a largest size and a longest time."""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from inllama.server.options import ListenOptions


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 by httptools, with the limits that uvicorn leaves to what is before it.

    Attributes:
        limits: Those of the server.
    """

    limits: ListenOptions

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._n_header_bytes = 0
        self._is_in_headers = True
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers."""
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse headers that are too large."""
        if self._is_in_headers:
            if self._timer is None and not self.transport.is_closing():
                self._start_timer()  # of the next request of a connection that is kept open
            self._n_header_bytes += len(data)
        super().data_received(data)
        # What came behind the headers in the same piece was counted too, but they have ended by then.
        if self._is_in_headers and self._n_header_bytes > self.limits.max_header_bytes:
            self._refuse(b"431 Request Header Fields Too Large", "the headers are too large")

    def on_headers_complete(self) -> None:
        """Stop waiting; the body has a time of its own."""
        self._stop_timer()
        self._is_in_headers = False
        n_bytes = sum(len(name) + len(value) for name, value in self.headers) + len(self.url)
        if n_bytes > self.limits.max_header_bytes:
            self._refuse(b"431 Request Header Fields Too Large", "the headers are too large")
            return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the headers of the next request."""
        if self.cycle is not None:
            super().on_message_complete()
        self._is_in_headers = True
        self._n_header_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, unless the request was refused."""
        if not self.transport.is_closing():
            super().on_body(body)

    def _expect_headers(self) -> None:
        self._is_in_headers = True
        self._n_header_bytes = 0
        self._start_timer()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.limits.header_timeout_s, self._give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        self._refuse(b"408 Request Timeout", "the headers did not arrive in time")

    def _refuse(self, status: bytes, text: str) -> None:
        if self.transport.is_closing():
            return
        self._stop_timer()
        body = b'{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":"invalid_headers"}}' % (
            text.encode()
        )
        length = str(len(body)).encode()
        head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %s\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, length) + body)
        self.transport.close()


def protocol_with(limits: ListenOptions) -> type[LimitedProtocol]:
    """Return the class of connections with these limits."""
    return type("Protocol", (LimitedProtocol,), {"limits": limits})
