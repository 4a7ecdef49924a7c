"""What an output must look like, written as a grammar in xgrammar's EBNF."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from inllama.structure.choices import choices_grammar
from inllama.structure.json_schema import schema_grammar, schema_text
from inllama.structure.regex import regex_grammar

_N_KEPT = 32


def grammar_of(kind: str, source: Any) -> str:
    """Return the grammar of what an option asks for; that of the same source is written once.

    Args:
        kind: ``json_schema``, ``regex`` or ``choices``.
        source: Its value.

    Raises:
        GrammarError: It cannot be enforced; ``.pointer``, or ``.line`` and ``.column``, say where.
    """
    if kind == "json_schema":
        return _schema(schema_text(source))
    return _choices(tuple(source)) if kind == "choices" else _regex(source)


_schema = lru_cache(_N_KEPT)(schema_grammar)
_regex = lru_cache(_N_KEPT)(regex_grammar)
_choices = lru_cache(_N_KEPT)(choices_grammar)
