"""Runs the logits processors of requests on a thread, while the engine goes on with other requests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import inllama._core as _core
from inllama.errors import EngineError, InvalidRequestError
from inllama.request import Prepared

if TYPE_CHECKING:
    import numpy as np

# How long a wait goes on before the thread looks whether it shall end.
_SLICE_S = 0.5


class Processors:
    """One thread, which calls the processors of all requests of an engine, row by row."""

    def __init__(self) -> None:
        self._rows = _core.EventQueue()
        self._lock = threading.Lock()
        self._requests: dict[int, tuple[_core.Engine, Prepared, list[list[int]]]] = {}
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="inllama-processors", daemon=True)
        self._thread.start()

    def submit(
        self, native: _core.Engine, events: _core.EventQueue, request: Prepared, limits: dict[str, object]
    ) -> int:
        """Hand over a request that has processors."""
        arguments = (events, request.tokens, request.fields, request.seeds, limits)
        with self._lock:  # its first row may come before its number is known
            number = native.submit(*arguments, self._rows, request.waits)
            self._requests[number] = (native, request, [list(request.tokens) for _ in request.seeds])
        return number

    def close(self) -> None:
        """End the thread, when the processor that runs returns."""
        self._is_closing = True

    def _run(self) -> None:
        while not self._is_closing:
            for row in self._rows.take(_SLICE_S):
                self._take(row)

    def _take(self, row: tuple[Any, ...]) -> None:
        number, output, _, new_tokens, *_, logits, _ = row
        with self._lock:
            found = self._requests.get(number)
            if logits is None:  # its last event: it has ended
                self._requests.pop(number, None)
                return
        if found is None:
            return
        native, request, tokens = found
        tokens[output].extend(new_tokens)
        try:
            for processor in request.processors:
                logits = _checked(processor(tuple(tokens[output]), logits), logits)
        except BaseException as error:
            request.failure = error if isinstance(error, Exception) else _ended_by(error)
            native.resume(number, output, None)
        else:
            native.resume(number, output, logits)


def _ended_by(error: BaseException) -> EngineError:
    # As it is, it would end the thread of whoever reads the result.
    failure = EngineError(f"a logits processor raised {error!r}")
    failure.__cause__ = error
    return failure


def _checked(result: Any, logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if result is None:
        return logits
    import numpy as np  # with the first row: it takes a while

    changed = np.ascontiguousarray(result, dtype=np.float32)
    if changed.shape != logits.shape:
        raise InvalidRequestError(
            f"a logits processor returned an array of shape {changed.shape}; return {logits.shape} or nothing",
            shape=changed.shape,
        )
    return changed
