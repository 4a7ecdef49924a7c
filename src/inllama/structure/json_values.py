"""The keywords of JSON Schema about strings, numbers and arrays."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Protocol

from inllama.errors import GrammarError
from inllama.structure.ebnf import Grammar
from inllama.structure.json_text import MAX_LEAST_LENGTH, JsonText
from inllama.structure.keywords import FORMATS
from inllama.structure.number_ranges import Bound, integers, numbers
from inllama.structure.place import Place

# Of characters and items.
MAX_COUNT = 100_000
MAX_DIGITS = 64


class Write(Protocol):
    """Writes the rule of a schema that is part of another."""

    def __call__(self, schema: Any, place: Place) -> str: ...


def string_rule(schema: dict[str, Any], place: Place, text: JsonText) -> str:
    """Return the rule of the strings that a schema allows."""
    minimum, maximum = counts(schema, place, "minLength", "maxLength")
    ways = [key for key in ("pattern", "format") if key in schema]
    if ways == ["format"] and minimum == 1:
        minimum = 0  # no format has the empty text
    if len(ways) > 1 or (ways and (minimum, maximum) != (0, None)):
        other = "format" if len(ways) > 1 else "minLength" if minimum else "maxLength"
        place.fail(f"'{ways[0]}' and '{other}' together cannot be enforced; write both as one 'pattern'")
    if minimum > MAX_LEAST_LENGTH:
        (place / "minLength").fail(
            f"{minimum} is over the limit of {MAX_LEAST_LENGTH}; a smaller one can be enforced", limit=MAX_LEAST_LENGTH
        )
    if not ways:
        return text.string_of(minimum, maximum)
    here, value = place / ways[0], schema[ways[0]]
    if not isinstance(value, str):
        here.fail("must be a text")
    if ways[0] == "format":
        if value not in FORMATS:
            here.fail(f"'{value[:60]}' cannot be enforced; there are {', '.join(FORMATS)}, or write a 'pattern'")
        return text.string_matching(FORMATS[value], is_whole=True)
    try:
        return text.string_matching(value)
    except GrammarError as error:
        here.fail(error.message, **error.fields)


def number_rule(schema: dict[str, Any], place: Place, text: JsonText, grammar: Grammar, *, is_integer: bool) -> str:
    """Return the rule of the numbers that a schema allows."""
    low = _bound(schema, place, "minimum", "exclusiveMinimum", is_low=True)
    high = _bound(schema, place, "maximum", "exclusiveMaximum", is_low=False)
    if low is None and high is None:
        return text.integer if is_integer else text.number
    if low is not None and high is not None:
        is_one = low.value == high.value and not low.is_open and not high.is_open
        if low.value > high.value or (low.value == high.value and not is_one):
            place.fail(f"allows no number: it must be {_shown(low, '>')} and {_shown(high, '<')}")
    if not is_integer:
        return grammar.rule(*numbers(low, high))
    first = None if low is None else _whole(low, up=True)
    last = None if high is None else _whole(high, up=False)
    if first is not None and last is not None and first > last:
        place.fail("allows no integer: there is none between its bounds")
    return grammar.rule(*integers(first, last))


def _shown(bound: Bound, sign: str) -> str:
    return f"{sign}{'' if bound.is_open else '='} {bound.value}"


def _whole(bound: Bound, *, up: bool) -> int:
    nearest = math.ceil(bound.value) if up else math.floor(bound.value)
    if bound.is_open and nearest == bound.value:
        return nearest + (1 if up else -1)
    return nearest


def _bound(schema: dict[str, Any], place: Place, closed: str, opened: str, *, is_low: bool) -> Bound | None:
    found: Bound | None = None
    for key in (closed, opened):
        if key not in schema:
            continue
        bound = Bound(_decimal(schema[key], place / key), is_open=key == opened)
        is_stricter = found is None or (bound.value >= found.value if is_low else bound.value <= found.value)
        found = bound if is_stricter else found
    return found


def _decimal(value: Any, place: Place) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        place.fail("must be a number")
    number = Decimal(value) if isinstance(value, int) else Decimal(repr(value))
    if len(f"{number:f}") > MAX_DIGITS:
        place.fail(f"has more than {MAX_DIGITS} digits; leave the bound out", limit=MAX_DIGITS)
    return abs(number) if number == 0 else number


def array_rule(schema: dict[str, Any], place: Place, text: JsonText, write: Write) -> str:
    """Return the rule of the arrays that a schema allows."""
    minimum, maximum = counts(schema, place, "minItems", "maxItems")
    _check_unique(schema, place, maximum)
    if schema.get("unevaluatedItems", False) is not False:
        (place / "unevaluatedItems").fail("only false can be enforced; use 'items'")
    first = schema.get("prefixItems", [])
    if not isinstance(first, list):
        (place / "prefixItems").fail("must be a list of schemas")
    rest = schema.get("items", not first and "unevaluatedItems" not in schema)
    if isinstance(rest, list):
        (place / "items").fail("is a list, as in old drafts; use 'prefixItems'")
    if maximum is not None:
        first = first[:maximum]
    if rest is False and minimum > len(first):
        place.fail(f"needs {minimum} items but allows {len(first)}; give 'items', or lower 'minItems'")
    if not first:
        item = '""' if rest is False or maximum == 0 else write(rest, place / "items")
        return text.items(item, minimum, 0 if rest is False else maximum)
    items = [write(item, place / "prefixItems" / index) for index, item in enumerate(first)]
    n_more = None if maximum is None else maximum - len(items)
    if rest is False or n_more == 0:
        return text.sequence_of(items, minimum, "")
    least = max(minimum - len(items), 0)
    bounds = f"{{{least},{'' if n_more is None else n_more}}}"
    return text.sequence_of(items, minimum, f"({text.comma} {write(rest, place / 'items')}){bounds}")


def _check_unique(schema: dict[str, Any], place: Place, maximum: int | None) -> None:
    value = schema.get("uniqueItems", False)
    if not isinstance(value, bool):
        (place / "uniqueItems").fail("must be true or false")
    if value and (maximum is None or maximum > 1):
        (place / "uniqueItems").fail("cannot be enforced; remove it, or check it afterwards", keyword="uniqueItems")


def counts(schema: dict[str, Any], place: Place, low: str, high: str) -> tuple[int, int | None]:
    """Return the least and the greatest count that two keywords give."""
    minimum = (place / low).number(schema[low], maximum=MAX_COUNT) if low in schema else 0
    maximum = (place / high).number(schema[high], maximum=MAX_COUNT) if high in schema else None
    if maximum is not None and minimum > maximum:
        place.fail(f"'{low}' is {minimum} and '{high}' only {maximum}, which allows nothing")
    return minimum, maximum
