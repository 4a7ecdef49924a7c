"""An engine whose model is loaded when the first call needs it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from inllama._core import Model
from inllama.engine import Engine
from inllama.errors import EngineClosedError, ModelLoadError
from inllama.model import Progress, checked_options


class LateEngine:
    """An engine that is there already, or that the first ``load`` makes. Any thread may use it.

    Args:
        model: As of ``AsyncLLM``, errors too.
        progress: Called with 0.0 to 1.0 while a file is loaded; ``False`` stops it.
        options: Of the engine.
    """

    def __init__(
        self, model: str | os.PathLike[str] | Model | Engine, progress: Progress | None, options: Mapping[str, Any]
    ) -> None:
        if isinstance(model, Engine):
            given = [*options, *(["progress"] if progress is not None else [])]
            if given:
                raise TypeError(f"{given[0]!r} is an option of an engine, but one is given already")
        elif not isinstance(model, (str, os.PathLike, Model)):
            raise TypeError(f"model must be a path, 'demo', a Model or an Engine, not {type(model).__name__}")
        else:
            checked_options(model, options, progress)
        self.model = model
        self.engine: Engine | None = model if isinstance(model, Engine) else None
        self.is_closed = False
        self._progress = progress
        self._options = options
        self._is_ready = False
        self._loading = threading.Lock()

    @property
    def is_owned(self) -> bool:
        """Whether it was not given."""
        return not isinstance(self.model, Engine)

    @property
    def is_ready(self) -> bool:
        """Whether ``load`` has nothing to do."""
        return self._is_ready and not self.is_closed

    def load(self) -> Engine:
        """Load the model, unless that is done, and return the engine.

        Raises:
            ModelLoadError: The file cannot be loaded.
            EngineClosedError: It is closed, maybe just now.
        """
        with self._loading:
            if self.is_closed:
                raise _closed()
            if self.engine is None:
                self.engine = self._made()
            if not self._is_ready:
                self.engine.encode(" ")  # the first time it imports numpy, which takes as long as loading
                self._is_ready = True
            return self.engine

    def close(self) -> None:
        """Wait for a load that ends, and free the engine; ``is_closed`` is set before."""
        with self._loading:
            if self.engine is not None:
                self.engine.close()

    def _made(self) -> Engine:
        assert not isinstance(self.model, Engine)
        if isinstance(self.model, Model):
            return Engine(self.model, **self._options)
        try:
            return Engine(self.model, progress=self._goes_on, **self._options)
        except ModelLoadError:
            if self.is_closed:
                raise _closed() from None
            raise

    def _goes_on(self, done: float) -> bool:
        return not self.is_closed and (self._progress is None or self._progress(done) is not False)


def _closed() -> EngineClosedError:
    return EngineClosedError("this AsyncLLM is closed; make a new one")
