"""Generates one request over one sequence of a context: prefill, then a token at a time."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from inllama._core import Batch, Context, Model, Sampler, StopMatcher, make_sampler
from inllama.errors import ContextFullError, DeadlineError, InllamaError
from inllama.outputs import Choice, Chunk, FinishReason
from inllama.params import SamplingParams


@dataclass(slots=True)
class Request:
    """A request in the form that it is computed in.

    Attributes:
        request_id: Its name.
        tokens: The prompt, ``(n_prompt,)``.
        params: All sampling options, none unset but those without a default.
        seeds: One per output.
        deadline: Of ``time.monotonic``, if it has one.
    """

    request_id: str
    tokens: list[int]
    params: SamplingParams
    seeds: list[int]
    deadline: float | None = None
    is_cancelled: bool = False


@dataclass(slots=True)
class Progress:
    """What a generation has done so far."""

    started: float = field(default_factory=time.monotonic)
    prefill_s: float = 0.0
    first_token_s: float = 0.0
    n_completion: int = 0
    choices: list[Choice] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)


def check_fits(request: Request, n_ctx: int) -> None:
    """Raise ``ContextFullError`` if the prompt leaves no room for one token."""
    n_prompt = len(request.tokens)
    if n_prompt + 1 > n_ctx:
        raise ContextFullError(
            f"prompt has {n_prompt} tokens but n_ctx is {n_ctx}, one of them for the output; "
            "shorten it or use a larger n_ctx",
            n_prompt=n_prompt,
            n_ctx=n_ctx,
        )


def generate_chunks(model: Model, context: Context, request: Request, progress: Progress) -> Iterator[Chunk]:
    """Yield the chunks of every output of ``request``, one output after the other.

    Every output ends with a chunk that has a finish reason. A failure carries what was generated as ``.partial``.
    """
    try:
        for index, seed in enumerate(request.seeds):
            yield from _generate_choice(model, context, request, progress, index, seed)
    except InllamaError as error:
        error.fields.setdefault("partial", "".join(progress.text))
        raise


def _generate_choice(
    model: Model, context: Context, request: Request, progress: Progress, index: int, seed: int
) -> Iterator[Chunk]:
    sampler = make_sampler(model, _native_fields(request.params), seed)
    sampler.accept_prompt(request.tokens)
    output = _Output(model, request.params, index)
    progress.text, progress.token_ids = [], []
    finish: FinishReason = "cancelled"
    stop: str | int | None = None
    if _prefill(model, context, request, progress):
        finish, stop = yield from _decode(model, context, sampler, request, progress, output)
    last = _noted(progress, output.last(finish, stop))
    choice = Choice(index, "".join(progress.text), tuple(progress.token_ids), finish, last.stop, seed)
    progress.choices.append(choice)
    yield last


def _noted(progress: Progress, chunk: Chunk) -> Chunk:
    progress.text.append(chunk.text)
    progress.token_ids.extend(chunk.token_ids)
    return chunk


class _Output:
    """Text of the tokens of one output, with stop strings cut off."""

    def __init__(self, model: Model, params: SamplingParams, index: int) -> None:
        self._index = index
        self._stops = params.stop or ()
        self._decoder = model.tokenizer.decoder()
        self._matcher = StopMatcher(list(self._stops)) if self._stops else None
        self._pending: list[int] = []

    def push(self, token: int) -> tuple[Chunk | None, str | None]:
        """Return the chunk that ``token`` completes, if any, and the stop string that matched."""
        self._pending.append(token)
        text = self._decoder.push(token)
        found = None
        if self._matcher is not None:
            text, found = self._matcher.push(text)
        stop = None if found is None else self._stops[found]
        return (Chunk(text, self._take_tokens(), self._index) if text else None), stop

    def last(self, finish: FinishReason, stop: str | int | None) -> Chunk:
        """Return the last chunk, with the text held back unless a stop string matched."""
        text = ""
        if not isinstance(stop, str):
            text = self._decoder.flush()
            if self._matcher is not None:
                text, found = self._matcher.push(text)
                text += self._matcher.flush()
                stop, finish = (stop, finish) if found is None else (self._stops[found], "stop")
        return Chunk(text, self._take_tokens(), self._index, finish, stop)

    def _take_tokens(self) -> tuple[int, ...]:
        taken = tuple(self._pending)
        self._pending.clear()
        return taken


def _prefill(model: Model, context: Context, request: Request, progress: Progress) -> bool:
    """Compute the prompt; ``False`` if the request was cancelled meanwhile."""
    started = time.monotonic()
    context.memory.clear()
    tokens = request.tokens
    if model.has_encoder:
        context.encode(Batch(tokens))
        start = model.decoder_start_token
        tokens = [model.tokenizer.bos if start is None else start]  # type: ignore[list-item]
    step = context.n_ubatch
    for begin in range(0, len(tokens), step):
        if _is_over(request, progress):
            return False
        is_last = begin + step >= len(tokens)
        context.decode(Batch(tokens[begin : begin + step], outputs="last" if is_last else "none"))
    progress.prefill_s += time.monotonic() - started
    return True


def _decode(
    model: Model, context: Context, sampler: Sampler, request: Request, progress: Progress, output: _Output
) -> Generator[Chunk, None, tuple[FinishReason, str | int | None]]:
    """Yield a chunk for every step that completes some text; return why the output ended and what stopped it."""
    params = request.params
    ends = frozenset(model.tokenizer.end_tokens.tolist())
    stop_tokens = frozenset(params.stop_token_ids or ())
    n_prompt = 1 if model.has_encoder else len(request.tokens)
    room = context.n_ctx_seq - n_prompt
    limit = room if params.max_tokens is None else min(params.max_tokens, room)
    batch = Batch()
    for n_tokens in range(1, limit + 1):
        if _is_over(request, progress):
            return "cancelled", None
        token = sampler.sample(context)
        if progress.first_token_s == 0.0:
            progress.first_token_s = time.monotonic() - progress.started
        if token in stop_tokens:
            return "stop", token
        if token in ends:
            return "stop", None
        progress.n_completion += 1
        chunk, stop = output.push(token)
        if chunk is not None:
            yield _noted(progress, chunk)
        if stop is not None:
            return "stop", stop
        if n_tokens < limit:
            batch.clear()
            batch.add((token,))
            context.decode(batch)
    return "length", None


def _is_over(request: Request, progress: Progress) -> bool:
    """Whether the request was cancelled; raises ``DeadlineError`` if its time is over."""
    if request.deadline is not None and time.monotonic() >= request.deadline:
        elapsed = time.monotonic() - progress.started
        raise DeadlineError(
            f"the request's time was over after {elapsed:.3f} s and {progress.n_completion} tokens; "
            "give a larger timeout_s",
            elapsed_s=elapsed,
            completion_tokens=progress.n_completion,
        )
    return request.is_cancelled


# Options that end an output are enforced here; all others go to the native chain.
_NOT_NATIVE = frozenset({"max_tokens", "stop", "stop_token_ids", "seed"})


def _native_fields(params: SamplingParams) -> dict[str, object]:
    return {name: value for name, value in params.to_dict().items() if name not in _NOT_NATIVE}
