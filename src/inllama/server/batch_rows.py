"""The rows of a batch in OpenAI's shape: requests from the lines of one file, answers to the lines of another."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from inllama.errors import InvalidRequestError
from inllama.json_text import loads
from inllama.server.event_text import to_text
from inllama.server.exchange import Whole
from inllama.server.routes import ROUTES

URLS = frozenset(route.path for route in ROUTES if route.method == "POST")

# What an answer of ours begins with; a file that ends with a part of one was cut off by a kill.
_HEAD = b'{"id":"batch_req_'
# What surrounds the body of a request in its line.
_ENVELOPE_BYTES = 1 << 16
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the requests.

    Attributes:
        number: From 1 on.
        text: Its bytes; ``None`` if it is too long.
        n_bytes: How many it has, with the empty lines before it.
    """

    number: int
    text: bytes | None
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Request:
    """What a line asks for.

    Attributes:
        custom_id: Its name.
        path: Of the route.
        query: What stood behind it.
        body: As JSON.
    """

    custom_id: str
    path: str
    query: bytes
    body: bytes


class BadLine(Exception):
    """A line that asks for nothing that could be done.

    Attributes:
        code: OpenAI's.
        message: What, value, remedy.
        custom_id: The row's name, if it has one.
    """

    def __init__(self, code: str, message: str, custom_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.custom_id = custom_id


def lines_of(file: BinaryIO, max_body_bytes: int) -> Iterator[Line]:
    """Yield the lines that are not empty, one at a time; of one that is too long no more than that is in memory."""
    limit = max_body_bytes + _ENVELOPE_BYTES
    number = n_bytes = 0
    while text := file.readline(limit):
        number += 1
        n_bytes += len(text)
        is_whole = len(text) < limit or text.endswith(b"\n")
        if not is_whole:
            n_bytes += _skip_line(file, limit)
        if number == 1:
            text = text.removeprefix(_BOM)
        if text.strip():
            yield Line(number, text if is_whole else None, n_bytes)
            n_bytes = 0


def _skip_line(file: BinaryIO, limit: int) -> int:
    """Read the rest of a line; returns how many bytes that were."""
    n_bytes = 0
    while text := file.readline(limit):
        n_bytes += len(text)
        if text.endswith(b"\n"):
            break
    return n_bytes


def read_request(line: Line) -> Request:
    """Return what a line asks for; raises ``BadLine``."""
    if line.text is None:
        raise BadLine("body_too_large", "the line is too long; --max-body-bytes allows more")
    try:
        row = loads(line.text.decode(), "the line")
    except UnicodeDecodeError as problem:
        raise BadLine("invalid_json_line", f"the line is not UTF-8: {problem.reason} at byte {problem.start}") from None
    except InvalidRequestError as problem:
        raise BadLine("invalid_json_line", problem.message) from None
    if not isinstance(row, dict):
        raise BadLine("invalid_json_line", "the line must be a JSON object")
    custom_id = _custom_id(row)
    try:
        return _request(row, custom_id)
    except BadLine as problem:
        problem.custom_id = custom_id
        raise


def _custom_id(row: dict[str, Any]) -> str:
    found = row.get("custom_id")
    if found is None:
        raise BadLine("missing_required_parameter", "the row has no custom_id")
    if not isinstance(found, str) or not found:
        raise BadLine("invalid_value", f"custom_id must be a text that is not empty, not {_shown(found)}")
    if not _is_text(found):
        raise BadLine("invalid_value", "custom_id has a lone surrogate, which is no Unicode text")
    return found


def _request(row: dict[str, Any], custom_id: str) -> Request:
    if row.get("method") != "POST":
        raise BadLine("invalid_method", f"method must be POST, not {_shown(row.get('method'))}")
    url = row.get("url")
    path, _, query = url.partition("?") if isinstance(url, str) else ("", "", "")
    if path not in URLS or not query.isascii():
        known = ", ".join(sorted(URLS))
        raise BadLine("invalid_url", f"there is no route for {_shown(url)}; there are {known}")
    body = row.get("body")
    if not isinstance(body, dict):
        code = "missing_required_parameter" if body is None else "invalid_value"
        raise BadLine(code, f"body must be an object, not {_shown(body)}")
    if body.get("stream") is True:
        raise BadLine("unsupported_field", "stream must be false: a row has one answer")
    return Request(custom_id, path, query.encode(), _body_bytes(body))


def _body_bytes(body: dict[str, Any]) -> bytes:
    try:
        return to_text(body).encode()
    except UnicodeEncodeError:
        raise BadLine("invalid_value", "body has a lone surrogate, which is no Unicode text") from None
    except RecursionError:
        raise BadLine("invalid_value", "body is nested too deeply") from None


def _shown(value: object) -> str:
    return ascii(value)[:100]


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def answer_row(request: Request, answer: Whole) -> bytes:
    """Return the row of a request that was answered; with a status of 400 or more it has an error too."""
    request_id = answer.headers.get(b"x-request-id", b"").decode()
    name = f"batch_req_{request_id.removeprefix('req_')}"
    head = f'{{"id":{to_text(name)},"custom_id":{to_text(request.custom_id)},"response":{{"status_code":'
    middle = f'{answer.status},"request_id":{to_text(request_id)},"body":'
    error = None if answer.status < 400 else _error_of(answer.body)
    # The answer is one line of JSON already, and may be large.
    return head.encode() + middle.encode() + answer.body + f'}},"error":{to_text(error)}}}\n'.encode()


def error_code(answer: Whole) -> str:
    """Return the code of an answer that is an error."""
    return str(_error_of(answer.body)["code"])


def _error_of(body: bytes) -> dict[str, Any]:
    error = json.loads(body)["error"]
    return {"code": error.get("code") or error["type"], "message": error["message"]}  # Anthropic's have no code


def error_row(line: Line, problem: BadLine) -> bytes:
    """Return the row of a line that asked for nothing."""
    row: dict[str, Any] = {"id": f"batch_req_{uuid.uuid4().hex}", "custom_id": problem.custom_id, "response": None}
    if problem.custom_id is None:
        row["line"] = line.number
    row["error"] = {"code": problem.code, "message": problem.message}
    return f"{to_text(row)}\n".encode()


@dataclass(slots=True)
class Earlier:
    """What an output has already.

    Attributes:
        results: The names of rows with a result.
        errors: Those of rows with an error.
        nameless: Lines whose rows have no name, with what was wrong with them.
    """

    results: set[str] = field(default_factory=set)
    errors: set[str] = field(default_factory=set)
    nameless: set[tuple[int, str]] = field(default_factory=set)

    def add(self, row: dict[str, Any]) -> None:
        """Note a row of the output."""
        custom_id = row["custom_id"]
        if custom_id is None:
            self.nameless.add((row.get("line", 0), row["error"]["message"]))
        else:
            (self.errors if _is_error(row) else self.results).add(custom_id)


def read_earlier(path: Path) -> Earlier:
    """Return what an output has already; a row that a kill cut off is removed from it.

    Raises:
        InvalidRequestError: The file is something else than the output of a batch.
        OSError: It cannot be read or repaired.
    """
    earlier = Earlier()
    if not path.exists():
        return earlier
    with path.open("r+b") as file:
        n_bytes, text = 0, b"\n"
        for number, text in enumerate(file, 1):
            row = _answer_of(text)
            if row is not None:
                earlier.add(row)
                n_bytes += len(text)
            elif text.endswith(b"\n") or text[: len(_HEAD)] != _HEAD[: len(text)]:
                raise InvalidRequestError(
                    f"line {number} of {path} is no row of a batch; give another file, nothing was changed",
                    line=number,
                )
        if n_bytes < file.tell():
            file.truncate(n_bytes)
        elif not text.endswith(b"\n"):  # it is whole but for that
            file.write(b"\n")
    return earlier


def drop_errors(path: Path) -> None:
    """Remove the rows with errors from an output, all at once; raises ``OSError`` if that is not possible."""
    path = path.resolve()
    part = path.with_name(path.name + ".part")
    try:
        with path.open("rb") as file, part.open("wb") as kept:
            kept.writelines(text for text in file if (row := _answer_of(text)) is not None and not _is_error(row))
        shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _answer_of(text: bytes) -> dict[str, Any] | None:
    """Return the row of an output; ``None`` if a line is none."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not str(row.get("id")).startswith("batch_req_"):
        return None
    has_name = isinstance(row.get("custom_id"), str)
    has_error = isinstance(row.get("error"), dict) and isinstance(row["error"].get("message"), str)
    is_nameless_error = "custom_id" in row and row["custom_id"] is None and has_error
    return row if has_name or is_nameless_error else None


def _is_error(row: dict[str, Any]) -> bool:
    return row.get("error") is not None or not isinstance(row.get("response"), dict)
