"""What a model's family writes around an answer, for families whose answers stand inside of something."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Self

from inllama.chat_format import PreparedPrompt

_MARK = "inllama-answer"
# Given to a template, it has llama.cpp write a grammar of everything around the answer.
MARKED = json.dumps({"const": _MARK})
_HOLE = re.compile(rf'^([\w-]+) ::= "\\"{_MARK}\\""$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Frame:
    """A grammar with a place for the answer.

    Attributes:
        grammar: GBNF of the whole output, reasoning too, from the generation prompt on.
        hole: The rule in the answer's place.
    """

    grammar: str
    hole: str

    @classmethod
    def of(cls, marked: PreparedPrompt) -> Self | None:
        """Return the frame of a prompt that was prepared with ``MARKED`` as its schema; ``None`` if it has none."""
        grammar = marked.grammar or ""
        found = _HOLE.search(grammar)
        is_sure = grammar.count(_MARK) == 1 and _MARK not in marked.text
        return cls(grammar, found[1]) if found is not None and is_sure else None
