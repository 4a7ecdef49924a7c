"""Every exception that inllama raises of its own.

::

    InllamaError
    ├── InvalidRequestError (ValueError)      the request cannot be served as it is
    │   ├── ContextFullError                  more tokens than the context has room for
    │   ├── GrammarError                      a structure that cannot be enforced
    │   ├── TemplateError                     a chat template that cannot be rendered
    │   ├── UnsupportedError                  this model, file or build cannot do that
    │   └── IncompleteOutputError             the output ended inside a structure
    ├── ModelLoadError (OSError)              a file that cannot be loaded
    ├── EngineError (RuntimeError)            the engine could not go on with a request
    │   ├── EngineClosedError                 it was closed
    │   ├── ForkedEngineError                 it belongs to the parent process
    │   ├── DecodeError                       the computation failed
    │   └── ConcurrentUseError                two threads in an object made for one
    ├── InsufficientMemoryError (MemoryError)
    ├── QueueFullError                        too many requests are waiting
    ├── DeadlineError (TimeoutError)          the request's time is over
    └── StateError (ValueError)               saved state that does not fit

The text says what, value, limit and remedy; the values are also attributes. The native side declares the same names.
"""

from __future__ import annotations

from typing import Any

from inllama import _core


class InllamaError(Exception):
    """Base of all; ``fields`` holds the values of the text, which are also attributes."""

    fields: dict[str, Any]

    def __init__(self, message: str = "", **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields

    def __getattr__(self, name: str) -> Any:
        # Only for names that are not found otherwise; `fields` itself is missing while unpickling.
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.message, self.fields)


def _restore(cls: type[InllamaError], message: str, fields: dict[str, Any]) -> InllamaError:
    return cls(message, **fields)


class InvalidRequestError(InllamaError, ValueError):
    """The request cannot be served as it is."""


class ContextFullError(InvalidRequestError):
    """More tokens than the context has room for; ``.n_ctx`` says how many fit."""


class GrammarError(InvalidRequestError):
    """A structure that cannot be enforced; ``.line`` and ``.column``, or ``.pointer`` of a schema, say where."""


class TemplateError(InvalidRequestError):
    """A chat template that cannot be rendered."""


class UnsupportedError(InvalidRequestError):
    """This model, file or build cannot do that."""


class IncompleteOutputError(InvalidRequestError):
    """The output ended inside a structure."""


class ModelLoadError(InllamaError, OSError):
    """A file that cannot be loaded; ``.path`` and ``.reason`` say which and why, ``.where`` which part is damaged."""


class EngineError(InllamaError, RuntimeError):
    """The engine could not go on with a request."""


class EngineClosedError(EngineError):
    """The engine was closed."""


class ForkedEngineError(EngineError):
    """The engine belongs to the parent process."""


class DecodeError(EngineError):
    """The computation failed; ``.code`` is llama.cpp's."""


class ConcurrentUseError(EngineError):
    """Two threads, or tasks, in an object made for one at a time."""


class InsufficientMemoryError(InllamaError, MemoryError):
    """Something does not fit into memory."""


class QueueFullError(InllamaError):
    """Too many requests are waiting."""


class DeadlineError(InllamaError, TimeoutError):
    """The request's time is over; ``.partial`` is what was generated until then."""


class StateError(InllamaError, ValueError):
    """Saved state that is damaged or does not fit."""


def _tree(cls: type[InllamaError]) -> dict[str, type[InllamaError]]:
    found = {cls.__name__: cls}
    for child in cls.__subclasses__():
        found.update(_tree(child))
    return found


_core.set_error_classes(_tree(InllamaError))
