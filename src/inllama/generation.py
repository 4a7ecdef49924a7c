"""Generates one request over one sequence of a context: prefill, then a token at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
    params = request.params
    sampler = make_sampler(model, _native_fields(params), seed)
    sampler.accept_prompt(request.tokens)
    progress.text, progress.token_ids = [], []
    finish: FinishReason = "cancelled"
    stop: str | int | None = None
    if _prefill(model, context, request, progress):
        output = _Output(model, params)
        for finish, stop, chunk in _decode(model, context, sampler, request, progress, output):
            if chunk is not None:
                yield _noted(progress, chunk, index)
        rest = output.rest()
        if stop is None and rest:
            progress.text.append(rest)
        else:
            rest = ""
        last = Chunk(rest, output.take_tokens(), index, finish, stop)
    else:
        last = Chunk("", (), index, finish, None)
    progress.token_ids.extend(last.token_ids)
    progress.choices.append(Choice(index, "".join(progress.text), tuple(progress.token_ids), finish, stop, seed))
    yield last


def _noted(progress: Progress, piece: tuple[str, tuple[int, ...]], index: int) -> Chunk:
    text, token_ids = piece
    progress.text.append(text)
    progress.token_ids.extend(token_ids)
    return Chunk(text, token_ids, index)


class _Output:
    """Text of the tokens of one output, with stop strings cut off."""

    def __init__(self, model: Model, params: SamplingParams) -> None:
        self._stops = params.stop or ()
        self._decoder = model.tokenizer.decoder()
        self._matcher = StopMatcher(list(self._stops)) if self._stops else None
        self._pending: list[int] = []

    def push(self, token: int) -> tuple[str, str | None]:
        self._pending.append(token)
        text = self._decoder.push(token)
        if self._matcher is None:
            return text, None
        text, found = self._matcher.push(text)
        return text, None if found is None else self._stops[found]

    def take_tokens(self) -> tuple[int, ...]:
        taken = tuple(self._pending)
        self._pending.clear()
        return taken

    def rest(self) -> str:
        text = self._decoder.flush()
        if self._matcher is None:
            return text
        before, found = self._matcher.push(text)
        return before if found is not None else before + self._matcher.flush()


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
) -> Iterator[tuple[FinishReason, str | int | None, tuple[str, tuple[int, ...]] | None]]:
    """Yield (finish reason if this was the last step, what stopped it, new text and tokens) for every step."""
    params = request.params
    ends = frozenset(model.tokenizer.end_tokens.tolist())
    stop_tokens = frozenset(params.stop_token_ids or ())
    n_prompt = 1 if model.has_encoder else len(request.tokens)
    room = context.n_ctx_seq - n_prompt
    limit = room if params.max_tokens is None else min(params.max_tokens, room)
    batch = Batch()
    for n_tokens in range(1, limit + 1):
        if _is_over(request, progress):
            yield "cancelled", None, None
            return
        token = sampler.sample(context)
        if progress.n_completion == 0:
            progress.first_token_s = time.monotonic() - progress.started
        if token in ends or token in stop_tokens:
            yield "stop", token if token in stop_tokens else None, None
            return
        progress.n_completion += 1
        text, stop = output.push(token)
        piece = (text, output.take_tokens()) if text else None
        if stop is not None:
            yield "stop", stop, piece
            return
        yield "length", None, piece
        if n_tokens < limit:
            batch.clear()
            batch.add((token,))
            context.decode(batch)


def _is_over(request: Request, progress: Progress) -> bool:
    """Whether the request was cancelled; raises ``DeadlineError`` if its time is over."""
    if request.deadline is not None and time.monotonic() >= request.deadline:
        elapsed = time.monotonic() - progress.started
        raise DeadlineError(
            f"the request's time was over after {elapsed:.3f} s and {progress.n_completion} tokens; give a larger timeout_s",
            elapsed_s=elapsed,
            completion_tokens=progress.n_completion,
        )
    return request.is_cancelled


# Options that end an output are enforced here; all others go to the native chain.
_NOT_NATIVE = frozenset({"max_tokens", "stop", "stop_token_ids", "seed"})


def _native_fields(params: SamplingParams) -> dict[str, object]:
    return {name: value for name, value in params.to_dict().items() if name not in _NOT_NATIVE}
