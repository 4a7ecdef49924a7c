"""``Engine``: one model, one KV cache, every request of the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import inllama._core as _core
from inllama._core import Model
from inllama._exit import close_at_exit
from inllama.errors import EngineClosedError, InvalidRequestError, QueueFullError
from inllama.model import load_model, recommended_params
from inllama.options import split_keywords
from inllama.params import EngineOptions, ModelOptions, RequestOptions, SamplingParams

# How long a wait goes on before Python looks for signals.
_SLICE_S = 0.1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as the native engine takes it.

    Attributes:
        request_id: Its name.
        tokens: The prompt, ``(n_prompt,)``.
        fields: Options of the sampler chain.
        seeds: One per output.
        limits: What ends an output.
        stops: Texts that end an output.
        is_reproducible: Whether nothing else may run with it.
    """

    request_id: str
    tokens: Sequence[int]
    fields: dict[str, object]
    seeds: list[int]
    limits: dict[str, object]
    stops: tuple[str, ...]
    is_reproducible: bool


class Engine:
    """Computes the requests of all threads together over one KV cache, on a thread of its own.

    Prefixes that requests have in common are computed once. Any thread may use it; ``LLM`` is its face.

    Args:
        model: A path, ``"demo"`` for the small model inside the package, or a loaded ``Model``, which is then not
            closed with the engine.
        **options: Fields of ``EngineOptions`` and ``ModelOptions``.

    Raises:
        ModelLoadError: The file cannot be loaded.
        InvalidRequestError: An option has a value that is not possible.
        UnsupportedError: The model generates no text.
        TypeError: An option that does not exist.
    """

    def __init__(self, model: str | os.PathLike[str] | Model = "demo", **options: Any) -> None:
        if model is None:
            raise TypeError("model must be a path, 'demo' or a Model, not None")
        engine, loading = split_keywords(options, EngineOptions, ModelOptions)
        self._options = EngineOptions.from_keywords(engine)
        self._owns_model = not isinstance(model, Model)
        if isinstance(model, Model):
            if loading:
                raise TypeError(f"{next(iter(loading))!r} is an option of loading, but the model is loaded already")
            self._model = model
        else:
            self._model = load_model(model, ModelOptions.from_keywords(loading))
        try:
            self._default_params = recommended_params(self._model).over(SamplingParams.defaults())
            self._native = _core.Engine(self._model, self._native_options())
        except BaseException:
            if self._owns_model:
                self._model.close()
            raise
        # Computes the reproducible requests, one at a time.
        self._alone: _core.Engine | None = None
        self._lock = threading.Lock()
        close_at_exit(self)

    def _native_options(self, **changed: object) -> dict[str, object]:
        options = self._options
        n_ctx = None if options.n_ctx == "auto" else int(options.n_ctx)
        return {**options.to_dict(), "n_ctx": n_ctx, "n_threads": options.n_threads, **changed}

    def _native_for(self, request: Prepared) -> _core.Engine:
        if not request.is_reproducible:
            return self._native
        with self._lock:
            self.check_usable()
            if self._alone is None:
                self._alone = _core.Engine(self._model, self._native_options(max_running=1, prefix_cache=False))
            return self._alone

    @property
    def model(self) -> Model:
        """The loaded model."""
        return self._model

    @property
    def n_ctx(self) -> int:
        """Tokens that one request can use, prompt and output together."""
        return self._native.n_ctx

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._native.closed

    @property
    def default_params(self) -> SamplingParams:
        """The sampling options of a request that sets none: the model's recommendations over inllama's defaults."""
        return self._default_params

    def stats(self) -> dict[str, int]:
        """Return counts: what is running and waiting, cells of the KV cache, tokens computed and shared, and more."""
        return self._native.stats()

    def submit(self, events: _core.EventQueue, request: Prepared, *, wait: bool) -> int:
        """Hand a request over; its events come through ``events``. Returns its number.

        Raises:
            QueueFullError: There is no room, and ``wait`` is false.
            ContextFullError: The prompt does not fit.
            EngineClosedError: ``close()`` was called.
        """
        native = self._native_for(request)
        while True:
            try:
                return native.submit(events, request.tokens, request.fields, request.seeds, request.limits)
            except QueueFullError:
                if not wait:
                    raise
            while not native.wait_for_room(_SLICE_S):
                pass

    def cancel(self, request: int) -> None:
        """End a request at the next step."""
        for native in (self._native, self._alone):
            if native is not None:
                native.cancel(request)

    def close(self) -> None:
        """End all requests with ``EngineClosedError``, and the engine; free the model if it was loaded here."""
        with self._lock:
            for native in (self._native, self._alone):
                if native is not None:
                    native.close()
            if self._owns_model:
                self._model.close()

    def check_usable(self) -> None:
        """Raise ``EngineClosedError`` once closed."""
        if self.closed:
            raise EngineClosedError("the engine is closed; make a new one")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Engine({self._model!r}{', closed' if self.closed else ''})"


def wait_for(events: _core.EventQueue) -> None:
    """Wait until there are events; Ctrl-C ends it."""
    while not events.wait(_SLICE_S):
        pass


def prepare(
    engine: Engine, prompt: str | Sequence[int], params: SamplingParams | None, options: dict[str, Any], name: str
) -> Prepared:
    """Check a request's arguments and put it into the form that the engine takes."""
    engine.check_usable()
    if params is not None and not isinstance(params, SamplingParams):
        raise TypeError(f"params must be SamplingParams, not {type(params).__name__}; give options as keywords")
    sampling, asked = split_keywords(options, SamplingParams, RequestOptions)
    request = RequestOptions.from_keywords(asked)
    full = (params or SamplingParams()).updated(sampling).over(engine.default_params)
    first = _core.random_seed() if full.seed is None else full.seed
    limits: dict[str, object] = {
        "max_tokens": full.max_tokens,
        "stop": list(full.stop or ()),
        "stop_token_ids": list(full.stop_token_ids or ()),
        "timeout_s": request.timeout_s,
    }
    return Prepared(
        request_id=request.request_id or name,
        tokens=_tokens(engine.model, prompt, request),
        fields={key: value for key, value in full.to_dict().items() if key not in (*limits, "seed")},
        seeds=[(first + i) % (2**32 - 1) for i in range(request.n)],
        limits=limits,
        stops=tuple(full.stop or ()),
        is_reproducible=request.reproducible,
    )


def _tokens(model: Model, prompt: str | Sequence[int], options: RequestOptions) -> Sequence[int]:
    if isinstance(prompt, str):
        encoded = model.tokenizer.encode(prompt, parse_special=options.parse_special)
        tokens: list[int] = encoded.tolist()
    else:
        tokens = [_token(token) for token in prompt]
    if not tokens:
        raise InvalidRequestError("the prompt has no tokens; give it some text")
    return tokens


def _token(value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"a prompt of token ids must hold integers, not {type(value).__name__}")
    token: int = value.__index__()
    if not 0 <= token < 2**31:
        raise InvalidRequestError(f"token {token} is not in the vocabulary", token=token)
    return token
