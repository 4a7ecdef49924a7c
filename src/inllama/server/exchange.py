"""One request to an ASGI app of this process, and its answer: piece by piece, or whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Scope

# Pieces of an answer that wait for their reader; then the request pauses.
_PIECES = 16


def http_scope(
    method: str,
    path: str,
    *,
    raw_path: bytes | None = None,
    query: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> Scope:
    """Return what ASGI calls a request that came through no socket; headers have names in small letters."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode() if raw_path is None else raw_path,
        "root_path": "",
        "query_string": query,
        "headers": list(headers),
        "client": None,
        "server": None,
    }


class Exchange:
    """One request on its way through the app, and its answer on its way back."""

    def __init__(self, app: ASGIApp, scope: Scope, body: bytes, read_timeout_s: float | None) -> None:
        self._request = _Request(body)
        self._read_timeout_s = read_timeout_s
        self._pieces: asyncio.Queue[Message | None] = asyncio.Queue(_PIECES)
        self._task = asyncio.ensure_future(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self._request.receive, self._pieces.put)
            await self._pieces.put(None)
        except BaseException:
            self._forget()  # nobody makes room any more
            self._pieces.put_nowait(None)
            raise

    @property
    def is_closed(self) -> bool:
        """Whether nobody wants the answer any more."""
        return self._request.is_closed.is_set()

    async def next(self) -> Message | None:
        """Return the next message of the app; ``None``: there is no more. Raises ``TimeoutError``."""
        async with asyncio.timeout(self._read_timeout_s):
            return await self._pieces.get()

    async def aclose(self) -> None:
        """Go away: what is still computed is cancelled."""
        self._request.is_closed.set()
        while not self._task.done():  # it may wait for room
            self._forget()
            await asyncio.sleep(0)
        with suppress(asyncio.CancelledError):
            await self._task

    def _forget(self) -> None:
        while not self._pieces.empty():
            self._pieces.get_nowait()


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that is complete.

    Attributes:
        status: Of HTTP.
        headers: Names in small letters; of one that is there twice, the last.
        body: Its bytes.
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def whole_answer(app: ASGIApp, scope: Scope, body: bytes) -> Whole:
    """Return the answer to a request; cancelling the task ends what is computed for it."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, _Request(body).receive, send)
    start: Any = sent[0]
    return Whole(start["status"], dict(start["headers"]), b"".join(piece.get("body", b"") for piece in sent[1:]))


class _Request:
    """What an app is given of a request: its body, and then that its client went away."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self.is_closed = asyncio.Event()

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.is_closed.wait()
        return {"type": "http.disconnect"}
