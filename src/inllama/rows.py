"""Many requests in flat memory: a window of them is in the engine, the next ones come as others end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

import inllama._core as _core
from inllama.engine import Engine
from inllama.errors import InllamaError, InvalidRequestError, QueueFullError
from inllama.outputs import Completion
from inllama.params import SamplingParams
from inllama.reception import Event, Reception
from inllama.request import Prepared, Prompt, Template
from inllama.waiting import wait_for

Row: TypeAlias = Prompt | Mapping[str, Any]


class Rows:
    """Requests with a number, and what came of them.

    Args:
        engine: What computes them.
        submit: Hands a request to it and returns its number.
        window: Rows that are in the engine or wait to be given out, at most.
        ordered: Give them out in the order in which they came; else as they end.
    """

    def __init__(self, engine: Engine, submit: Callable[[Prepared], int], window: int, *, ordered: bool) -> None:
        self._engine = engine
        self._submit = submit
        self._window = window
        self._ordered = ordered
        self._running: dict[int, tuple[int, Reception]] = {}
        self._ended: dict[int, Reception] = {}
        self._refused: tuple[int, Prepared] | None = None
        self._n_taken = 0
        self._n_given = 0

    @property
    def numbers(self) -> list[int]:
        """The engine's numbers of those that it computes."""
        return list(self._running)

    @property
    def wants_more(self) -> bool:
        """Whether ``add`` may be called."""
        return self._refused is None and self._n_taken - self._n_given < self._window

    @property
    def refused(self) -> Prepared | None:
        """The request for which there was no room."""
        return None if self._refused is None else self._refused[1]

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs, waits or is left to be given out."""
        return not self._running and not self._ended and self._refused is None

    def add(self, request: Prepared | Exception) -> None:
        """Take the next row; an exception is its result."""
        index = self._n_taken
        self._n_taken += 1
        if isinstance(request, Exception):
            self._ended[index] = Reception(self._engine, _NOTHING, request)
        else:
            self._refused = (index, request)
            self.submit()

    def submit(self) -> None:
        """Hand the refused row over, if there is room now."""
        if self._refused is None:
            return
        index, request = self._refused
        try:
            reception = Reception(self._engine, request)
            number = self._submit(request)
        except Exception as error:
            if isinstance(error, QueueFullError) and request.waits:
                return
            self._ended[index] = Reception(self._engine, _NOTHING, error)
        else:
            self._running[number] = (index, reception)
        self._refused = None

    def receive(self, event: Event) -> bool:
        """Take an event of one of them; returns whether that has ended."""
        index, reception = self._running[event[0]]
        reception.receive(event)
        if reception.is_over:
            del self._running[event[0]]
            self._ended[index] = reception
        return reception.is_over

    def give(self) -> tuple[int, Reception] | None:
        """Return the next row that can be given out, with its index."""
        index = self._n_given if self._ordered else next(iter(self._ended), -1)
        reception = self._ended.pop(index, None)
        if reception is None:
            return None
        self._n_given += 1
        return index, reception


_NOTHING = Prepared("", (), {}, [], {"logprobs": -1}, (), False)


def complete_each(
    engine: Engine, requests: Iterator[Prepared | Exception], *, window: int, ordered: bool
) -> Generator[tuple[int, Reception], None, None]:
    """Compute requests together; yields each with its index. Cancels what runs when closed.

    What ``requests`` raises is raised when the rows before it were given out.
    """
    events = _core.EventQueue()
    rows = Rows(engine, partial(engine.submit, events), window, ordered=ordered)
    is_source_empty = False
    failure: Exception | None = None
    try:
        while True:
            rows.submit()
            while rows.wants_more and not is_source_empty:
                try:
                    request = next(requests, None)
                except Exception as error:
                    request, failure = None, error
                if request is None:
                    is_source_empty = True
                else:
                    rows.add(request)
            row = rows.give()
            if row is not None:
                yield row
            elif rows.numbers:
                # Also while there is no room: a request whose events nobody reads would not go on.
                for event in wait_for(events):
                    rows.receive(event)
            elif rows.refused is not None:
                engine.wait_for_room(rows.refused)
            elif failure is not None:
                raise failure
            else:
                return
    finally:
        for number in rows.numbers:
            engine.cancel(number)


class RowSource:
    """Turns the rows that users give into requests.

    Args:
        engine: What will compute them.
        params: Sampling options of all rows.
        options: The same and request options; those of a row override them.
        is_timed_by_row: Whether the time of ``timeout_s`` begins with each row, and not with the call.
    """

    def __init__(
        self,
        engine: Engine,
        params: SamplingParams | None,
        options: dict[str, Any],
        *,
        is_timed_by_row: bool = False,
    ) -> None:
        self._engine = engine
        self._params = params
        self._options = options
        self._is_timed_by_row = is_timed_by_row
        self._template = self._template_of(options)

    def _template_of(self, options: dict[str, Any]) -> Template:
        return Template(self._engine, self._params, options, is_streaming=False)

    def prepare(self, row: Row) -> Prepared | Exception:
        """Return the request of a row, or what is wrong with it."""
        try:
            if not isinstance(row, Mapping):
                started = time.monotonic() if self._is_timed_by_row else None
                return self._template.prepare(row, started=started)
            options = dict(row)
            if "prompt" not in options:
                raise InvalidRequestError("a row has no 'prompt'", keys=sorted(map(str, options)))
            prompt = options.pop("prompt")
            return self._template_of({**self._options, **options}).prepare(prompt)
        except Exception as error:
            return error


def indexed(error: Exception, index: int) -> Exception:
    """Return the error of a row, which says as ``.index`` of which one."""
    if isinstance(error, InllamaError):
        error.fields["index"] = index
    else:
        with suppress(AttributeError):  # a class with slots
            error.index = index  # type: ignore[attr-defined]
    return error


def result_of(index: int, reception: Reception, *, raises: bool) -> Completion | Exception:
    """Return what came of a row; with ``raises``, its error is raised."""
    if reception.error is None:
        return reception.completion()
    error = indexed(reception.error, index)
    if raises:
        raise error
    return error


def check_rows(rows: object, kinds: type | tuple[type, ...]) -> None:
    """Raise ``TypeError`` for what is one row, and for what is no iterable."""
    is_iterable = isinstance(rows, kinds) or hasattr(rows, "__getitem__")
    if isinstance(rows, (str, bytes, bytearray, Mapping)) or not is_iterable:
        raise TypeError(f"requests must be an iterable of prompts or mappings, not {type(rows).__name__}")


def check_on_error(on_error: str, *words: str) -> bool:
    """Return whether errors are raised; raises ``InvalidRequestError`` for a word that is not known."""
    if on_error not in ("raise", *words):
        raise InvalidRequestError(f"on_error is {on_error!r}; use 'raise' or {words[0]!r}", option="on_error")
    return on_error == "raise"


def checked_window(engine: Engine, window: int | None) -> int:
    """Return the rows that are under way at once; by default four times what the engine runs."""
    if window is None:
        return 4 * engine.max_running
    if not isinstance(window, int) or isinstance(window, bool):
        raise TypeError(f"window must be int, not {type(window).__name__}")
    if window < 1:
        raise InvalidRequestError(f"window is {window} but must be at least 1", option="window", value=window)
    return window
