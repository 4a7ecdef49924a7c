"""Draws little stories from templates; the same seed always gives the same stories."""

from __future__ import annotations

import random
from dataclasses import replace

from phrases import expand, polish
from plots_more import PLOTS
from plots_short import SHORT_PLOTS
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
SHORT_SHARE = 0.5


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


def draw_slots(rng: random.Random, kind: str | None = None) -> dict[str, str]:
    """Draws the characters and things of one story; the hero may have to be a kind of animal."""
    hero = draw_character(rng, kind is None and rng.random() < CHILD_HERO_SHARE)
    if kind is not None:
        hero = replace(hero, kind=kind)
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


def draw_story(rng: random.Random, kind: str | None = None, short: bool | None = None) -> str:
    """Draws one story as a single line of text.

    Args:
        rng: Source of chance.
        kind: Kind of animal that the hero is; by default anyone.
        short: Whether it must have a plot of a few sentences; by default chance decides.
    """
    short = rng.random() < SHORT_SHARE if short is None else short
    plot = rng.choice(SHORT_PLOTS if short else PLOTS)
    slots = draw_slots(rng, kind) | rng.choice(plot.scenes)
    opening = rng.choice(OPENINGS_ONCE if rng.random() < ONCE_SHARE else OPENINGS_OTHER)
    parts = [opening]
    if plot.sky and rng.random() < SKY_SHARE:
        parts.append(rng.choice(SKIES) + ".")
    parts.extend(plot.lines)
    return polish(" ".join(polish(expand(part, slots, rng)) for part in parts))
