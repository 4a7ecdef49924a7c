"""A grammar while it is written: rules by name, and which of them come to an end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from inllama.errors import GrammarError

# Of the whole grammar, written out; the native side has the same limit.
MAX_BYTES = 1 << 20

_NAME = re.compile(r"\bx[0-9]+\b")
_QUOTED = re.compile(r'"[^"]*"|\[[^\]]*\]')


def matching(pattern: str) -> str:
    """Return the element for texts that match a pattern of xgrammar's, which has no quote as it is.

    It becomes one automaton, whose masks are much faster than those of rules that call each other.
    """
    return 'Regex("' + pattern.replace("\\", "\\\\") + '")'


def repeated(atom: str, low: int, high: int | None) -> str:
    """Return the pattern of xgrammar's for an atom, ``low`` to ``high`` times.

    Its ``?`` and ``{n,}`` match too much where the atom can end in several ways, so they are not used.
    """
    if (low, high) == (0, 1):
        return f"(?:|{atom})"
    if high is not None:
        return f"{atom}{{{low},{high}}}"
    return f"{atom}+" if low == 1 else f"{atom * low}{atom}*"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a branch: a pattern of xgrammar's, of so many characters at most."""

    pattern: str
    n_characters: int | None = None


class Grammar:
    """Rules in xgrammar's EBNF. The names of rules are ``root`` and those that ``reserve`` gives."""

    def __init__(self) -> None:
        self._limits: dict[str, int] = {}
        self._rules: dict[str, list[str]] = {}
        self._names: dict[str, str] = {}
        self._n_reserved = 0
        self._n_bytes = 0

    def reserve(self) -> str:
        """Return the name of a rule that is defined later."""
        self._n_reserved += 1
        return f"x{self._n_reserved}"

    def define(self, name: str, alternatives: Sequence[str]) -> str:
        """Define a rule by its alternatives, each in EBNF, and return its name.

        Raises:
            GrammarError: The grammar becomes too large; ``.limit`` is in bytes.
        """
        self._n_bytes += sum(map(len, alternatives)) + 4 * len(alternatives) + len(name)
        if self._n_bytes > MAX_BYTES:
            raise GrammarError(
                f"written out as a grammar this takes more than {MAX_BYTES} bytes; make it smaller", limit=MAX_BYTES
            )
        self._rules[name] = list(alternatives)
        return name

    def rule(self, *alternatives: str) -> str:
        """Return the name of a rule with these alternatives; the same ones share a rule."""
        key = " | ".join(alternatives)
        if key not in self._names:
            self._names[key] = self.define(self.reserve(), alternatives)
        return self._names[key]

    def limited(self, pattern: str, n_characters: int, behind: str = "") -> str:
        """Return the name of a rule for texts that match a pattern of xgrammar's, of so many characters at most.

        The pattern must match each text that it matches also with another end, or be able to end within the limit.
        ``behind`` is what follows, in EBNF: so it is known before which tokens that hold its end too are possible.
        """
        key = f"{n_characters} {pattern} {behind}"
        if key not in self._names:
            body = f"{matching(pattern)} (= {behind})" if behind else matching(pattern)
            self._names[key] = self.define(self.reserve(), [body])
            self._limits[self._names[key]] = n_characters
        return self._names[key]

    def sequence(self, parts: Sequence[Part]) -> str:
        """Return the sequence of parts: those without a limit of their own are one automaton."""
        found: list[str] = []
        joined = ""
        for part in parts:
            if part.n_characters is None:
                joined += part.pattern
                continue
            if joined:
                found.append(matching(joined))
            found.append(self.limited(part.pattern, part.n_characters))
            joined = ""
        if joined or not found:
            found.append(matching(joined) if joined else '""')
        return " ".join(found)

    def text(self, root: str) -> str:
        """Return the grammar that begins with the rule ``root``."""
        rules = [f"root ::= {root}"]
        for name, alternatives in self._rules.items():
            limit = f"[max_chars={self._limits[name]}]" if name in self._limits else ""
            rules.append(f"{name}{limit} ::= {' | '.join(alternatives)}")
        return "\n".join(rules) + "\n"

    def endless(self) -> set[str]:
        """Return the rules that nothing finite can follow."""
        waits: dict[str, list[tuple[str, int]]] = {name: [] for name in self._rules}
        missing: list[int] = []
        ends: list[str] = []
        for name, alternatives in self._rules.items():
            for alternative in alternatives:
                needed = set(_NAME.findall(_QUOTED.sub(" ", _optional(alternative))))
                if not needed:
                    ends.append(name)
                for other in needed:
                    waits[other].append((name, len(missing)))
                missing.append(len(needed))
        found: set[str] = set()
        while ends:
            name = ends.pop()
            if name in found:
                continue
            found.add(name)
            for waiting, number in waits[name]:
                missing[number] -= 1
                if missing[number] == 0:
                    ends.append(waiting)
        return set(self._rules) - found


_MAY_BE_MISSING = re.compile(r"\([^()]*\)(\*|\?|\{0,[0-9]*\})")


def _optional(alternative: str) -> str:
    """Return an alternative without the groups that may be missing."""
    return _MAY_BE_MISSING.sub(" ", alternative)
