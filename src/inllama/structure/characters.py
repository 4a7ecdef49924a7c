"""Sets of characters, and how they are written in xgrammar's EBNF."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

LAST = 0x10FFFF
# Halves of UTF-16 characters are no characters.
_SURROGATES = (0xD800, 0xDFFF)

Ranges: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Characters:
    """A set of characters.

    Attributes:
        ranges: First and last code points, rising, neither touching nor overlapping.
    """

    ranges: Ranges = ()

    @classmethod
    def of(cls, *parts: str | tuple[int, int]) -> Characters:
        """Return the set of all characters of texts and of ranges."""
        ranges: list[tuple[int, int]] = []
        for part in parts:
            ranges.extend([(ord(one), ord(one)) for one in part] if isinstance(part, str) else [part])
        return cls(_merged(ranges))

    def __contains__(self, character: str) -> bool:
        code = ord(character)
        return any(first <= code <= last for first, last in self.ranges)

    def __or__(self, other: Characters) -> Characters:
        return Characters(_merged([*self.ranges, *other.ranges]))

    def __and__(self, other: Characters) -> Characters:
        return ~(~self | ~other)

    def __sub__(self, other: Characters) -> Characters:
        return self & ~other

    def __invert__(self) -> Characters:
        """Return all other characters."""
        gaps: list[tuple[int, int]] = []
        begin = 0
        for first, last in _merged([*self.ranges, _SURROGATES]):
            if begin < first:
                gaps.append((begin, first - 1))
            begin = last + 1
        if begin <= LAST:
            gaps.append((begin, LAST))
        return Characters(tuple(gaps))

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def pattern(self) -> str:
        """Return the set as a regular expression of xgrammar's; it must not be empty."""
        if len(self) == 1:
            return plain_pattern(chr(self.ranges[0][0]))
        ends = [f"{_code(first)}-{_code(last)}" if first < last else _code(first) for first, last in self.ranges]
        return f"[{''.join(ends)}]"

    def written(self) -> str:
        """Return the set as a class or, of one character, as a literal; it must not be empty."""
        if len(self.ranges) == 1 and self.ranges[0][0] == self.ranges[0][1]:
            return literal(chr(self.ranges[0][0]))
        parts = [_escaped(first) + (f"-{_escaped(last)}" if first < last else "") for first, last in self.ranges]
        return f"[{''.join(parts)}]"


def literal(text: str) -> str:
    """Return a text as a literal."""
    return '"' + "".join(_escaped(ord(character)) for character in text) + '"'


def plain_pattern(text: str) -> str:
    """Return the regular expression of xgrammar's that matches a text and nothing else."""
    return "".join(_code(ord(character)) for character in text)


def _code(code: int) -> str:
    return chr(code) if code < 0x80 and chr(code).isalnum() else f"\\u{{{code:x}}}"


def _escaped(code: int) -> str:
    # Letters and digits mean themselves everywhere; of other characters that depends on the place.
    if code < 0x80 and chr(code).isalnum():
        return chr(code)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


ALL = ~Characters()
DIGITS = Characters.of("0123456789")
WORD = Characters.of("_0123456789", (0x41, 0x5A), (0x61, 0x7A))
ASCII = Characters.of((0, 0x7F))
ASCII_SPACE = Characters.of(" \t\n\r\f\v")
# White space in any dialect of regular expressions.
SPACE = Characters.of(
    " \t\n\r\f\v\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff", (0x1C, 0x1F), (0x2000, 0x200A)
)
LINE_ENDS = Characters.of("\n\r\u2028\u2029")
# What a JSON string cannot hold as it is.
MUST_ESCAPE = Characters.of('"\\', (0, 0x1F))
