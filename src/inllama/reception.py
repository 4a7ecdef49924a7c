"""Puts the events of one request together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias, cast

from inllama.engine import Engine
from inllama.errors import DeadlineError, EngineError, IncompleteOutputError, InllamaError
from inllama.output_types import OutputType
from inllama.outputs import Choice, Chunk, Completion, FinishReason, Timings, TokenLogprob, Usage
from inllama.request import Prepared

# What one step gave one output, as inllama._core.EventQueue.take returns it.
Event: TypeAlias = tuple[
    int, int, str, tuple[int, ...], Any, str | None, int | None, int | None, Exception | None, Any, Any, Any
]


class Reception:
    """What came of one request so far."""

    __slots__ = ("_ends", "_engine", "_logprobs", "_piece", "_request", "_summary", "_text", "_tokens", "error")

    def __init__(self, engine: Engine, request: Prepared, error: Exception | None = None) -> None:
        self._engine = engine
        self._request = request
        self._text: list[list[str]] = [[] for _ in request.seeds]
        self._tokens: list[list[int]] = [[] for _ in request.seeds]
        self._logprobs: list[list[TokenLogprob]] = [[] for _ in request.seeds]
        self._ends: dict[int, tuple[FinishReason, str | int | None]] = {}
        self._summary: tuple[int, int, int, float, float, float, float] | None = None
        # Kept: the engine, and its model, may be closed when what they gave is read.
        self._piece = engine.pieces() if cast("int", request.limits["logprobs"]) >= 0 else None
        self.error = error

    @property
    def request_id(self) -> str:
        """The request's name."""
        return self._request.request_id

    @property
    def is_over(self) -> bool:
        """Whether the last event has come."""
        return self._summary is not None or self.error is not None

    def receive(self, event: Event) -> Chunk | None:
        """Take the next event; returns its chunk, or ``None`` for an error, which is kept."""
        _, output, text, tokens, rows, finish, stop_index, stop_token, error, summary, _, _ = event
        if summary is not None:
            self._summary = summary
        self._text[output].append(text)
        if error is not None:
            self._fail(error)
            return None
        self._tokens[output].extend(tokens)
        logprobs = () if rows is None else self._logprobs_of(output, tokens, rows)
        if finish is None:
            return Chunk(text, tokens, output, None, None, logprobs)
        stop = self._request.stops[stop_index] if stop_index is not None else stop_token
        self._ends[output] = (cast("FinishReason", finish), stop)
        return Chunk(text, tokens, output, cast("FinishReason", finish), stop, logprobs)

    def completion(self) -> Completion:
        """Return everything that came; raises the request's error."""
        if self.error is not None:
            raise self.error
        assert self._summary is not None
        n_prompt, n_cached, n_completion, queued, prefill, first_token, total = self._summary
        made = Completion(
            request_id=self._request.request_id,
            model=self._engine.model_name,
            choices=tuple(
                Choice(i, "".join(self._text[i]), tuple(self._tokens[i]), *self._ends[i], seed, self._chosen(i))
                for i, seed in enumerate(self._request.seeds)
            ),
            usage=Usage(n_prompt, n_completion, n_cached),
            timings=Timings(prefill, first_token, total, queued),
        )
        output = self._request.output
        if output is None:
            return made
        return replace(made, outputs=tuple(instance_of(output, choice, choice.text, made) for choice in made.choices))

    def _fail(self, error: Exception) -> None:
        # The engine has a bare EngineError for what Python raised; its other errors are its own.
        failure = self._request.failure if type(error) is EngineError else None
        self.error = failure or error
        if self.error is error and isinstance(error, DeadlineError):
            self.error = self._request.timed(error)
        if isinstance(self.error, InllamaError):
            self.error.fields.setdefault("partial", "".join(self._text[0]))

    def _logprobs_of(self, output: int, tokens: tuple[int, ...], rows: Any) -> tuple[TokenLogprob, ...]:
        piece = self._piece
        assert piece is not None
        made = tuple(
            TokenLogprob(
                token, piece(token), chosen, tuple(TokenLogprob(other, piece(other), value) for other, value in top)
            )
            for token, (chosen, top) in zip(tokens, rows, strict=True)
        )
        self._logprobs[output].extend(made)
        return made

    def _chosen(self, output: int) -> tuple[TokenLogprob, ...] | None:
        return None if self._piece is None else tuple(self._logprobs[output])


def instance_of(output: OutputType[Any], choice: Any, text: str, completion: Any) -> Any:
    """Return what the text of an output stands for.

    Raises:
        IncompleteOutputError: The output ended before its structure was complete; ``.completion`` has all of them.
    """
    if choice.finish_reason != "stop":
        raise IncompleteOutputError(
            f"output {choice.index} ended ({choice.finish_reason}) before its structure was complete; give a larger "
            "max_tokens. .completion has it",
            completion=completion,
            finish_reason=choice.finish_reason,
        )
    return output.parse(text)
