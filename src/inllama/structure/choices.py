"""One of a list of texts."""

from __future__ import annotations

from collections.abc import Sequence

from inllama.errors import GrammarError
from inllama.structure.characters import literal
from inllama.structure.ebnf import Grammar


def choices_grammar(choices: Sequence[str]) -> str:
    """Return the grammar of outputs that are one of ``choices``.

    Raises:
        GrammarError: There are none, or too many.
    """
    if not choices:
        raise GrammarError("choices is empty, so no output would be possible; give at least one text")
    grammar = Grammar()
    return grammar.text(grammar.rule(*(literal(text) for text in dict.fromkeys(choices))))
