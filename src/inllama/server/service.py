"""What all routes share: the engine and its faces, who may ask, and what is counted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from inllama.async_llm import AsyncLLM
from inllama.engine import Engine
from inllama.errors import InllamaError
from inllama.off_loop import off_loop
from inllama.server.failures import RETRY_AFTER_S, Failure
from inllama.server.keys import ApiKeys
from inllama.server.metrics import Metrics
from inllama.server.options import AppOptions
from inllama.server.response_store import ResponseStore

logger = logging.getLogger("inllama.server")


class Service:
    """An engine that is served.

    Args:
        model: What computes the requests; an ``AsyncLLM`` may be loading still.
        options: What is allowed.
    """

    def __init__(self, model: Engine | AsyncLLM, options: AppOptions) -> None:
        self.aio = model if isinstance(model, AsyncLLM) else AsyncLLM(model)
        self.options = options
        self.keys = ApiKeys(options.api_keys)
        self.responses = ResponseStore(options.max_stored, options.max_stored_bytes)
        self.metrics = Metrics(self)
        self.created = int(time.time())
        self.n_active = 0
        self.is_draining = False
        self.load_error: InllamaError | None = None
        self.before_ready: Callable[[], object] | None = None  # called once, when the model is loaded
        self._is_loaded = isinstance(model, Engine)
        self._loading: asyncio.Task[None] | None = None

    @property
    def engine(self) -> Engine:
        """What computes; raises ``Failure`` while it is loaded, and once the server drains."""
        if self.is_draining:
            raise _unavailable("the server is about to stop", "draining")
        engine = self.loaded
        if engine is None:
            raise _unavailable("the model is being loaded", "loading")
        if engine.closed:
            raise Failure(503, "the engine is closed", code="engine_closed", kind="server_error")
        return engine

    @property
    def loaded(self) -> Engine | None:
        """The engine, if it is there."""
        if not self._is_loaded:
            return None
        return self.aio.engine

    def start_loading(self) -> None:
        """Load the model beside what the event loop does."""
        if self._loading is None and not self._is_loaded:
            self._loading = asyncio.get_running_loop().create_task(self._load())

    async def _load(self) -> None:
        try:
            await self.aio.start()
            if self.before_ready is not None:
                await off_loop(self.before_ready)
            self._is_loaded = True
        except InllamaError as error:
            self.load_error = error

    @property
    def state(self) -> str:
        """``loading``, ``ready``, ``draining`` or ``failed``."""
        if self.is_draining:
            return "draining"
        engine = self.loaded
        if self.load_error is not None or (engine is not None and engine.closed):
            return "failed"
        return "loading" if engine is None else "ready"

    @property
    def model_names(self) -> list[str]:
        """The names of the model: what results say, then the others."""
        others = [name for name in self.options.model_names if name != "*"]
        return list(dict.fromkeys([*others, self.engine.model_name]))

    def name_for(self, asked: str | None) -> str:
        """Return what answers call the model; raises ``Failure`` for a name that it does not have."""
        names = self.model_names
        if asked is None:
            return names[0]
        if asked in names or "*" in self.options.model_names:
            return asked
        shown = ", ".join(names)
        raise Failure(
            404,
            f"there is no model {asked[:100]!r}; there is {shown}. 'model' may be left out; --model-names adds names",
            code="model_not_found",
            param="model",
        )


def _unavailable(text: str, code: str) -> Failure:
    headers = {"retry-after": str(RETRY_AFTER_S)}
    return Failure(503, f"{text}; try again later", code=code, kind="server_error", headers=headers)
