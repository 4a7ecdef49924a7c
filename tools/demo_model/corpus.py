"""Generates the synthetic story corpus from templates; the same seed always gives the same stories."""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from plots_more import PLOTS
from words import (
    ANIMAL_HOMES,
    ANIMAL_TRAITS,
    BOYS,
    CHILD_HOMES,
    CHILD_TRAITS,
    COLORS,
    FAMILY,
    FEMALE_ANIMALS,
    FOODS,
    GIRLS,
    IN_PLACE,
    KINDS,
    MALE_ANIMALS,
    OPENINGS_ONCE,
    OPENINGS_OTHER,
    PLACES,
    SAGES,
    SKIES,
    SPOTS,
    TOYS,
    Character,
)

ONCE_SHARE = 0.75
CHILD_HERO_SHARE = 0.45
CHILD_FRIEND_SHARE = 0.35
SKY_SHARE = 0.3

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


def draw_character(rng: random.Random, child: bool, other: Character | None = None) -> Character:
    """Draws a character whose name and animal kind differ from those of the other character."""
    female = rng.random() < 0.5
    if child:
        names, kinds = (GIRLS, ["girl"]) if female else (BOYS, ["boy"])
    else:
        names, kinds = (FEMALE_ANIMALS if female else MALE_ANIMALS), KINDS
    if other is not None:
        names = [name for name in names if name != other.name]
        kinds = kinds if child else [kind for kind in kinds if kind != other.kind]
    return Character(rng.choice(names), rng.choice(kinds), female)


def draw_slots(rng: random.Random) -> dict[str, str]:
    """Draws the characters and things of one story."""
    hero = draw_character(rng, rng.random() < CHILD_HERO_SHARE)
    friend = draw_character(rng, rng.random() < CHILD_FRIEND_SHARE, hero)
    trait, trait2 = rng.sample([t for t in (CHILD_TRAITS if hero.is_child else ANIMAL_TRAITS) if t != "little"], 2)
    if rng.random() < 0.4:
        trait = "little"
    spot, spot2 = rng.sample(SPOTS, 2)
    place = rng.choice(PLACES)
    family, family_he = rng.choice(FAMILY)
    return {
        **hero.slots(""),
        **friend.slots("f_"),
        "trait": trait,
        "trait2": trait2,
        "f_trait": rng.choice(CHILD_TRAITS if friend.is_child else ANIMAL_TRAITS),
        "home": rng.choice(CHILD_HOMES if hero.is_child else ANIMAL_HOMES),
        "place": place,
        "in_place": IN_PLACE.get(place, f"in the {place}"),
        "spot": spot,
        "spot2": spot2,
        "food": rng.choice(FOODS),
        "color": rng.choice(COLORS),
        "toy": rng.choice(TOYS),
        "family": family,
        "family_he": family_he,
        "sage": rng.choice(SAGES),
    }


def draw_story(rng: random.Random) -> str:
    """Draws one story as a single line of text."""
    plot = rng.choice(PLOTS)
    slots = draw_slots(rng) | rng.choice(plot.scenes)
    opening = rng.choice(OPENINGS_ONCE if rng.random() < ONCE_SHARE else OPENINGS_OTHER)
    parts = [opening]
    if plot.sky and rng.random() < SKY_SHARE:
        parts.append(rng.choice(SKIES) + ".")
    parts.extend(plot.lines)
    return polish(" ".join(polish(expand(part, slots, rng)) for part in parts))


def stories(count: int, seed: int) -> Iterator[str]:
    """Yields the given number of stories."""
    rng = random.Random(seed)
    for _ in range(count):
        yield draw_story(rng)


def write(output: Path, count: int, seed: int) -> None:
    """Writes a corpus file with one story per line."""
    output.write_text("".join(story + "\n" for story in stories(count, seed)), encoding="utf-8")


def main() -> None:
    """Writes a corpus from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    write(args.output, args.count, args.seed)


if __name__ == "__main__":
    main()
