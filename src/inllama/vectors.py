"""Where the vectors of a call go, and how they are waited for."""

from __future__ import annotations

from collections.abc import Callable, Sized
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import inllama._core as _core
from inllama.errors import DeadlineError, InllamaError, InvalidRequestError
from inllama.texts import PreparedTexts, Progress, TextWindows
from inllama.waiting import wait_for

if TYPE_CHECKING:
    from inllama.engine import Engine
    from inllama.texts import Vectors

T = TypeVar("T")

# While one window is computed the next one waits, and Python prepares another.
WINDOWS_AT_ONCE = 2


class VectorSink(Protocol):
    """Takes vectors, window by window, in whatever order they come."""

    def place(self, window: PreparedTexts, values: Vectors) -> None:
        """Take the ``(n * n_values,)`` values of a window's vectors."""


class VectorRows:
    """One array of a row for each text.

    Args:
        width: Values of a row.
        texts: What the rows are of; if it has a length, the array is made at once.
        out: The array to be filled.

    Raises:
        InvalidRequestError: ``out`` has another shape, or cannot be written.
        TypeError: ``out`` is not a float32 array.
    """

    def __init__(self, width: int, texts: object, out: Any = None) -> None:
        import numpy as np

        self._width = width
        self._n_expected = len(texts) if isinstance(texts, Sized) else None
        self._parts: dict[int, Vectors] = {}  # by index of the first text
        self._rows = out
        self._n_placed = 0
        if out is None:
            return
        if not isinstance(out, np.ndarray) or out.dtype != np.float32:
            kind = f"an array of {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
            raise TypeError(f"out must be a float32 array, not {kind}")
        n_rows = out.shape[0] if out.ndim == 2 else -1
        if out.ndim != 2 or out.shape[1] != width or (self._n_expected or 0) > n_rows or not out.flags.writeable:
            rows = "n" if self._n_expected is None else str(self._n_expected)
            raise InvalidRequestError(
                f"out has the shape {out.shape} but must be writeable with ({rows}, {width})",
                option="out",
                value=out.shape,
            )

    def place(self, window: PreparedTexts, values: Vectors) -> None:
        """Take the values of a window's vectors."""
        import numpy as np

        rows = values.reshape(len(window.texts), self._width)
        if self._rows is None and self._n_expected is not None and len(rows) < self._n_expected:
            self._rows = np.empty((self._n_expected, self._width), np.float32)
        if self._rows is None:
            self._parts[window.first] = rows
        else:
            end = window.first + len(rows)
            if end > len(self._rows):
                raise InvalidRequestError(
                    f"out has {len(self._rows)} rows, and there are more texts", option="out", value=self._rows.shape
                )
            self._rows[window.first : end] = rows
        self._n_placed += len(rows)

    def result(self) -> Vectors:
        """Return all rows, ``(n, width)``; of ``out``, those that were filled."""
        import numpy as np

        if self._rows is not None:
            return cast("Vectors", self._rows[: self._n_placed])
        parts = [self._parts[first] for first in sorted(self._parts)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty((0, self._width), np.float32)


class TokenRows:
    """An array for each text, with a row for each of its tokens."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._arrays: dict[int, Vectors] = {}  # by index of the text

    def place(self, window: PreparedTexts, values: Vectors) -> None:
        """Take the values of a window's vectors."""
        rows = values.reshape(-1, self._width)
        begin = 0
        for index, text in enumerate(window.texts, window.first):
            self._arrays[index] = rows[begin : begin + len(text)]
            begin += len(text)

    def result(self) -> list[Vectors]:
        """Return all arrays, ``(n_tokens, width)`` each."""
        return [self._arrays[index] for index in sorted(self._arrays)]


class VectorCall:
    """A call on its way: windows go out, vectors come back."""

    def __init__(self, windows: TextWindows[Any], sink: VectorSink, texts: object, progress: Progress | None) -> None:
        if progress is not None and not callable(progress):
            raise TypeError(f"progress must be a function, not {type(progress).__name__}")
        self._windows = windows
        self._sink = sink
        self._n_expected = len(texts) if isinstance(texts, Sized) else None
        self._progress = progress
        self._n_done = 0
        self.n_tokens = 0  # of the texts that are done

    def next(self) -> PreparedTexts | None:
        """Return the next window; ``None``: there is no more."""
        return self._windows.next()

    def receive(self, window: PreparedTexts, event: Any) -> None:
        """Take a window's only event; raises its error."""
        error, values = event[8], event[10]
        if error is not None:
            raise self.placed(window, error)
        self._sink.place(window, values)
        self._n_done += len(window.texts)
        self.n_tokens += sum(map(len, window.texts))
        if self._progress is not None:
            self._progress(self._n_done, self._n_expected)

    def placed(self, window: PreparedTexts, error: Exception) -> Exception:
        """Return an error of a window with what it says about all texts of the call."""
        if isinstance(error, InllamaError) and "index" in error.fields:
            error.fields["index"] += window.first
        if isinstance(error, DeadlineError):
            error.fields["n_done"] = self._n_done
        return error

    def submit(self, submit: Callable[[PreparedTexts], T], window: PreparedTexts) -> T:
        """Return what ``submit`` returns; its errors are those of the call."""
        try:
            return submit(window)
        except InllamaError as error:
            raise self.placed(window, error) from None

    def run(self, engine: Engine) -> None:
        """Wait for all of it; Ctrl-C ends it."""
        events = _core.EventQueue()
        running: dict[int, PreparedTexts] = {}
        try:
            is_over = False
            while not is_over or running:
                while not is_over and len(running) < WINDOWS_AT_ONCE:
                    window = self.next()
                    if window is None:
                        is_over = True
                    else:
                        running[self.submit(partial(engine.submit_waiting, events), window)] = window
                for event in wait_for(events) if running else ():
                    self.receive(running.pop(event[0]), event)
        finally:
            for number in running:
                engine.cancel(number)
