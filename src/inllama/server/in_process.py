"""OpenAI's clients without a socket: requests go from the client to the app of an engine in this process."""

from __future__ import annotations

import asyncio
import importlib
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.types import ASGIApp, Message

from inllama.async_llm import AsyncLLM
from inllama.engine import Engine
from inllama.server.app import create_app

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

T = TypeVar("T")

# It only has to look like an address.
_BASE_URL = "http://localhost/v1"
_KEY = "in-process"
# Pieces of an answer that wait for their reader; then the request pauses.
_PIECES = 16


def openai_client(engine: Engine | AsyncLLM, **options: Any) -> OpenAI:
    """Return the official ``openai`` client, whose requests an engine of this process answers. Needs the package.

    Closing it, also by collection, closes its event loop's thread, and not the engine.

    Args:
        engine: What computes.
        **options: Fields of ``AppOptions``.
    """
    import openai

    client = openai.DefaultHttpxClient(transport=_sync_transport(create_app(engine, **options)))
    return openai.OpenAI(base_url=_BASE_URL, api_key=_key_of(options), http_client=client)


def async_openai_client(engine: Engine | AsyncLLM, **options: Any) -> AsyncOpenAI:
    """Return the asynchronous twin of ``openai_client``; it needs no thread."""
    import openai

    client = openai.DefaultAsyncHttpxClient(transport=_async_transport(create_app(engine, **options)))
    return openai.AsyncOpenAI(base_url=_BASE_URL, api_key=_key_of(options), http_client=client)


def _key_of(options: dict[str, Any]) -> str:
    keys = options.get("api_keys") or (_KEY,)
    return str(keys[0])


def _http_library() -> Any:
    """Return ``httpx`` or ``httpx2``, whichever the installed client is made of."""
    import openai

    base = openai.DefaultAsyncHttpxClient.__mro__[1]
    return importlib.import_module(base.__module__.partition(".")[0])


class _Exchange:
    """One request on its way through the app, and its answer on its way back."""

    def __init__(self, app: ASGIApp, scope: dict[str, Any], body: bytes, read_timeout_s: float | None) -> None:
        self._body: bytes | None = body
        self._read_timeout_s = read_timeout_s
        self._pieces: asyncio.Queue[Message | None] = asyncio.Queue(_PIECES)
        self._is_closed = asyncio.Event()
        self._task = asyncio.ensure_future(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._pieces.put)
        finally:
            await self._pieces.put(None)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._is_closed.wait()
        return {"type": "http.disconnect"}

    async def next(self) -> Message | None:
        """Return the next message of the app; ``None``: there is no more. Raises ``TimeoutError``."""
        async with asyncio.timeout(self._read_timeout_s):
            return await self._pieces.get()

    async def aclose(self) -> None:
        """Go away: what is still computed is cancelled."""
        self._is_closed.set()
        while not self._task.done():  # it may wait for room
            while not self._pieces.empty():
                self._pieces.get_nowait()
            await asyncio.sleep(0)
        with suppress(asyncio.CancelledError):
            await self._task


def _scope_of(request: Any) -> dict[str, Any]:
    raw_path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.url.path,
        "raw_path": raw_path,
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": None,
        "server": None,
    }


def _async_transport(app: ASGIApp) -> Any:
    http = _http_library()

    class Stream(http.AsyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, exchange: _Exchange, request: Any) -> None:
            self._exchange = exchange
            self._request = request

        async def __aiter__(self) -> AsyncGenerator[bytes, None]:
            while (message := await _next(self._exchange, http, self._request)) is not None:
                yield message.get("body", b"")

        async def aclose(self) -> None:
            await self._exchange.aclose()

    class Transport(http.AsyncBaseTransport):  # type: ignore[name-defined, misc]
        async def handle_async_request(self, request: Any) -> Any:
            exchange = _Exchange(app, _scope_of(request), await request.aread(), _read_timeout(request))
            try:
                start = await _next(exchange, http, request)
            except BaseException:
                await exchange.aclose()
                raise
            assert start is not None
            return http.Response(start["status"], headers=start["headers"], stream=Stream(exchange, request))

    return Transport()


def _sync_transport(app: ASGIApp) -> Any:
    http = _http_library()
    loop = _LoopThread()

    class Stream(http.SyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, exchange: _Exchange, request: Any) -> None:
            self._exchange = exchange
            self._request = request

        def __iter__(self) -> Generator[bytes, None, None]:
            while (message := loop.run(_next(self._exchange, http, self._request))) is not None:
                yield message.get("body", b"")

        def close(self) -> None:
            loop.run(self._exchange.aclose())

    class Transport(http.BaseTransport):  # type: ignore[name-defined, misc]
        def handle_request(self, request: Any) -> Any:
            scope, body, timeout_s = _scope_of(request), request.read(), _read_timeout(request)

            async def begin() -> tuple[_Exchange, Message | None]:
                exchange = _Exchange(app, scope, body, timeout_s)
                try:
                    return exchange, await _next(exchange, http, request)
                except BaseException:
                    await exchange.aclose()
                    raise

            exchange, start = loop.run(begin())
            assert start is not None
            return http.Response(start["status"], headers=start["headers"], stream=Stream(exchange, request))

        def close(self) -> None:
            loop.close()

    return Transport()


async def _next(exchange: _Exchange, http: Any, request: Any) -> Message | None:
    try:
        return await exchange.next()
    except TimeoutError:
        raise http.ReadTimeout("the answer did not come in time", request=request) from None


def _read_timeout(request: Any) -> float | None:
    timeout: float | None = request.extensions.get("timeout", {}).get("read")
    return timeout


class _LoopThread:
    """An event loop in a thread of its own, started with the first request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; Ctrl-C cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_run_loop, args=(loop,), name="inllama-client", daemon=True)
                thread.start()
                self._stop = weakref.finalize(self, _stop_loop, loop, thread)
            return self._loop

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            if self._loop is not None:
                self._stop()
                self._loop = None


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _stop_loop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join(5)
