"""Regular expressions of JSON schemas, matched in time that grows with the text and not with its backtracking.

Python's ``re`` would take for ever over ``(a+)+$``, has a ``$`` that matches before a line feed, and a ``\\d`` that
knows the digits of all scripts. Here a pattern becomes a set of states that all advance together (Thompson's method).

Source: the syntax is that of ECMA-262 with the ``u`` flag, without what no set of states can do (back references,
look-around) and without what generation cannot follow (word boundaries, Unicode properties).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NoReturn, TypeAlias

from inllama.errors import UnsupportedError

Ranges: TypeAlias = tuple[tuple[int, int], ...]

MAX_STATES = 10_000
MAX_DEPTH = 100
MAX_WORK = 1_000_000

_LAST = 0x10FFFF
_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Ranges = (
    *((9, 13), (32, 32), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
    *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
_LINE_ENDS: Ranges = ((10, 10), (13, 13), (0x2028, 0x2029))
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}


def _inverted(ranges: Iterable[tuple[int, int]]) -> Ranges:
    gaps, first = [], 0
    for low, high in sorted(ranges):
        if low > first:
            gaps.append((first, low - 1))
        first = max(first, high + 1)
    if first <= _LAST:
        gaps.append((first, _LAST))
    return tuple(gaps)


_CLASSES: dict[str, Ranges] = {
    **{"d": _DIGIT, "w": _WORD, "s": _SPACE},
    **{"D": _inverted(_DIGIT), "W": _inverted(_WORD), "S": _inverted(_SPACE)},
}


class Pattern:
    """A compiled pattern. Immutable, so any thread may search with it.

    Raises:
        UnsupportedError: The text is no such pattern, or larger than ``MAX_STATES``; ``.position`` says where.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        states = _Parser(text).states
        self._accepted = len(states.characters) - 1
        self._characters = states.characters
        self._next = states.next
        self._free = states.free

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in ``text``."""
        current = self._closure({0}, is_first=True, is_last=not text)
        known: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        work = 0
        for i, character in enumerate(text):
            if self._accepted in current:
                return True
            is_last = i + 1 == len(text)
            following = None if is_last else known.get((current, character))
            if following is None:
                work += len(current)
                if work > MAX_WORK:
                    raise UnsupportedError(
                        f"the pattern {self._text[:60]!r} takes too long on a text of {len(text)} characters",
                        pattern=self._text,
                    )
                following = self._closure(self._step(current, ord(character)) | {0}, is_first=False, is_last=is_last)
                if not is_last:
                    known[current, character] = following
            current = following
        return self._accepted in current

    def _step(self, current: frozenset[int], code: int) -> set[int]:
        return {self._next[at] for at in current if any(low <= code <= high for low, high in self._characters[at])}

    def _closure(self, states: set[int], *, is_first: bool, is_last: bool) -> frozenset[int]:
        found, waiting = set(states), list(states)
        while waiting:
            for condition, target in self._free[waiting.pop()]:
                is_open = not condition or (is_first if condition == "^" else is_last)
                if is_open and target not in found:
                    found.add(target)
                    waiting.append(target)
        return frozenset(found)


@lru_cache(maxsize=256)
def compiled(text: str) -> Pattern:
    """Return the pattern, from a cache if it was used before."""
    return Pattern(text)


class _States:
    """States in three columns: what a state reads, where that leads, and where it leads without reading."""

    def __init__(self) -> None:
        self.characters: list[Ranges] = []
        self.next: list[int] = []
        self.free: list[list[tuple[str, int]]] = []

    def add(self, characters: Ranges = ()) -> int:
        self.characters.append(characters)
        self.next.append(len(self.characters))  # the state that is added after it
        self.free.append([])
        return len(self.characters) - 1

    def link(self, source: int, target: int, condition: str = "") -> None:
        self.free[source].append((condition, target))


class _Parser:
    """Reads a pattern and adds its states on the way; a repeated part is read again for each repetition."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self.states = _States()
        self._alternatives()
        if self._at < len(text):
            self._fail("a ')' that closes nothing")
        self.states.add()

    def _fail(self, problem: str, *, at: int | None = None) -> NoReturn:
        position = self._at if at is None else at
        raise UnsupportedError(
            f"the pattern {self._text[:60]!r} has {problem} at character {position}, which cannot be checked",
            pattern=self._text,
            position=position,
        )

    def _peek(self, n: int = 1) -> str:
        return self._text[self._at : self._at + n]

    def _take(self, what: str) -> str:
        if self._at >= len(self._text):
            self._fail(f"no end of {what}")
        self._at += 1
        return self._text[self._at - 1]

    def _new_state(self, characters: Ranges = ()) -> int:
        if len(self.states.characters) >= MAX_STATES:
            self._fail(f"more than {MAX_STATES} states")
        return self.states.add(characters)

    def _alternatives(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"more than {MAX_DEPTH} nested groups")
        ends = []
        while True:
            start = self._new_state()
            self.states.link(start, start + 1)
            while self._peek() not in ("", "|", ")"):
                self._repeated()
            if self._peek() != "|":
                break
            self._at += 1
            ends.append(self._new_state())
            self.states.link(start, ends[-1] + 1)
        self._depth -= 1
        if ends:
            last = self._new_state()
            self.states.link(last, last + 1)
            for end in ends:
                self.states.link(end, last + 1)

    def _repeated(self) -> None:
        source, start = self._at, self._new_state()
        self.states.link(start, start + 1)
        is_anchor = self._part()
        after = self._at
        low, high = self._quantifier()
        if (low, high) == (1, 1):
            return
        if is_anchor:
            self._fail("a repeated anchor", at=after)
        end = self._at
        self._repeat(source, start, low, high)
        self._at = end

    def _repeat(self, source: int, start: int, low: int, high: int | None) -> None:
        # The part was read once already, from `start` on.
        skips = [start] if low == 0 else []
        if high == 0:
            self.states.free[start].clear()
        n_copies = max(low, 1) if high is None else max(high, 1)
        copy = start
        for i in range(1, n_copies):
            copy = self._new_state()
            self.states.link(copy, copy + 1)
            if i >= low:
                skips.append(copy)
            self._at = source
            self._part()
        end = self._new_state()
        self.states.link(end, end + 1)
        if high is None:
            self.states.link(end, copy)
        for skip in skips:
            self.states.link(skip, end + 1)

    def _part(self) -> bool:
        """Read one thing that a quantifier can stand behind; returns whether it is an anchor."""
        first = self._peek()
        if first in "^$":
            self._at += 1
            anchor = self._new_state()
            self.states.link(anchor, anchor + 1, first)
            return True
        if first == "(":
            self._group()
        elif first == "[":
            self._new_state(self._class())
        elif first == ".":
            self._at += 1
            self._new_state(_inverted(_LINE_ENDS))
        elif first == "\\":
            self._new_state(self._escape())
        elif first in "*+?{":
            self._fail(f"a {first!r} with nothing to repeat")
        else:
            self._at += 1
            self._new_state(((ord(first), ord(first)),))
        return False

    def _group(self) -> None:
        start = self._at
        self._at += 1
        if self._peek(2) == "?:":
            self._at += 2
        elif self._peek(2) == "?<" and self._peek(3) not in ("?<=", "?<!"):
            while self._take("a group's name") != ">":
                pass
        elif self._peek() == "?":
            self._fail(f"a group that begins with {self._text[start : start + 4]!r}", at=start)
        self._alternatives()
        if self._peek() != ")":
            self._fail("a '(' that is not closed", at=start)
        self._at += 1

    def _quantifier(self) -> tuple[int, int | None]:
        first = self._peek()
        if first == "{":
            low, high = self._counts()
        elif first in ("*", "+", "?"):
            self._at += 1
            low, high = (1 if first == "+" else 0), (1 if first == "?" else None)
        else:
            return 1, 1
        if self._peek() == "?":
            self._at += 1  # lazy; which repetition is taken first does not change whether there is one
        if self._peek() in ("*", "+", "?", "{"):
            self._fail("two quantifiers in a row")
        return low, high

    def _counts(self) -> tuple[int, int | None]:
        start = self._at
        low, comma, high = self._text[start + 1 : start + 16].partition("}")[0].partition(",")
        end = self._text.find("}", start)
        if not _is_count(low) or (high and not _is_count(high)) or end < 0 or end > start + 15:
            self._fail("a '{' that is no repetition up to 99999")
        self._at = end + 1
        most = (int(high) if high else None) if comma else int(low)
        if most is not None and most < int(low):
            self._fail("a repetition whose limits are the wrong way round", at=start)
        return int(low), most

    def _class(self) -> Ranges:
        start = self._at
        self._at += 1
        is_inverted = self._peek() == "^"
        self._at += is_inverted
        ranges: list[tuple[int, int]] = []
        while self._peek() != "]":
            low = self._class_part()
            if self._peek() != "-" or self._peek(2) in ("-]", "-"):
                ranges.extend(low)
                continue
            self._at += 1
            high = self._class_part()
            if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or high[0][0] < low[0][0]:
                self._fail("a range that is none", at=start)
            ranges.append((low[0][0], high[0][1]))
        self._at += 1
        return _inverted(ranges) if is_inverted else tuple(ranges)

    def _class_part(self) -> Ranges:
        if self._peek() == "\\":
            return self._escape()
        code = ord(self._take("a '['"))
        return ((code, code),)

    def _escape(self) -> Ranges:
        start = self._at
        self._at += 1
        letter = self._take("an escape")
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in _CONTROLS and not (letter == "0" and self._peek().isdigit()):
            code = _CONTROLS[letter]
        elif letter in "xu":
            code = self._hexadecimal(start, 2 if letter == "x" else 4)
        elif letter.isalnum():
            self._fail(f"the escape '\\{letter}'", at=start)
        else:
            code = ord(letter)
        return ((code, code),)

    def _hexadecimal(self, start: int, n: int) -> int:
        if self._peek() == "{" and n == 4:
            digits, end = self._text[self._at + 1 : self._at + 8].partition("}")[0], "}"
            self._at += len(digits) + 2
        else:
            digits, end = self._peek(n), ""
            self._at += n
        is_right = bool(digits) and all(digit in "0123456789abcdefABCDEF" for digit in digits)
        if not is_right or self._text[self._at - len(end) : self._at] != end or (not end and len(digits) != n):
            self._fail("an escape that is no code point", at=start)
        code = int(digits, 16)
        if code > _LAST:
            self._fail("an escape that is no code point", at=start)
        return code


def _is_count(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= 5
