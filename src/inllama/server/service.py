"""What all routes share: the models, who may ask, and what is counted."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager

from inllama.async_llm import AsyncLLM
from inllama.engine import Engine
from inllama.pool import ModelPool
from inllama.server.keys import ApiKeys
from inllama.server.metrics import Metrics
from inllama.server.options import AppOptions
from inllama.server.response_store import ResponseStore
from inllama.server.served import Lease, OneModel, PooledModels, ServedModels, unavailable


class Service:
    """Models that are served.

    Args:
        model: What computes the requests; an ``AsyncLLM`` may be loading still.
        options: What is allowed.
    """

    def __init__(self, model: Engine | AsyncLLM | ModelPool, options: AppOptions) -> None:
        self.models: ServedModels
        if isinstance(model, ModelPool):
            self.models = PooledModels(model)
        else:
            self.models = OneModel(model, options.model_names)
        self.keys = ApiKeys(options.api_keys)
        self.options = options.updated({"api_keys": ()})  # of which only hashes are kept
        self.responses = ResponseStore(options.max_stored, options.max_stored_bytes)
        self.metrics = Metrics(self)
        self.created = int(time.time())
        self.n_active = 0
        self.is_draining = False

    def check_ready(self) -> None:
        """Raise ``Failure`` while no request could be computed."""
        if self.is_draining:
            raise unavailable("the server is about to stop", "draining")
        self.models.check_ready()

    def lease(self, asked: str | None) -> AbstractAsyncContextManager[Lease]:
        """Hold a model while a request is computed.

        Raises:
            Failure: No model has that name, or none is there now.
        """
        return self.models.lease(asked)

    @property
    def state(self) -> str:
        """``loading``, ``ready``, ``draining`` or ``failed``."""
        if self.is_draining:
            return "draining"
        states = {one.state for one in self.models.facts()}
        if states == {"failed"}:
            return "failed"
        return "loading" if states == {"loading"} else "ready"
