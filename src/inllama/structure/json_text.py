"""The parts of JSON texts as rules of a grammar: white space, strings, numbers, any value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from inllama.structure.characters import ALL, MUST_ESCAPE, Characters, literal, plain_pattern
from inllama.structure.ebnf import Grammar, Part, matching, repeated
from inllama.structure.regex import parse

# Escapes with a name; other control characters are written by number, where anything may come.
SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
PLAIN = ALL - MUST_ESCAPE
_HEX = "[0-9A-Fa-f]"
_BACKSLASH = plain_pattern("\\")
_QUOTE = plain_pattern('"')
# Halves of UTF-16 characters come in pairs only: others could not be encoded.
_CODE = (
    f"(?:[0-9A-Ca-cEeFf]{_HEX}{{3}}|[Dd][0-7]{_HEX}{{2}}|[Dd][89ABab]{_HEX}{{2}}{_BACKSLASH}u[Dd][C-Fc-f]{_HEX}{{2}})"
)
_ESCAPE = f"(?:{Characters.of(chr(34) + chr(92) + '/bfnrt').pattern()}|u{_CODE})"
_CHARACTER = f"(?:{PLAIN.pattern()}|{_BACKSLASH}{_ESCAPE})"

# A longer least length would take too long to compile.
MAX_LEAST_LENGTH = 64
# Lengths up to here are written out; longer ones are counted while a string is matched.
_MAX_WRITTEN = 8


def spell_in_string(characters: Characters) -> str:
    """Return the pattern of xgrammar's for how one of ``characters`` is spelled inside a JSON string.

    Raises:
        ValueError: All of them are control characters without a short escape.
    """
    plain = characters - MUST_ESCAPE
    spelled = [plain.pattern()] if plain else []
    spelled += [plain_pattern(escape) for character, escape in SHORT_ESCAPES.items() if character in characters]
    if not spelled:
        raise ValueError("this matches only control characters, which are not written here")
    if len(spelled) == 1:
        return spelled[0] if plain else f"(?:{spelled[0]})"
    return f"(?:{'|'.join(spelled)})"


def json_literal(value: Any) -> str:
    """Return a JSON value as a literal, without white space."""
    return literal(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


class JsonText:
    """Writes rules for parts of JSON texts into a grammar; each rule is written when it is first asked for."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar

    @cached_property
    def space(self) -> str:
        """White space between two parts: none, a blank or a new line with its indentation."""
        return self._grammar.rule('""', literal(" "), f"{literal(chr(10))} [\\u0009\\u0020]{{0,16}}")

    @cached_property
    def comma(self) -> str:
        """A comma, with white space."""
        return self._grammar.rule(f'{self.space} "\\u002c" {self.space}')

    @cached_property
    def colon(self) -> str:
        """A colon, with white space."""
        return self._grammar.rule(f'{self.space} "\\u003a" {self.space}')

    @cached_property
    def string(self) -> str:
        """Any string."""
        # So it is known before which tokens that hold the end of a string too are possible.
        return self._grammar.rule(f"{matching(f'{_QUOTE}{_CHARACTER}*{_QUOTE}')} (= {self._behind})")

    @cached_property
    def _behind(self) -> str:
        """What follows a string: the sign behind a key or a value; nothing, if the text is a string."""
        return f"{self.space} [\\u002c\\u003a\\u005d\\u007d]"

    def string_of(self, minimum: int, maximum: int | None) -> str:
        """Return the strings with so many characters, which are counted as they are written: an escape is several."""
        if (minimum, maximum) == (0, None):
            return self.string
        if maximum == 0:
            return self._grammar.rule(matching(_QUOTE + _QUOTE))
        if maximum is not None and maximum <= _MAX_WRITTEN:
            return self._grammar.rule(matching(f"{_QUOTE}{_CHARACTER}{{{minimum},{maximum}}}{_QUOTE}"))
        body = repeated(_CHARACTER, minimum, None)
        if maximum is None:
            return self._grammar.rule(f"{matching(f'{_QUOTE}{body}{_QUOTE}')} (= {self._behind})")
        behind = f'"\\u0022" {self._behind}'
        return self._grammar.rule(f'"\\u0022" {self._grammar.limited(body, maximum, behind)} "\\u0022"')

    def string_matching(self, pattern: str, *, is_whole: bool = False) -> str:
        """Return the strings in which a regular expression matches; with ``is_whole``, all of the string.

        Raises:
            GrammarError: It needs more than a finite automaton; ``.column`` says where.
        """
        found: list[str] = []
        anything, quote = Part(f"{_CHARACTER}*"), Part(_QUOTE)
        for branch in parse(pattern, spell_in_string):
            before = [quote] if is_whole or branch.is_from_start else [quote, anything]
            behind = [quote] if is_whole or branch.is_to_end else [anything, quote]
            found.append(self._grammar.sequence((*before, *branch.parts, *behind)))
        return self._grammar.rule(*found)

    @cached_property
    def integer(self) -> str:
        """Any integer."""
        return self._grammar.rule('"0"', '"-"? [1-9] [0-9]*')

    @cached_property
    def number(self) -> str:
        """Any number that a double can hold."""
        exponent = "([Ee] [\\u002b\\u002d]? [0-9]{1,2})?"
        return self._grammar.rule(f'"-"? ("0" | [1-9] [0-9]*) ("\\u002e" [0-9]+)? {exponent}')

    @cached_property
    def boolean(self) -> str:
        """True or false."""
        return self._grammar.rule('"true"', '"false"')

    @cached_property
    def any(self) -> str:
        """Any value."""
        name = self._grammar.reserve()
        member = self._grammar.rule(f"{self.string} {self.colon} {name}")
        return self._grammar.define(
            name,
            [
                self.string,
                self.number,
                self.boolean,
                '"null"',
                self.items(name, 0, None),
                self.members(member, 0, None),
            ],
        )

    def items(self, item: str, minimum: int, maximum: int | None) -> str:
        """Return the arrays with so many items."""
        return self._listed("[", item, "]", minimum, maximum)

    def members(self, member: str, minimum: int, maximum: int | None) -> str:
        """Return the objects with so many members, keys that come twice counted twice."""
        return self._listed("{", member, "}", minimum, maximum)

    def _listed(self, opening: str, item: str, closing: str, minimum: int, maximum: int | None) -> str:
        begin, end = literal(opening), literal(closing)
        empty = f"{begin} {self.space} {end}"
        if maximum == 0:
            return self._grammar.rule(empty)
        more = f"{{{max(minimum - 1, 0)},{'' if maximum is None else maximum - 1}}}"
        if maximum is None and minimum <= 1:
            more = "*"
        rest = f"({self.comma} {item}){more}" if maximum != 1 else ""
        full = " ".join(part for part in (begin, self.space, item, rest, self.space, end) if part)
        return self._grammar.rule(full) if minimum > 0 else self._grammar.rule(empty, full)

    def sequence_of(self, items: Sequence[str], minimum: int, rest: str) -> str:
        """Return the arrays of ``items`` in this order, at least ``minimum`` of them, and then ``rest``."""
        tail = rest
        for index in range(len(items) - 1, -1, -1):
            item = items[index] if index == 0 else f"{self.comma} {items[index]}"
            with_item = f"{item} {tail}"
            tail = self._grammar.rule(with_item) if index < minimum else self._grammar.rule('""', with_item)
        return self._grammar.rule(f"{literal('[')} {self.space} {tail} {self.space} {literal(']')}")
