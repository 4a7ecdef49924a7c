"""From the arguments of a call to a request that an engine takes."""

from __future__ import annotations

import time
import uuid
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import inllama._core as _core
from inllama.errors import DeadlineError, InvalidRequestError
from inllama.options import split_keywords
from inllama.output_types import OutputType
from inllama.params import STRUCTURES, RequestOptions, SamplingParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Prompt: TypeAlias = str | Sequence[int]
LogitsProcessor: TypeAlias = "Callable[[Sequence[int], NDArray[np.float32]], NDArray[np.float32] | None]"


@dataclass(slots=True)
class Prepared:
    """A request as the native engine takes it.

    Attributes:
        request_id: Its name.
        tokens: The prompt, ``(n_prompt,)``.
        fields: Options of the sampler chain.
        seeds: One per output.
        limits: What ends an output, and everything else that the engine decides by.
        stops: Texts that end an output.
        is_reproducible: Whether nothing else may run with it.
        processors: Called with each row of logits, in this order.
        output: What the text of an output is turned into.
        waits: Whether it waits while the queue is full.
        deadline: When it fails, by ``time.monotonic()``; preparing it and waiting for room count.
        started: When the call began, by the same clock.
        spent_s: Of that time, what went by before it was handed over.
        failure: What Python code raised; the request ends with it, if it fails for that.
    """

    request_id: str
    tokens: Sequence[int]
    fields: dict[str, object]
    seeds: list[int]
    limits: dict[str, object]
    stops: tuple[str, ...]
    is_reproducible: bool
    processors: tuple[LogitsProcessor, ...] = ()
    output: OutputType[Any] | None = None
    waits: bool = True
    deadline: float | None = None
    started: float = 0.0
    spent_s: float = 0.0
    failure: Exception | None = None

    def current_limits(self) -> dict[str, object]:
        """Return ``limits`` with the time that is left.

        Raises:
            DeadlineError: None is left: it went by while the request waited for room.
        """
        if self.deadline is None:
            return self.limits
        self.check_time("there was room for it; give a larger timeout_s or max_queue")
        now = time.monotonic()
        self.spent_s = now - self.started
        return {**self.limits, "timeout_s": max(self.deadline - now, 0.0)}

    def check_time(self, problem: str) -> None:
        """Raise ``DeadlineError`` if no time is left; ``problem`` is before what, and what to do."""
        now = time.monotonic()
        if self.deadline is not None and self.deadline <= now:
            elapsed = now - self.started
            raise DeadlineError(
                f"the request's time was over after {elapsed:.3f} s, before {problem}",
                elapsed_s=elapsed,
                completion_tokens=0,
                partial="",
            )

    def timed(self, error: DeadlineError) -> DeadlineError:
        """Return an error of the engine's, which counts from when it was given the request, for the whole call."""
        elapsed, n_tokens = self.spent_s + error.elapsed_s, error.completion_tokens
        return DeadlineError(
            f"the request's time was over after {elapsed:.3f} s and {n_tokens} tokens; give a larger timeout_s",
            **{**error.fields, "elapsed_s": elapsed},
        )


class Preparing(Protocol):
    """What an engine tells about itself for that."""

    @property
    def default_params(self) -> SamplingParams:
        """Options of a request that sets none."""

    def encode(self, text: str, *, parse_special: bool = False, add_special: bool = True) -> list[int]:
        """Return the tokens of a prompt, or of a part of one."""

    def check_usable(self) -> None:
        """Raise ``EngineClosedError`` once closed, ``ForkedEngineError`` in a child process."""

    def structure(self, kind: str, source: Any) -> _core.Structure:
        """Return what an option such as ``json_schema`` asks of an output, compiled."""

    def scaled_adapters(self, asked: Mapping[str, float]) -> list[tuple[Any, float]]:
        """Return the adapters that a request asks for, with their scales."""

    def make_ready(self, request: Prepared) -> None:
        """Make what the request needs, if it is the first of its kind; that may take a while."""


