"""``LLM``: the synchronous face of an engine."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

from inllama._core import Model
from inllama.chat_assembly import chat_completion
from inllama.chat_format import ChatPrompt
from inllama.chat_outputs import ChatCompletion
from inllama.chat_request import ChatCall
from inllama.chat_stream import ChatStream
from inllama.engine import Engine
from inllama.messages import Messages
from inllama.outputs import Completion, TokenLogprob
from inllama.params import SamplingParams
from inllama.request import Prepared, Prompt, Template, is_one
from inllama.rows import (
    Row,
    RowSource,
    check_on_error,
    check_rows,
    checked_window,
    complete_each,
    indexed,
    result_of,
)
from inllama.scoring import infill_tokens, scoring_request
from inllama.stats import Stats
from inllama.stream import TextStream
from inllama.vector_face import VectorFace

T = TypeVar("T")


class LLM(VectorFace):
    """Generates text with one model.

    Any thread may use it. Requests that run at the same time, of all threads, are computed together.

    Args:
        model: A path, ``hf:owner/repo:QUANT`` of the Hugging Face Hub (see ``pull``), ``"demo"`` for the small model
            inside the package, a loaded ``Model`` or an ``Engine``; the last two are not closed with the ``LLM``.
        **options: Those of ``Engine``, unless one is given: ``progress``, and fields of ``EngineOptions`` and
            ``ModelOptions``.

    Raises:
        ModelLoadError: The file cannot be loaded, or ``progress`` stopped it.
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
            QueueFullError: With ``wait=False``: the engine has no room.
        """
        raises = check_on_error(on_error, "return")
        if is_one(prompt):
            template = Template(self._engine, params, options, is_streaming=False)
            return TextStream(self._engine, template.prepare(prompt)).result()  # type: ignore[arg-type]
        source = RowSource(self._engine, params, options)
        requests: list[Prepared | Exception] = []
        for index, one in enumerate(prompt):
            request = source.prepare(one)  # type: ignore[arg-type]
            if raises and isinstance(request, Exception):
                raise indexed(request, index)
            requests.append(request)
        rows: list[Any] = [None] * len(requests)
        ended = complete_each(self._engine, iter(requests), window=max(len(requests), 1), ordered=False)
        try:
            for index, reception in ended:
                rows[index] = result_of(index, reception, raises=raises)
        finally:
            ended.close()
        return rows

    def stream(self, prompt: Prompt, params: SamplingParams | None = None, **options: Any) -> TextStream:
        """Start generating the model's continuation of ``prompt``; arguments and errors as ``generate``.

        Args:
            prompt: A text or token ids.
            params: Sampling options; a keyword overrides its field.
            **options: Fields of ``SamplingParams`` and ``RequestOptions``.
        """
        template = Template(self._engine, params, options, is_streaming=True)
        return TextStream(self._engine, template.prepare(prompt))

    @overload
    def chat(
        self, messages: Messages, params: SamplingParams | None = None, *, output: type[T], **options: Any
    ) -> ChatCompletion[T]: ...

    @overload
    def chat(self, messages: Messages, params: SamplingParams | None = None, **options: Any) -> ChatCompletion[Any]: ...

    def chat(self, messages: Messages, params: SamplingParams | None = None, **options: Any) -> ChatCompletion[Any]:
        """Return the model's answer to ``messages``.

        Args:
            messages: A text, which is the user's, or messages: mappings with ``role`` and ``content``, or the
                ``message`` of an earlier answer.
            params: Sampling options; a keyword overrides its field.
            **options: Fields of ``SamplingParams``, ``RequestOptions`` and ``ChatOptions``: among them ``tools``,
                ``reasoning``, and ``output``, a type whose instance the answer becomes as ``.parsed``.

        Raises:
            GrammarError: A structure that cannot be enforced, or a call that the tools do not allow.
            IncompleteOutputError: With ``output``: the answer ended before it was complete; ``.completion`` has it.
            InvalidRequestError: A message or an option is not what it should be.
            TemplateError: The model's template refuses the messages.
            UnsupportedError: The model has no chat template, or cannot do what was asked for.
        """
        request = ChatCall(self._engine, params, options, is_streaming=False).prepare(messages)
        return chat_completion(request, TextStream(self._engine, request.request).result())

    @overload
    def stream_chat(
        self,
        messages: Messages,
        params: SamplingParams | None = None,
        *,
        output: type[T],
        **options: Any,
    ) -> ChatStream[T]: ...

    @overload
    def stream_chat(
        self, messages: Messages, params: SamplingParams | None = None, **options: Any
    ) -> ChatStream[Any]: ...

    def stream_chat(self, messages: Messages, params: SamplingParams | None = None, **options: Any) -> ChatStream[Any]:
        """Start generating the model's answer to ``messages``; arguments and errors as ``chat``.

        Iterating gives ``TextDelta``, ``ReasoningDelta``, ``ToolCallDelta`` and, for each output, ``Finished``.
        """
        request = ChatCall(self._engine, params, options, is_streaming=True).prepare(messages)
        return ChatStream(self._engine, request)

    def render_chat(self, messages: Messages, **options: Any) -> ChatPrompt:
        """Return the prompt that ``chat`` would make of ``messages``, with ``text`` and ``token_ids``."""
        return ChatCall(self._engine, None, options, is_streaming=False).render(messages)

    def infill(self, prefix: str, suffix: str, params: SamplingParams | None = None, **options: Any) -> Completion:
        """Return what stands between two texts; options and errors as ``generate``.

        Raises:
            UnsupportedError: The model was not trained for that.
        """
        return self.generate(infill_tokens(self.model.tokenizer, prefix, suffix), params, **options)

    def token_logprobs(
        self, prompt: Prompt, continuation: Prompt, *, top_logprobs: int = 0, **options: Any
    ) -> tuple[TokenLogprob, ...]:
        """Return how likely the model finds each token of ``continuation`` after ``prompt``; nothing is generated.

        Args:
            prompt: A text or token ids.
            continuation: A text or token ids. Two texts are tokenized together.
            top_logprobs: So many likeliest tokens are reported at each place.
            **options: Fields of ``RequestOptions``.

        Raises:
            InvalidRequestError: The continuation has no tokens, or nothing is before it.
        """
        request = scoring_request(self._engine, prompt, continuation, top_logprobs, options)
        return TextStream(self._engine, request).result().logprobs or ()

    @overload
    def map(
        self,
        requests: Iterable[Row],
        params: SamplingParams | None = None,
        *,
        ordered: bool = True,
        window: int | None = None,
        on_error: Literal["raise"] = "raise",
        **options: Any,
    ) -> Generator[Completion, None, None]: ...

    @overload
    def map(
        self,
        requests: Iterable[Row],
        params: SamplingParams | None = None,
        *,
        ordered: bool = True,
        window: int | None = None,
        on_error: Literal["yield"],
        **options: Any,
    ) -> Generator[Completion | Exception, None, None]: ...

    def map(
        self,
        requests: Iterable[Row],
        params: SamplingParams | None = None,
        *,
        ordered: bool = True,
        window: int | None = None,
        on_error: Literal["raise", "yield"] = "raise",
        **options: Any,
    ) -> Generator[Completion, None, None] | Generator[Completion | Exception, None, None]:
        """Generate for any number of prompts in flat memory: the next ones are read as others end.

        Args:
            requests: Prompts, or mappings with a ``prompt`` and options of that row.
            params: Sampling options of all rows; a keyword overrides its field.
            ordered: Give results in the order of the requests; otherwise as they end.
            window: Rows that are computed or wait to be read, at most; by default four times ``max_running``.
            on_error: Raise the first error, with ``.index``, or yield errors in their places.
            **options: Fields of ``SamplingParams`` and ``RequestOptions``.
        """
        raises = check_on_error(on_error, "yield")
        check_rows(requests, Iterable)
        source = RowSource(self._engine, params, options, is_timed_by_row=True)
        limit = checked_window(self._engine, window)
        return self._map(source, requests, limit, ordered, raises)

    def _map(
        self, source: RowSource, requests: Iterable[Row], window: int, ordered: bool, raises: bool
    ) -> Generator[Completion | Exception, None, None]:
        ended = complete_each(self._engine, (source.prepare(row) for row in requests), window=window, ordered=ordered)
        try:
            for index, reception in ended:
                yield result_of(index, reception, raises=raises)
        finally:
            ended.close()

    def stats(self) -> Stats:
        """Return what the engine has done and is doing."""
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
        return f"LLM({self._engine.model_name!r}{', closed' if self._engine.closed else ''})"
