"""The LoRA adapters of an engine, by the names that requests call them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from inllama.errors import InvalidRequestError


class Adapters:
    """Loaded adapters. Any thread."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}
        self._lock = threading.Lock()  # held for moments only

    @property
    def names(self) -> tuple[str, ...]:
        """Of all adapters."""
        return tuple(self._loaded)

    def add(self, name: str, load: Callable[[], Any]) -> None:
        """Take what ``load`` returns; others go on while it runs."""
        if not isinstance(name, str) or not name:
            raise TypeError("the name of an adapter must be a text that is not empty")
        self._check_free(name)
        made = load()
        with self._lock:
            self._check_free(name)
            self._loaded[name] = made

    def _check_free(self, name: str) -> None:
        if name in self._loaded:
            raise InvalidRequestError(f"there is an adapter {name!r} already; unload it first", adapter=name)

    def remove(self, name: str) -> None:
        """Forget one."""
        with self._lock:
            if name not in self._loaded:
                raise self._unknown(name)
            del self._loaded[name]

    def scaled(self, asked: Mapping[str, float]) -> list[tuple[Any, float]]:
        """Return the named ones with their scales."""
        for name in asked:
            if name not in self._loaded:
                raise self._unknown(name)
        return [(self._loaded[name], scale) for name, scale in asked.items()]

    def _unknown(self, name: str) -> InvalidRequestError:
        names = ", ".join(map(repr, self._loaded)) or "none"
        return InvalidRequestError(
            f"there is no adapter {name!r}; loaded are: {names}. Use load_adapter() first", adapter=name
        )