class Template:
    """The checked options of a call, for any number of prompts.

    Args:
        engine: What will compute them.
        params: Sampling options.
        options: Fields of ``SamplingParams``, which override those of ``params``, and of ``RequestOptions``.
        is_streaming: Whether outputs come piece by piece; otherwise whole.
        compiles: Whether a structure is compiled here; otherwise ``prepare_tokens`` is given it.

    The time of ``timeout_s`` begins with it.

    Raises:
        EngineClosedError: ``close()`` was called.
        ForkedEngineError: The engine belongs to the parent process.
        InvalidRequestError: An option has a value that is not possible.
        GrammarError: A structure that cannot be enforced.
        TypeError: An option that does not exist.
    """

    def __init__(
        self,
        engine: Preparing,
        params: SamplingParams | None,
        options: Mapping[str, Any],
        *,
        is_streaming: bool,
        compiles: bool = True,
    ) -> None:
        self._started = time.monotonic()
        engine.check_usable()
        if params is not None and not isinstance(params, SamplingParams):
            raise TypeError(f"params must be SamplingParams, not {type(params).__name__}; give options as keywords")
        sampling, asked = split_keywords(options, SamplingParams, RequestOptions)
        self._engine = engine
        self._request = request = RequestOptions.from_keywords(asked)
        full = (params or SamplingParams()).updated(sampling).over(engine.default_params)
        self._seed = full.seed
        self.stops = full.stop or ()
        self.output = None if request.output is None else OutputType.of(request.output)
        self.asked = self._asked(full)
        structure = engine.structure(*self.asked) if compiles and self.asked is not None else None
        self._limits: dict[str, object] = {
            "max_tokens": full.max_tokens,
            "min_tokens": full.min_tokens or 0,
            "stop": list(self.stops),
            "stop_token_ids": list(full.stop_token_ids or ()),
            "timeout_s": None,
            "priority": request.priority,
            "cache_salt": request.cache_salt,
            "adapters": engine.scaled_adapters(request.adapters) if request.adapters else [],
            "logprobs": request.n_logprobs,
            "is_streaming": is_streaming,
            "spelled_token_ids": [],
            "n_scored": 0,
            "reasoning": None,
            "structure": structure,
            "structure_start": None,
        }
        apart = {*self._limits, *STRUCTURES, "seed"}
        self._fields = {key: value for key, value in full.to_dict().items() if key not in apart}

    def _asked(self, params: SamplingParams) -> tuple[str, Any] | None:
        """Return kind and source of the structure."""
        asked = params.structure
        if self.output is None:
            return asked
        if asked is not None:
            raise InvalidRequestError(f"output and {asked[0]} are both given; give one of them", option="output")
        if params.ignore_eos:
            raise InvalidRequestError("output and ignore_eos exclude each other", option="ignore_eos")
        return "json_schema", self.output.schema

    def prepare(self, prompt: Prompt, *, started: float | None = None) -> Prepared:
        """Return the request for one prompt.

        Args:
            prompt: A text or token ids.
            started: When its time begins, by ``time.monotonic()``, if not with the call.

        Raises:
            DeadlineError: ``timeout_s`` is over already.
            InvalidRequestError: The prompt is empty, or holds a token that does not exist.
            TypeError: It is no text and no token ids.
        """
        return self.prepare_tokens(self.tokens(prompt), {}, "cmpl", started=started)

    def prepare_tokens(
        self, tokens: Sequence[int], limits: Mapping[str, object], kind: str, *, started: float | None = None
    ) -> Prepared:
        """Return the request for a prompt that is tokens already.

        Args:
            tokens: The prompt.
            limits: What differs for this prompt from ``Prepared.limits``.
            kind: What a name that is made up begins with.
            started: As of ``prepare``.

        Raises:
            DeadlineError: ``timeout_s`` is over already.
        """
        request = self._request
        first = _core.random_seed() if self._seed is None else self._seed
        merged = {**self._limits, **limits} if limits else self._limits
        prepared = Prepared(
            request_id=request.request_id or f"{kind}-{uuid.uuid4().hex}",
            tokens=tokens,
            fields=self._fields,
            seeds=[(first + i) % (2**32 - 1) for i in range(request.n)],
            limits=merged,
            stops=tuple(cast("list[str]", merged["stop"])),
            is_reproducible=request.reproducible,
            processors=request.logits_processors,
            output=self.output,
            waits=request.wait,
        )
        if request.timeout_s is not None:
            prepared.started = self._started if started is None else started
            prepared.deadline = prepared.started + request.timeout_s
        self._engine.make_ready(prepared)
        prepared.check_time("it was prepared: prompt and structure take that long; give a larger timeout_s")
        return prepared

    def tokens(self, prompt: Prompt) -> Sequence[int]:
        """Return the tokens of a prompt; raises as ``prepare``."""
        if isinstance(prompt, str):
            tokens = array("i", self._engine.encode(prompt, parse_special=self._request.parse_special))
        else:
            _check_type(prompt, "text or token ids")
            tokens = array("i", map(_token, prompt))
        if not tokens:
            raise InvalidRequestError("the prompt has no tokens; give it some text")
        return tokens


def is_one(prompt: object) -> bool:
    """Whether ``prompt`` is one prompt and not a list of them."""
    if isinstance(prompt, str):
        return True
    _check_type(prompt, "text, token ids or a list of those")
    if len(prompt) == 0:  # type: ignore[arg-type]
        return False
    first = prompt[0]  # type: ignore[index]
    return hasattr(first, "__index__") and not hasattr(first, "__len__")  # an array has both


def _check_type(prompt: object, kinds: str) -> None:
    if isinstance(prompt, (bytes, bytearray, memoryview)):
        raise TypeError(f"prompt must be text or token ids, not {type(prompt).__name__}; decode it first")
    if not isinstance(prompt, Sequence) and not hasattr(prompt, "__array__"):
        raise TypeError(f"prompt must be {kinds}, not {type(prompt).__name__}")


def _token(token: Any) -> int:
    if isinstance(token, bool) or not hasattr(token, "__index__"):
        raise TypeError(f"a prompt of token ids must hold integers, not {type(token).__name__}")
    number: int = token.__index__()
    if not 0 <= number < 2**31:
        raise InvalidRequestError(f"token {number} is not in the vocabulary", token=number)
    return number
