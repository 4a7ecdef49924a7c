"""JSON text from models and users, read strictly: no NaN, no infinities and, by default, no name twice in an object."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from inllama.errors import InvalidRequestError


def loads(text: str, what: str, *, is_strict: bool = True) -> Any:
    """Return the value of a JSON text.

    Args:
        text: The whole text; nothing but white space may stand around the value.
        what: Its name in errors.
        is_strict: A name twice in an object is an error; otherwise the last one counts.

    Raises:
        InvalidRequestError: It is no JSON; ``.line`` and ``.column`` say where, if there is a place.
    """
    try:
        return (_DECODER if is_strict else _LENIENT).decode(text)
    except json.JSONDecodeError as problem:
        where = f"line {problem.lineno} column {problem.colno}"
        raise InvalidRequestError(
            f"{what} is no JSON: {problem.msg} at {where}", line=problem.lineno, column=problem.colno
        ) from None
    except RecursionError:
        raise InvalidRequestError(f"{what} is nested too deeply to be read") from None
    except ValueError as problem:
        raise InvalidRequestError(f"{what} is no JSON: {problem}") from None


def child(pointer: str, key: str | int) -> str:
    """Return the JSON pointer of a member or item of what ``pointer`` names."""
    if isinstance(key, int):
        return f"{pointer}/{key}"
    return f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"


def finite(digits: str) -> float:
    """Return the number of JSON that ``digits`` are; raises ``ValueError`` for one that no float can hold."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:40]} is too large")
    return number


def _refuse(constant: str) -> Any:
    raise ValueError(f"it has {constant}, which is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise ValueError(f"it has the name {twice!r} twice in one object")
    return found


_LENIENT = json.JSONDecoder(parse_constant=_refuse, parse_float=finite)
_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=finite, object_pairs_hook=_object)
