"""``LLM``: the synchronous face of an engine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, overload

from inllama._core import Model
from inllama.engine import Engine, Prepared, prepare
from inllama.errors import InllamaError, InvalidRequestError
from inllama.outputs import Completion
from inllama.params import SamplingParams
from inllama.stream import TextStream, complete_all

Prompt: TypeAlias = str | Sequence[int]


class LLM:
    """Generates text with one model.

    Any thread may use it. Requests that run at the same time, of all threads, are computed together.

    Args:
        model: A path, ``"demo"`` for the small model inside the package, a loaded ``Model`` or an ``Engine``; the last
            two are not closed with the ``LLM``.
        **options: Fields of ``EngineOptions`` and ``ModelOptions``, unless an engine is given.

    Raises:
        ModelLoadError: The file cannot be loaded.
        InvalidRequestError: An option has a value that is not possible.
        TypeError: An option that does not exist.
    """

    def __init__(self, model: str | os.PathLike[str] | Model | Engine = "demo", **options: Any) -> None:
        self._owns_engine = not isinstance(model, Engine)
        if isinstance(model, Engine):
            if options:
                raise TypeError(f"{next(iter(options))!r} is an option of an engine, but one is given already")
            self._engine = model
        else:
            self._engine = Engine(model, **options)

    @property
    def engine(self) -> Engine:
        """What computes the requests."""
        return self._engine

    @property
    def model(self) -> Model:
        """The loaded model."""
        return self._engine.model

    @property
    def default_params(self) -> SamplingParams:
        """The sampling options of a request that sets none: the model's recommendations over inllama's defaults."""
        return self._engine.default_params

    @overload
    def generate(
        self, prompt: str, params: SamplingParams | None = None, *, on_error: Literal["raise"] = "raise", **options: Any
    ) -> Completion: ...

    @overload
    def generate(
        self,
        prompt: Sequence[int],
        params: SamplingParams | None = None,
        *,
        on_error: Literal["raise"] = "raise",
        **options: Any,
    ) -> Completion: ...

    @overload
    def generate(
        self,
        prompt: Sequence[str] | Sequence[Sequence[int]],
        params: SamplingParams | None = None,
        *,
        on_error: Literal["raise"] = "raise",
        **options: Any,
    ) -> list[Completion]: ...

    @overload
    def generate(
        self,
        prompt: Sequence[str] | Sequence[Sequence[int]],
        params: SamplingParams | None = None,
        *,
        on_error: Literal["return"],
        **options: Any,
    ) -> list[Completion | Exception]: ...

    def generate(
        self,
        prompt: Prompt | Sequence[Prompt],
        params: SamplingParams | None = None,
        *,
        on_error: Literal["raise", "return"] = "raise",
        **options: Any,
    ) -> Completion | list[Completion] | list[Completion | Exception]:
        """Return the model's continuation of ``prompt``.

        Args:
            prompt: A text, token ids, or a list of those; the results of a list are in its order.
            params: Sampling options; a keyword overrides its field.
            on_error: For a list: raise the first error, with ``.index``, or put each into its row.
            **options: Fields of ``SamplingParams`` and ``RequestOptions``.

        Raises:
            ContextFullError: The prompt does not fit; ``.n_prompt`` and ``.n_ctx`` say how much.
            InvalidRequestError: An option has a value that is not possible.
            TypeError: An option that does not exist.
            DeadlineError: ``timeout_s`` is over; ``.partial`` is the text until then.
            EngineClosedError: ``close()`` was called.
            DecodeError: The request could not be computed.
        """
        if on_error not in ("raise", "return"):
            raise InvalidRequestError(f"on_error is {on_error!r}; use 'raise' or 'return'", option="on_error")
        if _is_one(prompt):
            return self.stream(prompt, params, **options).result()  # type: ignore[arg-type]
        requests: list[Prepared | Exception] = []
        for index, one in enumerate(prompt):
            try:
                requests.append(self._prepare(one, params, options))  # type: ignore[arg-type]
            except Exception as error:
                if on_error == "raise":
                    raise _with_index(error, index) from None
                requests.append(error)
        rows: list[Completion | Exception | None] = [one if isinstance(one, Exception) else None for one in requests]
        ended = complete_all(self._engine, requests)
        try:
            for index, reception in ended:
                if reception.error is not None and on_error == "raise":
                    raise _with_index(reception.error, index)
                rows[index] = reception.error or reception.completion()
        finally:
            ended.close()
        return rows  # type: ignore[return-value]

    def stream(self, prompt: Prompt, params: SamplingParams | None = None, **options: Any) -> TextStream:
        """Start generating the model's continuation of ``prompt``; arguments and errors as ``generate``."""
        return TextStream(self._engine, self._prepare(prompt, params, options))

    def _prepare(self, prompt: Prompt, params: SamplingParams | None, options: dict[str, Any]) -> Prepared:
        return prepare(self._engine, prompt, params, options, name=f"cmpl-{uuid.uuid4().hex}")

    def stats(self) -> dict[str, int]:
        """Return the engine's counts."""
        return self._engine.stats()

    def close(self) -> None:
        """End all requests and free the engine, unless it was given; open streams fail with ``EngineClosedError``."""
        if self._owns_engine:
            self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LLM({self.model!r}{', closed' if self._engine.closed else ''})"


def _with_index(error: Exception, index: int) -> Exception:
    if isinstance(error, InllamaError):
        error.fields["index"] = index
    return error


def _is_one(prompt: object) -> bool:
    if isinstance(prompt, str):
        return True
    if isinstance(prompt, (bytes, bytearray, memoryview)):
        raise TypeError(f"prompt must be text or token ids, not {type(prompt).__name__}; decode it first")
    if not isinstance(prompt, Sequence) and not hasattr(prompt, "__array__"):
        raise TypeError(f"prompt must be text, token ids or a list of those, not {type(prompt).__name__}")
    if len(prompt) == 0:  # type: ignore[arg-type]
        return False
    first = prompt[0]  # type: ignore[index]
    return hasattr(first, "__index__") and not hasattr(first, "__len__")  # an array has both
