"""Where a route meets ASGI: body in, answer out, and an end when the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

from starlette.types import Receive, Scope, Send

from inllama.server.body import Body, read_body
from inllama.server.call import Answer, Call, EventAnswer, JsonAnswer
from inllama.server.json_body import Disconnected, read_json
from inllama.server.service import Service

Handler: TypeAlias = Callable[..., Awaitable[Answer]]

_EVENTS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would keep the pieces until the end
]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An ASGI app for one route.

    Attributes:
        service: What is served.
        handler: Is given the call and, if there is one, the body.
        body: What the body must fit.
        needs_engine: Whether it is answered once the model is loaded only.
    """

    service: Service
    handler: Handler
    body: type[Body] | None = None
    needs_engine: bool = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        service = self.service
        if self.needs_engine:
            service.check_ready()
        call = Call(service, scope, scope["inllama.request_id"], scope["inllama.tenant"])
        body = None
        if self.body is not None:
            body = read_body(self.body, await read_json(scope, receive, service.options))
            call.ignore(body.unknown())
        service.n_active += 1
        try:
            await _until_disconnect(receive, self._answer(call, body, send))
        finally:
            service.n_active -= 1

    async def _answer(self, call: Call, body: Body | None, send: Send) -> None:
        arguments: tuple[Any, ...] = (call,) if body is None else (call, body)
        if not self.needs_engine:
            await self._send(call, await self.handler(*arguments), send)
            return
        async with self.service.lease(None if body is None else body.model) as call.lease:
            await self._send(call, await self.handler(*arguments), send)

    async def _send(self, call: Call, answer: Answer, send: Send) -> None:
        if isinstance(answer, JsonAnswer):
            body = answer.body()
            length = (b"content-length", str(len(body)).encode())
            headers = [(b"content-type", answer.content_type), length, *call.headers(), *answer.headers]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        else:
            await _send_events(answer, call, send)


async def _send_events(answer: EventAnswer, call: Call, send: Send) -> None:
    async with aclosing(answer.events) as events:
        await send({"type": "http.response.start", "status": 200, "headers": [*_EVENTS, *call.headers()]})
        with _Patience(call.service.options.send_timeout_s) as patience:
            async for event in events:
                patience.n_turns += 1
                await send({"type": "http.response.body", "body": event, "more_body": True})
                patience.n_turns += 1
            patience.n_turns += 1
            await send({"type": "http.response.body", "body": b""})


class _Patience:
    """Ends a stream whose client takes nothing any more; its place and its KV cells are wanted by others.

    One timer for a stream: one for each piece would cost as much as the piece.

    Attributes:
        n_turns: Grows when a piece is sent, and again when the client has taken it.
    """

    def __init__(self, timeout_s: float) -> None:
        self.n_turns = 0
        self._n_seen = 0
        self._interval_s = timeout_s / 2
        self._is_over = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._arm()
        return self

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._look)

    def _look(self) -> None:
        is_sending = self.n_turns % 2 == 1
        if is_sending and self.n_turns == self._n_seen and self._task is not None:
            self._is_over = True
            self._task.cancel()
            return
        self._n_seen = self.n_turns
        self._arm()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._is_over and kind is asyncio.CancelledError:
            raise Disconnected from None


async def _until_disconnect(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, unless the client goes away: then it is cancelled, and with it what the engine does for it."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Disconnected
        working.result()
    finally:
        watching.cancel()
        if not working.done():
            working.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await working


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
