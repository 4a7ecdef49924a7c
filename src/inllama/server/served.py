"""The models of a server: one that stays, or a pool from which requests take theirs."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from inllama.async_llm import AsyncLLM
from inllama.engine import Engine
from inllama.errors import ModelLoadError
from inllama.off_loop import off_loop
from inllama.pool import ModelPool
from inllama.server.failures import RETRY_AFTER_S, Failure

logger = logging.getLogger("inllama.server")

# As a further name of a model: every name.
ANY = "*"


@dataclass(frozen=True, slots=True)
class Lease:
    """A model for one request.

    Attributes:
        engine: What computes.
        aio: Its face.
        model: What answers call it.
    """

    engine: Engine
    aio: AsyncLLM
    model: str


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model.

    Attributes:
        name: What requests call it; empty while nobody knows.
        state: ``unloaded``, ``loading``, ``ready`` or ``failed``.
        engine: If it is loaded.
        error: Why it could not be loaded.
    """

    name: str
    state: str
    engine: Engine | None
    error: str | None = None


class ServedModels(Protocol):
    """What a server needs of its models."""

    load_error: Exception | None

    def facts(self) -> list[ModelFacts]:
        """Return what is known of each name, the default one first."""

    def check_ready(self) -> None:
        """Raise ``Failure`` while no request could be computed."""

    def start_loading(self) -> None:
        """Begin to load what is to be there from the start."""

    async def load(self) -> None:
        """The same, and wait for it."""

    def lease(self, asked: str | None) -> AbstractAsyncContextManager[Lease]:
        """Hold a model while a request is computed; raises ``Failure`` for a name that no model has."""


def no_model(asked: str, names: list[str]) -> Failure:
    """Return the failure of a name that no model has."""
    return Failure(
        404,
        f"there is no model {asked[:100]!r}; there is {', '.join(names)}. 'model' may be left out; --model-names adds "
        "names",
        code="model_not_found",
        param="model",
    )


def unavailable(text: str, code: str) -> Failure:
    """Return the failure of a request that may be served later."""
    headers = {"retry-after": str(RETRY_AFTER_S)}
    return Failure(503, f"{text}; try again later", code=code, kind="server_error", headers=headers)


def _is_stopped(error: BaseException) -> bool:
    return isinstance(error, ModelLoadError) and bool(getattr(error, "cancelled", False))


class OneModel:
    """A model that stays.

    Args:
        model: An ``AsyncLLM`` may be loading still.
        more_names: Of the model, besides that of its file.
    """

    def __init__(self, model: Engine | AsyncLLM, more_names: tuple[str, ...]) -> None:
        self._aio = model if isinstance(model, AsyncLLM) else AsyncLLM(model)
        self._more_names = more_names
        self._is_loaded = isinstance(model, Engine)
        self._loading: asyncio.Task[None] | None = None
        self.load_error: Exception | None = None
        self.before_ready: Callable[[], object] | None = None  # called once, when the model is loaded

    @property
    def engine(self) -> Engine | None:
        """What computes, if it is loaded."""
        return self._aio.engine if self._is_loaded else None

    @property
    def loading_engine(self) -> Engine:
        """The same, for what is done before it counts as loaded."""
        return self._aio.engine

    def _names(self, engine: Engine) -> list[str]:
        others = [name for name in self._more_names if name != ANY]
        return list(dict.fromkeys([*others, engine.model_name]))

    def facts(self) -> list[ModelFacts]:
        """Return what is known of each of its names."""
        engine = self.engine
        is_failed = self.load_error is not None or (engine is not None and engine.closed)
        error = None if self.load_error is None else str(self.load_error)
        if engine is None:  # its name is in its file
            return [ModelFacts("", "failed" if is_failed else "loading", None, error)]
        state = "failed" if is_failed else "ready"
        return [ModelFacts(name, state, engine, error) for name in self._names(engine)]

    def check_ready(self) -> None:
        """Raise ``Failure`` while it is loaded, and once it is closed."""
        engine = self.engine
        if engine is None:
            self.start_loading()  # an app inside of another one is not told when that starts
            raise unavailable("the model is being loaded", "loading")
        if engine.closed:
            raise Failure(503, "the engine is closed", code="engine_closed", kind="server_error")

    def start_loading(self) -> None:
        """Load the model beside what the event loop does."""
        if self._loading is None and not self._is_loaded:
            self._loading = asyncio.get_running_loop().create_task(self._load())

    async def load(self) -> None:
        """Load the model, unless that is done, and wait for it; errors as ``AsyncLLM.start``."""
        if not self._is_loaded:
            await self._aio.start()
            self._is_loaded = True

    async def _load(self) -> None:
        try:
            await self._aio.start()
            if self.before_ready is not None:
                await off_loop(self.before_ready)
            self._is_loaded = True
        except Exception as error:  # whatever it is, the model will not be there
            self.load_error = error
            if not _is_stopped(error):
                logger.error("the model cannot be loaded: %s", error)

    @asynccontextmanager
    async def lease(self, asked: str | None) -> AsyncGenerator[Lease, None]:
        """Hold it."""
        self.check_ready()
        engine = self._aio.engine
        names = self._names(engine)
        if asked is not None and asked not in names and ANY not in self._more_names:
            raise no_model(asked, names)
        yield Lease(engine, self._aio, asked or names[0])


class PooledModels:
    """Models that are loaded when a request names them.

    Args:
        pool: Has them.
    """

    def __init__(self, pool: ModelPool) -> None:
        self._pool = pool
        self._loads: dict[str, asyncio.Task[None]] = {}
        self._faces: weakref.WeakKeyDictionary[Engine, AsyncLLM] = weakref.WeakKeyDictionary()
        self.load_error: Exception | None = None

    def facts(self) -> list[ModelFacts]:
        """Return what is known of each model."""
        engines = {name: self._pool.engine(name) for name in self._pool.names}
        return [ModelFacts(one.name, one.state, engines[one.name], one.error) for one in self._pool.status().values()]

    def check_ready(self) -> None:
        """Every model can be asked for at any time."""

    def start_loading(self) -> None:
        """Load the first model, which is the default."""
        self._start(self._pool.names[0])

    async def load(self) -> None:
        """Nothing: a model is loaded when it is named."""

    @asynccontextmanager
    async def lease(self, asked: str | None) -> AsyncGenerator[Lease, None]:
        """Load a model, unless it is there, and hold it."""
        name = asked or self._pool.names[0]
        if name not in self._pool.names:
            raise no_model(name, [*self._pool.names])
        while self._pool.engine(name) is None:
            await asyncio.shield(self._start(name))  # for others, when this one goes away
        engine = self._pool.acquire(name)
        try:
            aio = self._faces.setdefault(engine, AsyncLLM(engine))
            yield Lease(engine, aio, name)
        finally:
            self._pool.release(name)

    def _start(self, name: str) -> asyncio.Task[None]:
        task = self._loads.get(name)
        if task is None:
            # One thread for a load, however many requests wait for it.
            task = asyncio.get_running_loop().create_task(off_loop(partial(self._load, name)))
            self._loads[name] = task
            task.add_done_callback(partial(self._loaded, name))
        return task

    def _load(self, name: str) -> None:
        with self._pool.lease(name):
            pass

    def _loaded(self, name: str, task: asyncio.Task[None]) -> None:
        del self._loads[name]
        if not task.cancelled() and (error := task.exception()) is not None and not _is_stopped(error):
            logger.error("the model %s cannot be loaded: %s", name, error)
