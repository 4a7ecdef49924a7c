"""``ModelPool``: several models by name, of which those are in memory that are used."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from inllama.engine import Engine
from inllama.errors import EngineClosedError, InsufficientMemoryError, InvalidRequestError
from inllama.fitting import FreeMemory
from inllama.memory_estimate import estimate
from inllama.model import checked_options

_logger = logging.getLogger("inllama")

State: TypeAlias = Literal["unloaded", "loading", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """What a pool has of a model.

    Attributes:
        name: The model's.
        state: ``unloaded``, ``loading``, ``ready`` or ``failed``.
        in_use: Leases that are held.
        size: Bytes that it takes, or would; 0 before anybody asked for it.
        error: Why it could not be loaded.
    """

    name: str
    state: State
    in_use: int
    size: int
    error: str | None = None


class _Entry:
    """A model and what is there of it; guarded by the pool's lock."""

    def __init__(self, model: str | os.PathLike[str], options: dict[str, Any]) -> None:
        self.model = model
        self.options = options
        self.engine: Engine | None = None
        self.state: State = "unloaded"
        self.in_use = 0
        self.size = 0
        self.used_at = 0.0
        self.error: Exception | None = None

    @property
    def is_idle(self) -> bool:
        return self.state == "ready" and self.in_use == 0


class ModelPool:
    """Several models by name. One is loaded when somebody asks for it; those that were not used for the longest time
    go when the memory is needed. Any thread may use it.

    Args:
        models: Path, or another name as of ``LLM``, by the name that requests use.
        memory: Bytes that all of them together may take; by default what is free now.
        load: Makes an engine of a path and options.
        size_of: Returns how many bytes that takes; for tests.
        **options: Fields of ``EngineOptions`` and ``ModelOptions``, for all of them.

    Raises:
        InvalidRequestError: There is no model, or an option has a value that is not possible.
        TypeError: An option that does not exist.
    """

    def __init__(
        self,
        models: Mapping[str, str | os.PathLike[str]],
        *,
        memory: int | None = None,
        load: Callable[..., Engine] = Engine,
        size_of: Callable[..., int] | None = None,
        **options: Any,
    ) -> None:
        if not models:
            raise InvalidRequestError("a pool needs a model", option="models")
        for model in models.values():
            checked_options(model, options)
        self._entries = {name: _Entry(model, dict(options)) for name, model in models.items()}
        self._memory = memory if memory is not None else _free_bytes()
        self._load = load
        self._size_of = size_of or _estimated
        self._changed = threading.Condition()
        self._is_closed = False

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names."""
        return tuple(self._entries)

    @property
    def memory(self) -> int:
        """Bytes that all models together may take."""
        return self._memory

    def status(self) -> dict[str, PoolStatus]:
        """Return what there is of each model."""
        with self._changed:
            return {
                name: PoolStatus(name, one.state, one.in_use, one.size, None if one.error is None else str(one.error))
                for name, one in self._entries.items()
            }

    def engine(self, name: str) -> Engine | None:
        """Return a model's engine, if it is loaded; nobody keeps it in memory for you."""
        with self._changed:
            return self._entry(name).engine

    @contextmanager
    def lease(self, name: str) -> Generator[Engine, None, None]:
        """Hold a model while it is used: ``with pool.lease("a") as engine``. Loads it, unless it is there.

        Raises:
            EngineClosedError: ``close()`` was called.
            InsufficientMemoryError: There is no room for it, even without those that are idle.
            InvalidRequestError: There is no such model.
            ModelLoadError: It cannot be loaded.
        """
        engine = self.acquire(name)
        try:
            yield engine
        finally:
            self.release(name)

    def acquire(self, name: str) -> Engine:
        """Begin a lease; ``release`` ends it. Errors as ``lease``."""
        with self._changed:
            entry = self._entry(name)
            while entry.state == "loading":  # by another thread
                self._changed.wait()
            self._check_open()
            if entry.engine is not None:
                return self._taken(entry, entry.engine)
            entry.state, entry.error = "loading", None
        return self._loaded(name, entry)

    def release(self, name: str) -> None:
        """End a lease."""
        with self._changed:
            entry = self._entries[name]
            entry.in_use -= 1
            entry.used_at = time.monotonic()
            self._changed.notify_all()

    def unload(self, name: str) -> bool:
        """Free a model's memory if nobody uses it; returns whether it is gone."""
        with self._changed:
            entry = self._entry(name)
            if not entry.is_idle:
                return entry.state in ("unloaded", "failed")
            engine = self._forget(entry)
        engine.close()
        return True

    def close(self) -> None:
        """Free all models. Requests that run end with ``EngineClosedError``."""
        with self._changed:
            self._is_closed = True
            engines = [self._forget(entry) for entry in self._entries.values() if entry.engine is not None]
            self._changed.notify_all()
        for engine in engines:
            engine.close()

    def _loaded(self, name: str, entry: _Entry) -> Engine:
        try:
            entry.size = self._size_of(entry.model, **entry.options)
            self._make_room(name, entry)
            engine = self._load(entry.model, **entry.options)
        except BaseException as error:
            with self._changed:
                entry.state = "failed"
                entry.error = error if isinstance(error, Exception) else None
                self._changed.notify_all()
            raise
        with self._changed:
            entry.engine, entry.state = engine, "ready"
            self._changed.notify_all()
            if not self._is_closed:
                return self._taken(entry, engine)
            self._forget(entry)
        engine.close()
        raise _closed()

    def _make_room(self, name: str, entry: _Entry) -> None:
        while True:
            with self._changed:
                others = [one for one in self._entries.values() if one is not entry]
                taken = sum(one.size for one in others if one.engine is not None or one.state == "loading")
                if taken + entry.size <= self._memory:
                    return
                idle = min((one for one in others if one.is_idle), key=lambda one: one.used_at, default=None)
                if idle is None:
                    raise InsufficientMemoryError(
                        f"{name} takes {entry.size} bytes, and of the pool's {self._memory} {taken} are in use; ask "
                        "again later, or give the pool more memory",
                        needed_bytes=entry.size,
                        limit_bytes=self._memory,
                        used_bytes=taken,
                    )
                engine = self._forget(idle)
            _logger.info("a model is unloaded to make room for %s", name)
            engine.close()

    def _taken(self, entry: _Entry, engine: Engine) -> Engine:
        entry.in_use += 1
        entry.used_at = time.monotonic()
        return engine

    def _forget(self, entry: _Entry) -> Engine:
        engine, entry.engine, entry.state = entry.engine, None, "unloaded"
        assert engine is not None
        return engine

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise InvalidRequestError(
                f"there is no model {name!r}; there is {', '.join(self._entries)}", option="model", value=name
            )
        return entry

    def _check_open(self) -> None:
        if self._is_closed:
            raise _closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _closed() -> EngineClosedError:
    return EngineClosedError("this pool is closed; make a new one")


def _estimated(model: str | os.PathLike[str], **options: Any) -> int:
    return estimate(model, **options).total


def _free_bytes() -> int:
    free = FreeMemory.now()
    return free.host + sum(free.devices.values())
