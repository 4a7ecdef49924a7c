"""Templates of sentences: choices ``[a|b]`` and slots ``{name}``."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_SENTENCE_START = re.compile(r"((?:^|[.!?] )\"?)([a-z])")
_ARTICLE_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=[aeiou])")


def expand(template: str, slots: Mapping[str, str], rng: random.Random) -> str:
    """Draws every choice ``[a|b]`` from the inside out and fills every slot ``{name}``."""
    text = template
    while match := _CHOICE.search(text):
        text = text[: match.start()] + rng.choice(match[1].split("|")) + text[match.end() :]
    while _SLOT.search(text):
        text = _SLOT.sub(lambda match: slots[match[1]], text)
    return text


def polish(text: str) -> str:
    """Capitalizes sentences, chooses between a and an and removes double spaces."""
    text = " ".join(text.split())
    text = _SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), text)
    return _ARTICLE_BEFORE_VOWEL.sub(r"\1n ", text)
