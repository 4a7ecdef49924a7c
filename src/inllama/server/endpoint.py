"""Where a route meets ASGI: body in, answer out, and an end when the client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

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
        engine = service.engine if self.needs_engine else service.loaded
        call = Call(service, scope, receive, scope["inllama.request_id"], scope["inllama.tenant"], engine)  # type: ignore[arg-type]
        arguments: tuple[Any, ...] = (call,)
        if self.body is not None:
            body = read_body(self.body, await read_json(scope, receive, service.options))
            call.ignore(body.unknown())
            arguments = (call, body)
        service.n_active += 1
        try:
            await _until_disconnect(receive, self._answer(call, arguments, send))
        finally:
            service.n_active -= 1

    async def _answer(self, call: Call, arguments: tuple[Any, ...], send: Send) -> None:
        answer = await self.handler(*arguments)
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
        if call.scope["method"] != "HEAD":
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


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
