"""A place in a JSON schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from inllama.errors import GrammarError


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a schema; ``place / key`` is a part of that.

    Attributes:
        pointer: JSON pointer; the empty text is the whole schema.
        depth: Parts that it is inside of, from the schema or reference that is written on.
    """

    pointer: str
    depth: int = 0

    def __truediv__(self, key: str | int) -> Place:
        return Place(f"{self.pointer}/{str(key).replace('~', '~0').replace('/', '~1')}", self.depth + 1)

    def fail(self, problem: str, **fields: Any) -> NoReturn:
        """Raise ``GrammarError`` for this place."""
        shown = self.pointer if len(self.pointer) <= 200 else f"...{self.pointer[-200:]}"
        raise GrammarError(f"JSON schema, {shown or 'at its root'}: {problem}", pointer=self.pointer, **fields)

    def number(self, value: Any, *, maximum: int) -> int:
        """Return a keyword's value, which must be an integer of 0 to ``maximum``."""
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not is_whole or value < 0:
            self.fail("must be an integer that is not negative")
        if value > maximum:
            self.fail(f"{value} is over the limit of {maximum}; a smaller one can be enforced", limit=maximum)
        return int(value)
