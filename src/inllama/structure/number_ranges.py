"""Decimal numbers between two bounds, as alternatives in xgrammar's EBNF."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

# Digits behind the point that are written where more would make no difference to a double.
_N_FRACTION = 17
_ANY = f"[0-9]{{0,{_N_FRACTION - 1}}}"
_ZEROS = f'"0"{{0,{_N_FRACTION - 1}}}'
_SOME_FRACTION = f'("." [0-9]{{1,{_N_FRACTION}}})?'
_NOT_ZERO = f"{_ZEROS} [1-9] {_ANY}"


@dataclass(frozen=True, slots=True)
class Bound:
    """An end of a range; ``is_open``: the number itself is not in it."""

    value: Decimal
    is_open: bool = False


def integers(low: int | None, high: int | None) -> list[str]:
    """Return the integers from ``low`` to ``high``; there must be one."""
    found: list[str] = []
    if high is None or high >= 0:
        found += _natural(max(low or 0, 0), high)
    if low is None or low < 0:
        nearest = 1 if high is None else max(-high, 1)
        if low is None or nearest <= -low:
            found += [f'"-" {text}' for text in _natural(nearest, None if low is None else -low)]
    return found


def numbers(low: Bound | None, high: Bound | None) -> list[str]:
    """Return the numbers between two bounds, without exponents; there must be one."""
    found: list[str] = []
    zero = Bound(Decimal(0))
    if high is None or high.value > 0 or (high.value == 0 and not high.is_open):
        found += _decimals(low if low is not None and low.value >= 0 else zero, high)
    if low is None or low.value < 0:
        nearest = _negated(high) if high is not None and high.value < 0 else Bound(Decimal(0), is_open=True)
        found += [f'"-" {text}' for text in _decimals(nearest, None if low is None else _negated(low))]
    return found


def _negated(bound: Bound) -> Bound:
    return Bound(-bound.value, bound.is_open)


# --------------------------------------------------------------------------------------------------- whole numbers


def _natural(low: int, high: int | None) -> list[str]:
    first = str(low)
    if high is None:
        return [*_digits(first, "9" * len(first)), f"[1-9] [0-9]{{{len(first)},}}"]
    last = str(high)
    found: list[str] = []
    for n in range(len(first), len(last) + 1):
        begin = first if n == len(first) else "1" + "0" * (n - 1)
        found += _digits(begin, last if n == len(last) else "9" * n)
    return found


def _digits(first: str, last: str) -> list[str]:
    """Return the texts of as many digits from ``first`` to ``last``."""
    n_equal = next((i for i, (a, b) in enumerate(zip(first, last, strict=True)) if a != b), len(first))
    same = _literal(first[:n_equal])
    first, last = first[n_equal:], last[n_equal:]
    if not first:
        return [same]
    if set(first) == {"0"} and set(last) == {"9"}:
        return [_joined(same, _repeat(len(first)))]
    found = [_joined(same, text) for text in _at_least(first)]
    found += _between(same, first[0], last[0], _repeat(len(first) - 1))
    return found + [_joined(same, text) for text in _at_most(last)]


def _at_least(first: str) -> list[str]:
    """Return the texts of as many digits that begin like ``first`` and are not below it."""
    if set(first[1:]) <= {"0"}:
        return [_joined(_literal(first[0]), _repeat(len(first) - 1))]
    found = [_literal(first)]
    for i in range(1, len(first)):
        found += _between(_literal(first[:i]), first[i], None, _repeat(len(first) - i - 1))
    return found


def _at_most(last: str) -> list[str]:
    if set(last[1:]) <= {"9"}:
        return [_joined(_literal(last[0]), _repeat(len(last) - 1))]
    found = [_literal(last)]
    for i in range(1, len(last)):
        found += _between(_literal(last[:i]), None, last[i], _repeat(len(last) - i - 1))
    return found


# -------------------------------------------------------------------------------------------------------- decimals


def _decimals(low: Bound, high: Bound | None) -> list[str]:
    """Return the numbers that are not negative between two bounds."""
    whole, fraction = _parts(low.value)
    above = [f'"{whole}" {text}' for text in _fraction_from(fraction, low.is_open)]
    if high is None:
        return above + [f"{text} {_SOME_FRACTION}" for text in _natural(int(whole) + 1, None)]
    last, last_fraction = _parts(high.value)
    if whole == last:
        return [
            _joined(f'"{whole}"', text)
            for text in _fraction_between(fraction, low.is_open, last_fraction, high.is_open)
        ]
    found = above
    if int(whole) + 1 < int(last):
        found += [f"{text} {_SOME_FRACTION}" for text in _natural(int(whole) + 1, int(last) - 1)]
    return found + [_joined(f'"{last}"', text) for text in _fraction_to(last_fraction, high.is_open)]


def _parts(value: Decimal) -> tuple[str, str]:
    whole, _, fraction = f"{value:f}".partition(".")
    return whole, fraction.rstrip("0")


def _fraction_from(fraction: str, is_open: bool) -> list[str]:
    if not fraction and not is_open:
        return [_SOME_FRACTION]
    return [f'"." {text}' for text in _tail_from(fraction, is_open)]


def _fraction_to(fraction: str, is_open: bool) -> list[str]:
    if not fraction:
        return [] if is_open else ["", f'"." "0" {_ZEROS}']
    return ["", *(f'"." {text}' for text in _tail_to(fraction, is_open) if text)]


def _fraction_between(low: str, is_low_open: bool, high: str, is_high_open: bool) -> list[str]:
    if low == high:
        return [f'"." {_literal(low)} {_ZEROS}' if low else f'("." "0" {_ZEROS})?']
    size = max(len(low), len(high))
    first, last = low.ljust(size, "0"), high.ljust(size, "0")
    n_equal = next(i for i in range(size) if first[i] != last[i])
    same = first[:n_equal]
    found = [] if low or is_low_open else [""]
    a, b = first[n_equal], last[n_equal]
    found += [f'"." {text}' for text in _between(_literal(same), a, b, _ANY)]
    found += [f'"." {_joined(_literal(same + a), text)}' for text in _tail_from(low[n_equal + 1 :], is_low_open)]
    found += [f'"." {_joined(_literal(same + b), text)}' for text in _tail_to(high[n_equal + 1 :], is_high_open)]
    return found


def _tail_from(digits: str, is_open: bool) -> list[str]:
    """Return the digits behind the point that are not below ``digits``, which end with no zero."""
    found: list[str] = []
    for i in range(len(digits)):
        found += _between(_literal(digits[:i]), digits[i], None, _ANY)
    return [*found, _joined(_literal(digits), _NOT_ZERO if is_open else _ANY)]


def _tail_to(digits: str, is_open: bool) -> list[str]:
    """Return the digits behind the point that are not above ``digits``, which end with no zero."""
    found = [""] if digits else []
    for i in range(len(digits)):
        found += _between(_literal(digits[:i]), None, digits[i], _ANY)
    return found if is_open else [*found, _joined(_literal(digits), _ZEROS)]


# --------------------------------------------------------------------------------------------------------- writing


def _between(before: str, low: str | None, high: str | None, after: str) -> list[str]:
    """Return the texts with one digit above ``low`` and below ``high`` between two others."""
    first = 0 if low is None else int(low) + 1
    last = 9 if high is None else int(high) - 1
    if first > last:
        return []
    digit = f'"{first}"' if first == last else f"[{first}-{last}]"
    return [_joined(before, digit, after)]


def _literal(digits: str) -> str:
    return f'"{digits}"' if digits else ""


def _repeat(n: int) -> str:
    return "" if n == 0 else "[0-9]" if n == 1 else f"[0-9]{{{n}}}"


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
