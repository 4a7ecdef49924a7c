"""``AsyncLLM``: the asynchronous face of an engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

from inllama._core import Model
from inllama.async_chat_stream import AsyncChatStream
from inllama.async_rows import complete_each_async
from inllama.async_stream import AsyncTextStream
from inllama.async_vector_face import AsyncVectorFace
from inllama.chat_format import ChatPrompt
from inllama.chat_outputs import ChatCompletion
from inllama.chat_request import ChatCall, ChatRequest
from inllama.engine import Engine
from inllama.late_engine import LateEngine
from inllama.messages import Messages
from inllama.model import Progress
from inllama.off_loop import off_loop
from inllama.outputs import Completion, TokenLogprob
from inllama.params import STRUCTURES, SamplingParams
from inllama.request import Prepared, Prompt, Template, is_one
from inllama.rows import Row, RowSource, check_on_error, check_rows, checked_window, indexed, result_of
from inllama.scoring import infill_tokens, scoring_request
from inllama.stats import Stats

_T = TypeVar("_T")

# Characters or tokens of a prompt that is prepared on another thread: it would hold up the loop for a millisecond.
_LONG = 1 << 12


class AsyncLLM(AsyncVectorFace):
    """Generates text with one model, for any number of tasks and event loops.

    Making one only checks the arguments. The model is loaded on another thread by ``async with`` or the first call;
    ``aclose()`` stops that.

    Args:
        model: A path, ``hf:owner/repo:QUANT`` of the Hugging Face Hub (see ``pull``), ``"demo"`` for the small model
            inside the package, a loaded ``Model`` or an ``Engine``; the last two are not closed with the ``AsyncLLM``.
        progress: Called with 0.0 to 1.0 on that thread while a file is loaded; ``False`` or an exception stops it.
        **options: Fields of ``EngineOptions`` and ``ModelOptions``, unless an engine is given.

    Raises:
        InvalidRequestError: An option has a value that is not possible.
        TypeError: An option that does not exist.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model | Engine = "demo",
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> None:
        self._late = LateEngine(model, progress, options)

    @property
    def engine(self) -> Engine:
        """What computes the requests; raises ``RuntimeError`` before the model is loaded."""
        if self._late.engine is None:
            raise RuntimeError("the model is not loaded yet; use 'async with' or await a call first")
        return self._late.engine

    async def start(self) -> Engine:
        """Load the model on another thread, unless that is done, and return the engine.

        Raises:
            ModelLoadError: The file cannot be loaded.
            EngineClosedError: ``aclose()`` was called.
        """
        return self.engine if self._late.is_ready else await off_loop(self._late.load)

    @overload
    async def generate(
        self, prompt: str, params: SamplingParams | None = None, *, on_error: Literal["raise"] = "raise", **options: Any
    ) -> Completion: ...

    @overload
    async def generate(
        self,
        prompt: Sequence[int],
        params: SamplingParams | None = None,
        *,
        on_error: Literal["raise"] = "raise",
        **options: Any,
    ) -> Completion: ...

    @overload
    async def generate(
        self,
        prompt: Sequence[str] | Sequence[Sequence[int]],
        params: SamplingParams | None = None,
        *,
        on_error: Literal["raise"] = "raise",
        **options: Any,
    ) -> list[Completion]: ...

    @overload
    async def generate(
        self,
        prompt: Sequence[str] | Sequence[Sequence[int]],
        params: SamplingParams | None = None,
        *,
        on_error: Literal["return"],
        **options: Any,
    ) -> list[Completion | Exception]: ...

    async def generate(
        self,
        prompt: Prompt | Sequence[Prompt],
        params: SamplingParams | None = None,
        *,
        on_error: Literal["raise", "return"] = "raise",
        **options: Any,
    ) -> Completion | list[Completion] | list[Completion | Exception]:
        """Return the model's continuation of ``prompt``; arguments and errors as ``LLM.generate``.

        Cancelling the task that awaits it ends the request within one step.
        """
        raises = check_on_error(on_error, "return")
        if is_one(prompt):
            return await self._start(prompt, params, options, is_streaming=False).result()  # type: ignore[arg-type]
        engine = await self.start()
        source = await _made(lambda: RowSource(engine, params, options), params, options)
        requests: list[Prepared | Exception] = []
        for index, one in enumerate(prompt):
            request = await _off_loop(source.prepare, one, options)  # type: ignore[arg-type]
            await asyncio.sleep(0)  # others use the loop between two prompts
            if raises and isinstance(request, Exception):
                raise indexed(request, index)
            requests.append(request)
        rows: list[Any] = [None] * len(requests)
        window = max(len(requests), 1)
        async with aclosing(complete_each_async(engine, requests, _as_it_is, window=window, ordered=False)) as ended:
            async for index, reception in ended:
                rows[index] = result_of(index, reception, raises=raises)
        return rows

    def stream(self, prompt: Prompt, params: SamplingParams | None = None, **options: Any) -> AsyncTextStream:
        """Return a stream of the model's continuation of ``prompt``, which starts when it is first read.

        Args:
            prompt: A text or token ids.
            params: Sampling options; a keyword overrides its field.
            **options: Fields of ``SamplingParams`` and ``RequestOptions``.
        """
        return self._start(prompt, params, options, is_streaming=True)

    def _start(
        self, prompt: Prompt, params: SamplingParams | None, options: dict[str, Any], *, is_streaming: bool
    ) -> AsyncTextStream:
        async def prepare() -> tuple[Engine, Prepared]:
            engine = await self.start()
            template = await _made(
                lambda: Template(engine, params, options, is_streaming=is_streaming), params, options
            )
            return engine, await _off_loop(template.prepare, prompt, options)

        return AsyncTextStream(prepare)

    @overload
    def map(
        self,
        requests: Iterable[Row] | AsyncIterable[Row],
        params: SamplingParams | None = None,
        *,
        ordered: bool = True,
        window: int | None = None,
        on_error: Literal["raise"] = "raise",
        **options: Any,
    ) -> AsyncGenerator[Completion, None]: ...

    @overload
    def map(
        self,
        requests: Iterable[Row] | AsyncIterable[Row],
        params: SamplingParams | None = None,
        *,
        ordered: bool = True,
        window: int | None = None,
        on_error: Literal["yield"],
        **options: Any,
    ) -> AsyncGenerator[Completion | Exception, None]: ...

    def map(
        self,
        requests: Iterable[Row] | AsyncIterable[Row],
        params: SamplingParams | None = None,
        *,
        ordered: bool = True,
        window: int | None = None,
        on_error: Literal["raise", "yield"] = "raise",
        **options: Any,
    ) -> AsyncGenerator[Completion, None] | AsyncGenerator[Completion | Exception, None]:
        """Generate for any number of prompts in flat memory; arguments as ``LLM.map``.

        ``requests`` may be an asynchronous iterable: results come while the next row is awaited.
        """
        raises = check_on_error(on_error, "yield")
        check_rows(requests, (Iterable, AsyncIterable))
        return self._map(requests, params, options, window, ordered, raises)

    async def _map(
        self,
        requests: Iterable[Row] | AsyncIterable[Row],
        params: SamplingParams | None,
        options: dict[str, Any],
        window: int | None,
        ordered: bool,
        raises: bool,
    ) -> AsyncGenerator[Completion | Exception, None]:
        engine = await self.start()
        source = await _made(lambda: RowSource(engine, params, options, is_timed_by_row=True), params, options)
        limit = checked_window(engine, window)

        async def prepare(row: Row) -> Prepared | Exception:
            return await _off_loop(source.prepare, row, options)

        async with aclosing(complete_each_async(engine, requests, prepare, window=limit, ordered=ordered)) as ended:
            async for index, reception in ended:
                yield result_of(index, reception, raises=raises)

    @overload
    async def chat(
        self, messages: Messages, params: SamplingParams | None = None, *, output: type[_T], **options: Any
    ) -> ChatCompletion[_T]: ...

    @overload
    async def chat(
        self, messages: Messages, params: SamplingParams | None = None, **options: Any
    ) -> ChatCompletion[Any]: ...

    async def chat(
        self, messages: Messages, params: SamplingParams | None = None, **options: Any
    ) -> ChatCompletion[Any]:
        """Return the model's answer to ``messages``; arguments and errors as ``LLM.chat``.

        Cancelling the task that awaits it ends the request within one step.
        """
        return await self._start_chat(messages, params, options, is_streaming=False).result()

    @overload
    def stream_chat(
        self,
        messages: Messages,
        params: SamplingParams | None = None,
        *,
        output: type[_T],
        **options: Any,
    ) -> AsyncChatStream[_T]: ...

    @overload
    def stream_chat(
        self, messages: Messages, params: SamplingParams | None = None, **options: Any
    ) -> AsyncChatStream[Any]: ...

    def stream_chat(
        self, messages: Messages, params: SamplingParams | None = None, **options: Any
    ) -> AsyncChatStream[Any]:
        """Return a stream of the model's answer to ``messages``, which starts when it is first read.

        Arguments and events as ``LLM.stream_chat``.
        """
        return self._start_chat(messages, params, options, is_streaming=True)

    def _start_chat(
        self,
        messages: Messages,
        params: SamplingParams | None,
        options: dict[str, Any],
        *,
        is_streaming: bool,
    ) -> AsyncChatStream[Any]:
        async def prepare() -> tuple[Engine, ChatRequest]:
            engine = await self.start()
            # Templates, grammars and schemas take milliseconds, which other tasks need not wait for.
            return engine, await off_loop(
                lambda: ChatCall(engine, params, options, is_streaming=is_streaming).prepare(messages)
            )

        return AsyncChatStream(prepare)

    async def render_chat(self, messages: Messages, **options: Any) -> ChatPrompt:
        """Return the prompt that ``chat`` would make of ``messages``, with ``text`` and ``token_ids``."""
        engine = await self.start()
        return await off_loop(lambda: ChatCall(engine, None, options, is_streaming=False).render(messages))

    async def infill(
        self, prefix: str, suffix: str, params: SamplingParams | None = None, **options: Any
    ) -> Completion:
        """Return what stands between two texts; arguments and errors as ``LLM.infill``."""
        engine = await self.start()
        return await self.generate(infill_tokens(engine.model.tokenizer, prefix, suffix), params, **options)

    async def token_logprobs(
        self, prompt: Prompt, continuation: Prompt, *, top_logprobs: int = 0, **options: Any
    ) -> tuple[TokenLogprob, ...]:
        """Return how likely the model finds each token of ``continuation``; arguments as ``LLM.token_logprobs``."""

        async def prepare() -> tuple[Engine, Prepared]:
            engine = await self.start()
            return engine, await off_loop(lambda: scoring_request(engine, prompt, continuation, top_logprobs, options))

        return (await AsyncTextStream(prepare).result()).logprobs or ()

    def stats(self) -> Stats:
        """Return what the engine has done and is doing."""
        return self.engine.stats()

    async def aclose(self) -> None:
        """End all requests and free the engine, unless it was given; open streams fail with ``EngineClosedError``."""
        self._late.is_closed = True
        if self._late.is_owned:
            await off_loop(self._late.close)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncLLM({self._late.engine or self._late.model!r}{', closed' if self._late.is_closed else ''})"


async def _as_it_is(request: Prepared | Exception) -> Prepared | Exception:
    return request


async def _made(make: Callable[[], _T], params: object, options: Mapping[str, Any]) -> _T:
    # A structure is compiled, which takes milliseconds.
    is_slow = _has_structure(options) or (isinstance(params, SamplingParams) and params.structure is not None)
    return await off_loop(make) if is_slow else make()


def _has_structure(options: Mapping[str, Any]) -> bool:
    return any(options.get(name) is not None for name in (*STRUCTURES, "output"))


async def _off_loop(prepare: Callable[[Any], _T], row: Row, options: Mapping[str, Any]) -> _T:
    asked = {**options, **row} if isinstance(row, Mapping) else {**options, "prompt": row}
    # The first reproducible request makes a context of its own.
    is_compiled = isinstance(row, Mapping) and _has_structure(asked)
    if is_compiled or asked.get("reproducible") or _is_long(asked.get("prompt")):
        return await off_loop(lambda: prepare(row))
    return prepare(row)


def _is_long(prompt: Any) -> bool:
    try:
        return len(prompt) >= _LONG
    except TypeError:
        return False  # which it is told later
