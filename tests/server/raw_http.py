"""A small HTTP/1.1 client on a bare socket, which sends what no decent client would; and waiting for conditions."""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Answer:
    """What a server sent back."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, self.headers
        return found[0] if found else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error in OpenAI's shape."""
        body = self.json
        assert list(body) == ["error"], body
        error: dict[str, Any] = body["error"]
        assert list(error) == ["message", "type", "param", "code"], error
        assert isinstance(error["message"], str)
        assert error["message"]
        assert len(self.body) < 2000, self.body[:2000]
        return error

    @property
    def anthropic_error(self) -> dict[str, Any]:
        """The error in Anthropic's shape."""
        body = self.json
        assert list(body) == ["type", "error", "request_id"], body
        assert body["type"] == "error"
        assert body["request_id"] == self.header("x-request-id")
        error: dict[str, Any] = body["error"]
        assert list(error) == ["type", "message"]
        assert error["message"]
        return error

    def refused(self, status: int, code: str) -> dict[str, Any]:
        """The error; fails unless it is that one."""
        assert (self.status, self.header("content-type")) == (status, "application/json"), self
        assert self.error["code"] == code, self.error
        return self.error


class Connection:
    """A connection to a server's address."""

    def __init__(self, url: str, *, receive_buffer: int | None = None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.host = parts.netloc
        self._socket = socket.socket()
        self._socket.settimeout(TIMEOUT_S)
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self._socket.connect((parts.hostname, parts.port))
        except OSError:
            self._socket.close()
            raise
        self._left = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def shutdown(self) -> None:
        """End both directions, also for a thread that reads."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """End it as a crash would: what was not read or sent is lost."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def wait(self, within: float) -> bool:
        """Return whether something comes in time."""
        return bool(select.select([self._socket], [], [], within)[0])

    def send(self, data: bytes) -> Self:
        self._socket.sendall(data)
        return self

    def try_send(self, data: bytes) -> Self:
        """Send what the server still takes."""
        with suppress(OSError):
            self._socket.sendall(data)
        return self

    def head(
        self, method: str, path: str, headers: Mapping[str, str | bytes] | None = None, *, host: str | None = None
    ) -> bytes:
        """Return the bytes of a request without its body."""
        given: dict[str, str | bytes] = {"host": host or self.host, **(headers or {})}
        lines = [f"{method} {path} HTTP/1.1".encode()]
        for name, value in given.items():
            lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()))
        return b"\r\n".join([*lines, b"", b""])

    def request(
        self,
        method: str,
        path: str,
        body: bytes | object = None,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> Self:
        """Send a request; a body that is not bytes becomes JSON."""
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given: dict[str, str | bytes] = {}
        if body is not None:
            given = {"content-type": "application/json", "content-length": str(len(sent))}
        return self.try_send(self.head(method, path, {**given, **(headers or {})}) + sent)

    def read_until(self, mark: bytes) -> bytes:
        """Return what comes up to a mark, with it."""
        start = 0
        while (found := self._left.find(mark, start)) < 0:
            start = max(len(self._left) - len(mark), 0)
            self._receive(f"before {mark!r}: {bytes(self._left[-500:])!r}")
        return self._take(found + len(mark))

    def _receive(self, where: str) -> None:
        piece = self._socket.recv(1 << 20)
        if not piece:
            raise EOFError(f"the connection ended {where}")
        self._left += piece

    def read_head(self) -> tuple[int, list[tuple[str, str]]]:
        """Return status and headers; the body comes next."""
        first, *lines = self.read_until(b"\r\n\r\n").decode("latin-1").strip().split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1", first
        return int(status), [(name.lower(), value.strip()) for name, _, value in (x.partition(":") for x in lines)]

    def read(self, *, has_body: bool = True) -> Answer:
        """Return the next answer."""
        status, headers = self.read_head()
        found = dict(headers)
        body = b""
        if not has_body or status in (204, 304):
            pass
        elif found.get("transfer-encoding") == "chunked":
            while size := int(self.read_until(b"\r\n"), 16):
                body += self._take(size + 2)[:-2]
            self.read_until(b"\r\n")
        else:
            body = self._take(int(found["content-length"]))
        return Answer(status, tuple(headers), body)

    def _take(self, size: int) -> bytes:
        while len(self._left) < size:
            self._receive(f"after {len(self._left)} of {size} bytes")
        found = bytes(self._left[:size])
        del self._left[:size]
        return found

    def read_to_end(self, within: float = TIMEOUT_S) -> bytes:
        """Return all that comes until the server closes; fails if it does not."""
        deadline = time.monotonic() + within
        while True:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                piece = self._socket.recv(1 << 16)
            except ConnectionError:
                piece = b""
            except TimeoutError:
                raise AssertionError(f"the connection is still open after {within} s") from None
            if not piece:
                return self._take(len(self._left))
            self._left += piece


def ask(
    url: str,
    method: str = "GET",
    path: str = "/health",
    body: bytes | object = None,
    headers: Mapping[str, str | bytes] | None = None,
) -> Answer:
    """Send one request on a connection of its own."""
    with Connection(url) as connection:
        return connection.request(method, path, body, headers).read(has_body=method != "HEAD")


def until(condition: Callable[[], object], within: float = TIMEOUT_S) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.002)


def chat(content: str = "Hello!", **fields: Any) -> dict[str, Any]:
    """Return the body of a chat."""
    return {"messages": [{"role": "user", "content": content}], **fields}
