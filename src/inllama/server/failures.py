"""From errors to answers: which status, type and code each class of error has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inllama.errors import (
    ContextFullError,
    DeadlineError,
    EngineClosedError,
    EngineError,
    ForkedEngineError,
    GrammarError,
    IncompleteOutputError,
    InllamaError,
    InsufficientMemoryError,
    InvalidRequestError,
    QueueFullError,
    StateError,
    TemplateError,
    UnsupportedError,
)

RETRY_AFTER_S = 1


class Failure(Exception):
    """A request that is answered with an error.

    Attributes:
        status: Of HTTP.
        kind: OpenAI's ``type``.
        code: OpenAI's ``code``.
        param: The field that it is about.
        message: What, value, limit, remedy.
        headers: More headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        kind: str = "invalid_request_error",
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.message = message
        self.headers = headers or {}

    def to_dict(self) -> dict[str, Any]:
        """Return OpenAI's shape."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, slots=True)
class Status:
    """What a class of errors is answered with.

    Attributes:
        status: Of HTTP.
        kind: OpenAI's ``type``.
        code: OpenAI's ``code``.
        is_temporary: The same request may be served a moment later, as ``Retry-After`` says.
    """

    status: int
    kind: str
    code: str
    is_temporary: bool = False


# The first class that fits counts.
STATUSES: dict[type[Exception], Status] = {
    ContextFullError: Status(400, "invalid_request_error", "context_length_exceeded"),
    GrammarError: Status(400, "invalid_request_error", "invalid_structure"),
    TemplateError: Status(400, "invalid_request_error", "invalid_template"),
    UnsupportedError: Status(400, "invalid_request_error", "unsupported"),
    IncompleteOutputError: Status(400, "invalid_request_error", "incomplete_output"),
    InvalidRequestError: Status(400, "invalid_request_error", "invalid_value"),
    StateError: Status(400, "invalid_request_error", "invalid_state"),
    QueueFullError: Status(429, "rate_limit_error", "queue_full", is_temporary=True),
    EngineClosedError: Status(503, "server_error", "engine_closed"),
    ForkedEngineError: Status(503, "server_error", "engine_closed"),
    InsufficientMemoryError: Status(503, "server_error", "insufficient_memory", is_temporary=True),
    DeadlineError: Status(504, "timeout_error", "deadline_exceeded"),
    EngineError: Status(500, "server_error", "engine_error"),
}


def failure_of(error: Exception) -> Failure | None:
    """Return the answer to an error; ``None`` if it is one that no request can cause."""
    if isinstance(error, Failure):
        return error
    found = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), None)
    if found is None:
        return None
    fields = error.fields if isinstance(error, InllamaError) else {}
    param = fields.get("option") or fields.get("place")
    headers = {"retry-after": str(RETRY_AFTER_S)} if found.is_temporary else {}
    if found.status == 504:
        headers["x-should-retry"] = "false"  # it would take as long again; OpenAI's clients ask for it
    return Failure(
        found.status, str(error), code=found.code, kind=found.kind, param=param and str(param), headers=headers
    )


def internal_failure(request_id: str) -> Failure:
    """Return the answer to an error of ours, which says nothing of it; the log does."""
    return Failure(
        500,
        f"an internal error; the server's log has it under {request_id}",
        code="internal_error",
        kind="server_error",
    )


def anthropic_dict(failure: Failure, request_id: str) -> dict[str, Any]:
    """Return Anthropic's shape of an error."""
    kind = _ANTHROPIC.get(failure.status, "api_error" if failure.status >= 500 else "invalid_request_error")
    error = {"type": kind, "message": failure.message}
    return {"type": "error", "error": error, "request_id": request_id}


_ANTHROPIC = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
