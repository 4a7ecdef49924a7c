"""``LLM``: the synchronous face. One request at a time over a context of its own."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, overload

import inllama._core as _core
from inllama._core import Context, Model
from inllama.errors import EngineClosedError, InvalidRequestError
from inllama.generation import Progress, Request, check_fits, generate_chunks
from inllama.model import load_model, recommended_params
from inllama.options import split_keywords
from inllama.outputs import Chunk, Completion, Timings, Usage
from inllama.params import EngineOptions, ModelOptions, RequestOptions, SamplingParams

Prompt: TypeAlias = str | Sequence[int]


class LLM:
    """Generates text with one model.

    Any thread may use it. Every request that runs at the same time has a context of its own, whose memory is kept for
    later requests.

    Args:
        model: A path, ``"demo"`` for the small model inside the package, or a loaded ``Model``, which is then not
            closed with the ``LLM``.
        **options: Fields of ``EngineOptions`` and ``ModelOptions``.

    Raises:
        ModelLoadError: The file cannot be loaded.
        InvalidRequestError: An option has a value that is not possible.
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
            self._contexts = _ContextPool(self._model, self._options)
        except BaseException:
            if self._owns_model:
                self._model.close()
            raise
        recommended = recommended_params(self._model)
        self._default_params = recommended.over(SamplingParams.defaults())

    @property
    def model(self) -> Model:
        """The loaded model."""
        return self._model

    @property
    def default_params(self) -> SamplingParams:
        """The sampling options of a request that sets none: the model's recommendations over inllama's defaults."""
        return self._default_params

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
        """
        if on_error not in ("raise", "return"):
            raise InvalidRequestError(f"on_error is {on_error!r}; use 'raise' or 'return'", option="on_error")
        if _is_one(prompt):
            return self.stream(prompt, params, **options).result()  # type: ignore[arg-type]
        rows: list[Completion | Exception] = []
        for index, one in enumerate(prompt):
            try:
                rows.append(self.stream(one, params, **options).result())  # type: ignore[arg-type]
            except Exception as error:
                if on_error == "raise":
                    if hasattr(error, "fields"):
                        error.fields["index"] = index
                    raise
                rows.append(error)
        return rows

    def stream(self, prompt: Prompt, params: SamplingParams | None = None, **options: Any) -> TextStream:
        """Return a stream of the model's continuation of ``prompt``; arguments and errors as ``generate``.

        Nothing is computed before the stream is read.
        """
        self._check_usable()
        if params is not None and not isinstance(params, SamplingParams):
            raise TypeError(f"params must be SamplingParams, not {type(params).__name__}; give options as keywords")
        sampling, asked = split_keywords(options, SamplingParams, RequestOptions)
        request_options = RequestOptions.from_keywords(asked)
        given = (params or SamplingParams()).updated(sampling)
        full = given.over(self._default_params)
        tokens = self._tokenize(prompt, request_options)
        for token in full.stop_token_ids or ():
            self._model.tokenizer.is_end(token)  # raises for a token outside the vocabulary
        first = _core.random_seed() if full.seed is None else full.seed
        timeout = request_options.timeout_s
        request = Request(
            request_id=request_options.request_id or f"cmpl-{uuid.uuid4().hex}",
            tokens=tokens,
            params=full,
            seeds=[(first + i) % (2**32 - 1) for i in range(request_options.n)],
            deadline=None if timeout is None else time.monotonic() + timeout,
        )
        check_fits(request, self._contexts.n_ctx)
        return TextStream(self._model, self._contexts, request)

    def close(self) -> None:
        """Free the contexts, and the model if it was loaded here; open streams fail at their next step."""
        self._contexts.close()
        if self._owns_model:
            self._model.close()

    def _check_usable(self) -> None:
        if self._contexts.is_closed:
            raise EngineClosedError("the LLM is closed; make a new one")

    def _tokenize(self, prompt: Prompt, options: RequestOptions) -> list[int]:
        if isinstance(prompt, str):
            encoded = self._model.tokenizer.encode(prompt, parse_special=options.parse_special)
            tokens: list[int] = encoded.tolist()
        else:
            tokens = [_token(token) for token in prompt]
            for token in tokens:
                self._model.tokenizer.is_end(token)  # raises for a token outside the vocabulary
        if not tokens:
            raise InvalidRequestError("the prompt has no tokens; give it some text")
        return tokens

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LLM({self._model!r}{', closed' if self._contexts.is_closed else ''})"


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


def _token(value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"a prompt of token ids must hold integers, not {type(value).__name__}")
    token: int = value.__index__()
    if not 0 <= token < 2**31:
        raise InvalidRequestError(f"token {token} is not in the vocabulary", token=token)
    return token


class _ContextPool:
    """Contexts that no request uses at the moment, and the making of more. Any thread.

    ``n_ctx`` is how many tokens one request can use.
    """

    def __init__(self, model: Model, options: EngineOptions) -> None:
        self._model = model
        self._options = options
        self._lock = threading.Lock()
        self.is_closed = False
        # The first one is made here, so that options that cannot be had fail at once.
        self._idle = [self._make()]
        self.n_ctx = self._idle[0].n_ctx_seq

    def take(self) -> Context:
        with self._lock:
            if self.is_closed:
                raise EngineClosedError("the LLM is closed; make a new one")
            if self._idle:
                return self._idle.pop()
        return self._make()

    def _make(self) -> Context:
        options = self._options
        return Context(
            self._model,
            n_ctx=None if options.n_ctx == "auto" else int(options.n_ctx),
            n_batch=options.prefill_chunk,
            n_ubatch=options.prefill_chunk,
            n_threads=options.n_threads,
            flash_attention=options.flash_attention,
            kv_type_k=options.kv_type_k,
            kv_type_v=options.kv_type_v,
        )

    def give_back(self, context: Context) -> None:
        with self._lock:
            if not self.is_closed:
                self._idle.append(context)
                return
        context.close()

    def close(self) -> None:
        with self._lock:
            self.is_closed = True
            idle, self._idle = self._idle, []
        for context in idle:
            context.close()


class TextStream:
    """A request that is being generated: iterate over it for chunks, or ask for its ``result()``. One consumer."""

    def __init__(self, model: Model, contexts: _ContextPool, request: Request) -> None:
        self._model = model
        self._contexts = contexts
        self._request = request
        self._progress = Progress()
        self._chunks = self._run()
        self._error: Exception | None = None

    @property
    def request_id(self) -> str:
        """The request's name."""
        return self._request.request_id

    def cancel(self) -> None:
        """End the request at its next step with ``finish_reason="cancelled"``. Any thread; again does nothing."""
        self._request.is_cancelled = True

    def result(self) -> Completion:
        """Generate what is left and return everything, chunks that were read before included."""
        if self._error is not None:
            raise self._error
        for _ in self:
            pass
        progress = self._progress
        return Completion(
            request_id=self._request.request_id,
            model=os.path.basename(self._model.path),
            choices=tuple(progress.choices),
            usage=Usage(len(self._request.tokens), progress.n_completion),
            timings=Timings(progress.prefill_s, progress.first_token_s, time.monotonic() - progress.started),
        )

    def close(self) -> None:
        """Stop without a result and free the request's context; done by leaving a ``with`` block and by collection."""
        self._chunks.close()

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        return next(self._chunks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> Generator[Chunk, None, None]:
        context = self._contexts.take()
        self._progress.started = time.monotonic()
        try:
            for chunk in generate_chunks(self._model, context, self._request, self._progress):
                if self._contexts.is_closed:
                    raise EngineClosedError("the LLM was closed", partial="".join(self._progress.text))
                yield chunk
        except Exception as error:
            self._error = error
            raise
        finally:
            self._contexts.give_back(context)
