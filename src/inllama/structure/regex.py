"""Regular expressions as grammars: what a finite automaton can decide, in the spelling of Python and JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from inllama.errors import GrammarError
from inllama.structure.characters import ALL, ASCII, ASCII_SPACE, DIGITS, LINE_ENDS, SPACE, WORD, Characters
from inllama.structure.ebnf import Grammar, Part, repeated

MAX_CHARACTERS = 1 << 16
MAX_NESTING = 64
# What it costs to compile, with bounded repetitions written out: 1 is about 3 ms with a vocabulary of 150,000 tokens.
MAX_COST = 1 << 10
MAX_REPEAT = 128
# Of a place for one of so many characters.
_COSTS = ((16, 1), (128, 2), (1 << 21, 8))
# Repetitions of a set up to here are written out; longer ones count while they are matched.
_MAX_WRITTEN = 8

# How a character of a set is spelled in the output, as a pattern of xgrammar's.
Spelling: TypeAlias = Callable[[Characters], str]

_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_OCTAL = re.compile("[0-7]{1,3}")
_UNSUPPORTED = {
    "b": "a word boundary",
    "B": "a word boundary",
    "A": "\\A",
    "Z": "\\Z",
    "z": "\\z",
    "p": "a class of Unicode properties",
    "P": "a class of Unicode properties",
    "k": "a reference to a group",
}
_REMEDY = "a regular expression is enforced character by character, so write out what is meant"


def regex_grammar(pattern: str) -> str:
    """Return the grammar of outputs that match ``pattern`` as a whole.

    Raises:
        GrammarError: It is no regular expression, or needs more than a finite automaton; ``.line`` and ``.column``
            say where.
    """
    grammar = Grammar()
    branches = parse(pattern, Characters.pattern)
    return grammar.text(grammar.rule(*(grammar.sequence(branch.parts) for branch in branches)))


@dataclass(frozen=True, slots=True)
class Branch:
    """An alternative of a whole expression.

    Attributes:
        parts: One after the other.
        is_from_start: ``^`` begins it.
        is_to_end: ``$`` ends it.
    """

    parts: tuple[Part, ...]
    is_from_start: bool
    is_to_end: bool


def parse(pattern: str, spell: Spelling) -> list[Branch]:
    """Return the alternatives of an expression; errors as ``regex_grammar``."""
    return _Parser(pattern, spell).branches()


@dataclass(frozen=True, slots=True)
class _Piece:
    pattern: str
    cost: int
    is_atom: bool = False  # a sign of repetition behind it repeats all of it
    n_set: int = 0  # characters, if it is one of a set
    # What it repeats and how often, if it is nothing but a repetition.
    repeats: tuple[_Piece, int, int | None] | None = None
    # For a repeated set of characters: the same as a part that counts.
    counted: Part | None = None

    def grouped(self) -> str:
        return self.pattern if self.is_atom or not self.pattern else f"(?:{self.pattern})"


_EMPTY = _Piece("", 0, True)


class _Parser:
    def __init__(self, pattern: str, spell: Spelling) -> None:
        self._pattern = pattern
        self._spell = spell
        self._at = 0
        self._depth = 0
        if len(pattern) > MAX_CHARACTERS:
            self._fail(f"it has {len(pattern)} characters, the limit is {MAX_CHARACTERS}")

    def branches(self) -> list[Branch]:
        found = [self._branch()]
        while self._take("|"):
            found.append(self._branch())
        if self._at < len(self._pattern):
            self._fail("there is no '(' for this ')'")
        return found

    def _branch(self) -> Branch:
        is_from_start = self._take("^")
        pieces = self._pieces()
        is_to_end = self._take("$")
        if self._peek() not in ("", "|", ")"):
            self._fail("'$' stands before the end; it must end the expression or a branch of it", self._at - 1)
        parts = tuple(piece.counted or Part(piece.pattern) for piece in pieces)
        self._check_cost(sum(0 if piece.counted else piece.cost for piece in pieces))
        return Branch(parts, is_from_start, is_to_end)

    def _pieces(self) -> list[_Piece]:
        pieces: list[_Piece] = []
        while self._peek() not in ("", "|", ")", "$"):
            pieces.append(self._quantified())
        return pieces

    def _alternation(self) -> _Piece:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]
        self._check_written(branches)
        some = list(dict.fromkeys(branch.pattern for branch in branches if branch.pattern))
        cost = sum(branch.cost for branch in branches)
        self._check_cost(cost)
        if not some:
            return _EMPTY
        nothing = [""] if any(not branch.pattern for branch in branches) else []
        return _Piece("(?:" + "|".join(nothing + some) + ")", cost, is_atom=True)

    def _sequence(self) -> _Piece:
        pieces = self._pieces()
        if len(pieces) == 1:
            return pieces[0]
        self._check_written(pieces)
        cost = sum(piece.cost for piece in pieces)
        self._check_cost(cost)
        pattern = "".join(piece.pattern for piece in pieces)
        return _Piece(pattern, cost) if pattern else _EMPTY

    def _quantified(self) -> _Piece:
        begin = self._at
        piece = self._atom()
        bounds = self._quantifier()
        if bounds is None:
            return piece
        self._take("?")  # a lazy quantifier matches the same texts
        if self._peek() == "+":
            self._fail("possessive quantifiers are not possible; leave out the '+'")
        if self._peek() in ("*", "?") or self._quantifier() is not None:
            self._fail("there is nothing to repeat here; put the repetition before it into parentheses")
        return self._repeated(piece, *bounds, begin)

    def _repeated(self, piece: _Piece, low: int, high: int | None, begin: int) -> _Piece:
        if high == 0 or not piece.pattern:
            return _EMPTY
        if (low, high) == (1, 1):
            return piece
        self._check_written([piece])
        if piece.repeats is not None and high is None:
            # (x+)+ is x+: a text would have many readings otherwise.
            inner, inner_low, inner_high = piece.repeats
            if inner_high is None and (inner_low <= 1 or low > 0):
                return self._repeated(inner, low * inner_low, None, begin)
            if (inner_low, inner_high) == (0, 1):
                return self._repeated(inner, 0, None, begin)
        n_copies = max(low, 1) if high is None else high
        cost = piece.cost * n_copies
        counted = None
        if piece.n_set and high is not None and high > _MAX_WRITTEN:
            self._check_cost(piece.cost * low, begin)
            counted = Part(repeated(piece.grouped(), low, None), high)
        else:
            self._check_cost(cost, begin)
            self._check_repeat(max(low, high or 0), begin)
        pattern = repeated(piece.grouped(), low, high)
        made = _Piece(pattern, cost, (low, high) == (0, 1), repeats=(piece, low, high), counted=counted)
        if counted is None:
            self._check_written([made], begin)
        return made

    def _check_written(self, pieces: list[_Piece], at: int | None = None) -> None:
        """Refuse what would have to be written out too often: only a part of a branch can be counted instead."""
        for piece in pieces:
            self._check_cost(piece.cost, at)
            if piece.repeats is not None:
                self._check_repeat(max(piece.repeats[1], piece.repeats[2] or 0), at)

    def _check_repeat(self, n: int, at: int | None) -> None:
        if n > MAX_REPEAT:
            self._fail(f"a repetition of {n} is over the limit of {MAX_REPEAT} here", at)

    def _check_cost(self, cost: int, at: int | None = None) -> None:
        if cost > MAX_COST:
            self._fail(
                "with its repetitions written out it is too large; repeat less, leave the upper bound open, or repeat "
                "one class of characters outside of parentheses",
                at,
            )

    def _quantifier(self) -> tuple[int, int | None] | None:
        for sign, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._take(sign):
                return least, most
        if self._peek() != "{":
            return None
        end = self._pattern.find("}", self._at)
        low, comma, high = self._pattern[self._at + 1 : max(end, self._at + 1)].partition(",")
        if end < 0 or not (low or comma) or not all(_is_number(bound) for bound in (low, high) if bound):
            return None  # a brace that means itself
        if max(len(low), len(high)) > 6:
            self._fail("a repetition is over the limit of 999999")
        bounds = (int(low or 0), int(low) if not comma else int(high) if high else None)
        if bounds[1] is not None and bounds[1] < bounds[0]:
            self._fail(f"repetition {{{low},{high}}} ends below its start; swap the numbers")
        self._at = end + 1
        return bounds

    def _atom(self) -> _Piece:
        character = self._peek()
        if character == "(":
            return self._group()
        if character == "[":
            return self._set(self._class())
        if character in ("*", "+", "?", "{"):
            begin = self._at
            if self._quantifier() is not None:
                self._fail(
                    f"there is nothing to repeat before '{character}'; write \\{character} for the character", begin
                )
        if character == "^":
            self._fail("'^' stands behind the start; it must begin the expression or a branch of it")
        if character == "\\":
            return self._set(self._escape(is_in_class=False))
        self._at += 1
        return self._set(ALL - LINE_ENDS if character == "." else Characters.of(character))

    def _group(self) -> _Piece:
        begin = self._at
        self._at += 1
        if self._take("?"):
            self._group_kind(begin)
        self._depth += 1
        if self._depth > MAX_NESTING:
            self._fail(f"parentheses are nested more than {MAX_NESTING} deep", begin)
        piece = self._alternation()
        self._depth -= 1
        if self._peek() == "$":
            self._fail("'$' inside parentheses is not possible; put it at the end of the expression")
        if not self._take(")"):
            self._fail("this '(' has no ')'", begin)
        return piece

    def _group_kind(self, begin: int) -> None:
        if self._take(":"):
            return
        for opening in ("P<", "<"):
            end = self._pattern.find(">", self._at)
            name = self._pattern[self._at + len(opening) : max(end, 0)]
            if self._pattern.startswith(opening, self._at) and name.isidentifier():
                self._at = end + 1
                return
        kind = "lookaround" if self._peek() in ("=", "!", "<") else "this kind of group"
        self._fail(f"{kind} is not possible; {_REMEDY}", begin)

    def _class(self) -> Characters:
        begin = self._at
        self._at += 1
        is_negated = self._take("^")
        found = Characters()
        shorthands = ""
        while self._peek() != "]" or not found:
            if self._peek() == "":
                self._fail("this '[' has no ']'", begin)
            if self._peek() == "]":
                self._fail("an empty class; write \\] for the character", begin)
            part, shorthand = self._class_part()
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                part = self._range(part, shorthand)
            shorthands += shorthand
            found = found | part
        self._at += 1
        if not is_negated:
            return found
        # Dialects differ in what else is a space, digit or letter: nobody shall miss it among the others.
        if set(shorthands) & set("sS"):
            found = found | (SPACE - ASCII_SPACE)
        return ~found & ASCII if set(shorthands) & set("dDwW") else ~found

    def _class_part(self) -> tuple[Characters, str]:
        begin = self._at
        if self._peek() == "\\":
            part = self._escape(is_in_class=True)
            kind = self._pattern[begin + 1]
            return part, kind if kind in "dDwWsS" else ""
        character = self._peek()
        if character == "[" and self._pattern[self._at + 1 : self._at + 2] in (":", "=", "."):
            self._fail("POSIX classes are not possible; write the characters")
        self._at += 1
        return Characters.of(character), ""

    def _range(self, low: Characters, shorthand: str) -> Characters:
        begin = self._at
        self._at += 1
        high, high_shorthand = self._class_part()
        if shorthand or high_shorthand:
            self._fail("a class such as \\d cannot be an end of a range", begin)
        first, last = low.ranges[0][0], high.ranges[0][0]
        if first > last:
            self._fail("the range ends below its start; swap the characters", begin)
        return ~~Characters.of((first, last))  # without the halves of characters

    def _escape(self, *, is_in_class: bool) -> Characters:
        begin = self._at
        self._at += 1
        kind = self._peek()
        self._at += 1
        classes = {"d": DIGITS, "w": WORD, "s": ASCII_SPACE}
        if kind in classes:
            return classes[kind]
        if kind in ("D", "W"):
            return ASCII - classes[kind.lower()]
        if kind == "S":
            return ~SPACE
        if kind in _ESCAPED:
            return Characters.of(_ESCAPED[kind])
        if kind == "b" and is_in_class:
            return Characters.of("\b")
        if kind in ("x", "u"):
            return self._code(kind, begin)
        octal = _OCTAL.match(self._pattern, begin + 1)
        if octal is not None and (is_in_class or kind == "0" or len(octal[0]) == 3):
            return self._octal(octal, begin)
        if kind.isdigit():
            self._fail(f"a reference to a group is not possible; {_REMEDY}", begin)
        if kind in _UNSUPPORTED:
            self._fail(f"{_UNSUPPORTED[kind]} is not possible; {_REMEDY}", begin)
        if kind == "" or kind.isalpha():
            self._fail(f"there is no escape '\\{kind}'", begin)
        return Characters.of(kind)

    def _octal(self, digits: re.Match[str], begin: int) -> Characters:
        code = int(digits[0], 8)
        if code > 0o377:
            self._fail(f"'\\{digits[0]}' is over \\377; write \\u and four hexadecimal digits", begin)
        self._at = digits.end()
        return Characters.of((code, code))

    def _code(self, kind: str, begin: int) -> Characters:
        if kind == "u" and self._take("{"):
            end = self._pattern.find("}", self._at)
            digits, after = self._pattern[self._at : max(end, self._at)], end + 1
            is_whole = 0 < len(digits) <= 6
        else:
            after = self._at + (2 if kind == "x" else 4)
            digits = self._pattern[self._at : after]
            is_whole = len(digits) == after - self._at
        is_hexadecimal = is_whole and all(digit in "0123456789abcdefABCDEF" for digit in digits)
        code = int(digits, 16) if is_hexadecimal else -1
        if not 0 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            self._fail(f"'\\{kind}' needs the code of a character in hexadecimal digits", begin)
        self._at = after
        return Characters.of((code, code))

    def _set(self, characters: Characters) -> _Piece:
        if not characters:
            self._fail("this matches no character")
        try:
            pattern = self._spell(characters)
        except ValueError as problem:
            self._fail(str(problem))
        cost = next(cost for limit, cost in _COSTS if len(characters) <= limit)
        return _Piece(pattern, cost, is_atom=True, n_set=len(characters))

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self, expected: str) -> bool:
        is_there = self._peek() == expected
        self._at += is_there
        return is_there

    def _fail(self, problem: str, at: int | None = None) -> NoReturn:
        before = self._pattern[: self._at if at is None else at]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise GrammarError(f"regular expression line {line}, column {column}: {problem}", line=line, column=column)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
