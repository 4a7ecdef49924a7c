"""What the Hub refuses or fails at, as one clear sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from inllama.errors import ModelLoadError
from inllama.hub.reference import Reference

T = TypeVar("T")

# Reasons for which what was downloaded before is as good as the Hub's answer.
PASSING = frozenset({"unreachable", "failing", "too many requests"})
_LOGIN = "log in with 'hf auth login' or set HF_TOKEN"
# huggingface_hub's HTTP client, by the name that it has in each of its versions.
_CLIENTS = frozenset({"httpx", "httpx2"})


def asking(reference: Reference, endpoint: str, call: Callable[[], T]) -> T:
    """Return what ``call`` gets of the Hub.

    Raises:
        ModelLoadError: It fails; ``.reason`` is a few words, ``.status`` the HTTP status if there was an answer.
    """
    try:
        return call()
    except Exception as error:
        refused = refusal(error, reference, endpoint)
    # Out here nothing leads to the error any more: its requests and frames hold the token.
    raise refused


def refusal(error: Exception, reference: Reference, endpoint: str) -> ModelLoadError:
    """Return what a user needs to know of an error of huggingface_hub; nothing of its text, which may have secrets."""
    response = getattr(error, "response", None)
    status: int | None = getattr(response, "status_code", None)
    reason, text = _words_for(error, response, status, reference, endpoint)
    fields: dict[str, Any] = {"path": str(reference), "reason": reason, "endpoint": endpoint, "status": status}
    if reason == "too many requests":
        fields["retry_after_s"] = retry_after_s(response)
    return ModelLoadError(text, **fields)


def _words_for(
    error: Exception, response: Any, status: int | None, reference: Reference, endpoint: str
) -> tuple[str, str]:
    from huggingface_hub import errors

    repo = reference.repo
    if isinstance(error, errors.GatedRepoError):
        remedy = f"accept its terms at {endpoint}/{repo}, and {_LOGIN}"
        return "gated", f"{repo} is gated, and this account has no access: {remedy}"
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            "no such revision",
            f"{repo} has no revision {reference.revision or 'main'!r}; leave @ away for the newest",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return "no such file", f"{repo} has no longer the file that its list names; try again"
    if status == 401 and "Invalid" in (response.headers.get("X-Error-Message") or ""):
        return "token refused", f"{endpoint} refuses the token: {_LOGIN} anew"
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
        return "not found", f"{endpoint} has no model {repo}, or it is private: check the name, or {_LOGIN}"
    if status == 403:
        return "forbidden", f"{endpoint} forbids reading {repo}: the token lacks the right, or the model was blocked"
    if status == 429:
        seconds = retry_after_s(response)
        when = f"in {seconds} s" if seconds is not None else "later"
        return "too many requests", f"{endpoint} had too many requests from here: try again {when}, or {_LOGIN}"
    if status is not None and status >= 500:
        return "failing", f"{endpoint} fails with HTTP {status}: try again later"
    if status is None and (type(error).__module__.partition(".")[0] in _CLIENTS or isinstance(error, ConnectionError)):
        problem = f"{endpoint} cannot be reached ({type(error).__name__})"
        return "unreachable", f"{problem}: check the network, HTTPS_PROXY and HF_ENDPOINT"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror, f"{repo} cannot be kept: {error.strerror} ({error.filename or 'the cache'})"
    code = f"HTTP {status}" if status is not None else type(error).__name__
    return "not understood", f"{endpoint} answers for {repo} what is not understood ({code})"


def retry_after_s(response: Any) -> int | None:
    """Return how long the Hub asks to wait (``Retry-After``, or ``t=`` of its ``ratelimit`` header), in seconds."""
    headers = getattr(response, "headers", {})
    found = re.fullmatch(r"\d{1,6}", headers.get("Retry-After") or "") or re.search(
        r"\bt=(\d{1,6})", headers.get("ratelimit") or ""
    )
    return int(found[found.lastindex or 0]) if found else None
