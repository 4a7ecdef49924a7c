"""OpenAI's clients without a socket: requests go from the client to the app of an engine in this process."""

from __future__ import annotations

import asyncio
import importlib
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.types import Message, Scope

from inllama.async_llm import AsyncLLM
from inllama.engine import Engine
from inllama.server.app import app_of, make_service
from inllama.server.exchange import Exchange, http_scope
from inllama.server.service import Service

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

T = TypeVar("T")

# It only has to look like an address.
_BASE_URL = "http://localhost/v1"
_KEY = "in-process"


def openai_client(engine: Engine | AsyncLLM, **options: Any) -> OpenAI:
    """Return the official ``openai`` client, whose requests an engine of this process answers. Needs the package.

    Closing it, also by collection, ends its open streams and the thread of its event loop, and not the engine.

    Args:
        engine: What computes. The model of an ``AsyncLLM`` is loaded with the first request, which raises if it cannot
            be.
        **options: Fields of ``AppOptions``.
    """
    import openai

    client = openai.DefaultHttpxClient(transport=_sync_transport(make_service(engine, options)))
    return openai.OpenAI(base_url=_BASE_URL, api_key=_key_of(options), http_client=client)


def async_openai_client(engine: Engine | AsyncLLM, **options: Any) -> AsyncOpenAI:
    """Return the asynchronous twin of ``openai_client``; it needs no thread."""
    import openai

    client = openai.DefaultAsyncHttpxClient(transport=_async_transport(make_service(engine, options)))
    return openai.AsyncOpenAI(base_url=_BASE_URL, api_key=_key_of(options), http_client=client)


def _key_of(options: dict[str, Any]) -> str:
    keys = options.get("api_keys") or (_KEY,)
    return str(keys[0])


def _http_library() -> Any:
    """Return ``httpx`` or ``httpx2``, whichever the installed client is made of."""
    import openai

    base = openai.DefaultAsyncHttpxClient.__mro__[1]
    return importlib.import_module(base.__module__.partition(".")[0])


def _scope_of(request: Any) -> Scope:
    raw_path, _, query = request.url.raw_path.partition(b"?")
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    return http_scope(request.method, request.url.path, raw_path=raw_path, query=query, headers=headers)


class _Service:
    """What is served, and the exchanges that are open."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app = app_of(service)
        self._open: weakref.WeakSet[Exchange] = weakref.WeakSet()

    async def begin(self, http: Any, request: Any, body: bytes) -> tuple[Exchange, Message]:
        """Return an exchange and the beginning of its answer."""
        await self._service.models.load()
        exchange = Exchange(self._app, _scope_of(request), body, _read_timeout(request))
        self._open.add(exchange)
        try:
            start = await _next(exchange, http, request)
        except BaseException:
            await exchange.aclose()
            raise
        assert start is not None
        return exchange, start

    async def aclose(self) -> None:
        """End what is open."""
        for exchange in list(self._open):
            await exchange.aclose()


def _async_transport(service: Service) -> Any:
    http = _http_library()
    served = _Service(service)

    class Stream(http.AsyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, exchange: Exchange, request: Any) -> None:
            self._exchange = exchange
            self._request = request

        async def __aiter__(self) -> AsyncGenerator[bytes, None]:
            while (message := await _next(self._exchange, http, self._request)) is not None:
                yield message.get("body", b"")

        async def aclose(self) -> None:
            await self._exchange.aclose()

    class Transport(http.AsyncBaseTransport):  # type: ignore[name-defined, misc]
        async def handle_async_request(self, request: Any) -> Any:
            exchange, start = await served.begin(http, request, await request.aread())
            return http.Response(start["status"], headers=start["headers"], stream=Stream(exchange, request))

        async def aclose(self) -> None:
            await served.aclose()

    return Transport()


def _sync_transport(service: Service) -> Any:
    http = _http_library()
    served = _Service(service)
    loop = _LoopThread()

    class Stream(http.SyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, exchange: Exchange, request: Any) -> None:
            self._exchange = exchange
            self._request = request

        def __iter__(self) -> Generator[bytes, None, None]:
            while (message := loop.run(_next(self._exchange, http, self._request))) is not None:
                yield message.get("body", b"")

        def close(self) -> None:
            if not loop.is_closed:
                loop.run(self._exchange.aclose())

    class Transport(http.BaseTransport):  # type: ignore[name-defined, misc]
        def handle_request(self, request: Any) -> Any:
            exchange, start = loop.run(served.begin(http, request, request.read()))
            return http.Response(start["status"], headers=start["headers"], stream=Stream(exchange, request))

        def close(self) -> None:
            loop.close(served.aclose)

    return Transport()


async def _next(exchange: Exchange, http: Any, request: Any) -> Message | None:
    try:
        message = await exchange.next()
    except TimeoutError:
        raise http.ReadTimeout("the answer did not come in time", request=request) from None
    if message is None and exchange.is_closed:
        raise http.ReadError("the client was closed meanwhile", request=request)
    return message


def _read_timeout(request: Any) -> float | None:
    timeout: float | None = request.extensions.get("timeout", {}).get("read")
    return timeout


class _LoopThread:
    """An event loop in a thread of its own, started with the first request."""

    def __init__(self) -> None:
        self.is_closed = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; Ctrl-C cancels it. Raises ``RuntimeError`` once it is closed."""
        try:
            future = self._handed_over(work)
        except RuntimeError:
            work.close()
            raise
        try:
            return future.result()
        except CancelledError:
            raise _closed() from None
        except BaseException:
            future.cancel()
            raise

    def _handed_over(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            if self.is_closed:
                raise _closed()
            if self._loop is None:
                self._loop = loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_run_loop, args=(loop,), name="inllama-client", daemon=True)
                thread.start()
                self._stop = weakref.finalize(self, _stop_loop, loop, thread)
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run what is left to be done, and end the thread."""
        with self._lock:
            if self.is_closed:
                return
            self.is_closed = True
            if self._loop is None:
                return
            left = asyncio.run_coroutine_threadsafe(last(), self._loop)
        left.result()
        self._stop()


def _closed() -> RuntimeError:
    return RuntimeError("the client is closed")


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(_end_tasks())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _stop_loop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join(5)
