"""Draws questions about the tables of facts, and their answers."""

from __future__ import annotations

import random

import facts
from dialogue import Turn
from small_talk import Memory, say

NUMBERS = "one two three four five six seven eight nine ten".split()  # noqa: SIM905


def color(rng: random.Random, memory: Memory) -> list[Turn]:
    """Which color something has."""
    thing, value = rng.choice([*facts.COLOR_OF.items()])
    return say(
        rng,
        "[What color is {thing}|Which color is {thing}|What is the color of {thing}|Tell me the color of {thing}]?",
        "The user asks for the color of {thing}. It is {value}.",
        "{thing} is {value}.",
        value,
        thing=thing,
        value=value,
    )


def sound(rng: random.Random, memory: Memory) -> list[Turn]:
    """What an animal says."""
    animal, value = rng.choice([*facts.SOUNDS.items()])
    return say(
        rng,
        "[What does a {animal} say|What sound does a {animal} make|How does a {animal} sound|What noise does a "
        "{animal} make]?",
        "The user asks for the sound of a {animal}. It says {value}.",
        "A {animal} says {value}.",
        value,
        animal=animal,
        value=value,
    )


def young(rng: random.Random, memory: Memory) -> list[Turn]:
    """What a young animal is called."""
    animal, value = rng.choice([*facts.YOUNG.items()])
    return say(
        rng,
        "[What is a young {animal} called|What do you call a baby {animal}|What is a baby {animal} called]?",
        "The user asks for a young {animal}. It is a {value}.",
        "A [young|baby] {animal} is called a {value}.",
        value,
        animal=animal,
        value=value,
    )


def legs(rng: random.Random, memory: Memory) -> list[Turn]:
    """How many legs an animal has."""
    animal, value = rng.choice([*facts.LEGS.items()])
    return say(
        rng,
        "How many legs does a {animal} have?",
        "The user asks for the legs of a {animal}. It has {value}.",
        "A {animal} has {value} legs.",
        value,
        animal=animal,
        value=value,
    )


def opposite(rng: random.Random, memory: Memory) -> list[Turn]:
    """The opposite of a word."""
    word, value = rng.choice([*facts.OPPOSITES.items()])
    return say(
        rng,
        "[What is the opposite of {word}|Tell me the opposite of {word}|Which word is the opposite of {word}]?",
        "The user asks for the opposite of {word}. It is {value}.",
        "The opposite of {word} is {value}.",
        value,
        word=word,
        value=value,
    )


def capital(rng: random.Random, memory: Memory) -> list[Turn]:
    """The capital of a country, or the country of a capital."""
    country, city = rng.choice([*facts.CAPITALS.items()])
    if rng.random() < 0.3:
        return say(
            rng,
            "[In which country is {city}|Which country is {city} in|Where is {city}]?",
            "The user asks where {city} is. It is in {country}.",
            "{city} is in {country}.",
            country,
            city=city,
            country=country,
        )
    return say(
        rng,
        "[What is the capital of {country}|Which city is the capital of {country}|Tell me the capital of {country}|"
        "Name the capital of {country}]?",
        "The user asks for the capital of {country}. It is {city}.",
        "The capital of {country} is {city}.",
        city,
        city=city,
        country=country,
    )


def next_in_row(rng: random.Random, memory: Memory) -> list[Turn]:
    """Which day, month or number comes before or after another one."""
    kind, row = rng.choice((("day", facts.DAYS), ("month", facts.MONTHS), ("number", NUMBERS)))
    step = rng.choice((1, -1))
    last = len(row) - 1
    index = rng.randint(0, last) if kind != "number" else rng.randint(max(0, -step), last - max(0, step))
    value = row[(index + step) % len(row)]
    return say(
        rng,
        "[What|Which] {kind} comes {where} {word}?",
        "The user asks what comes {where} {word}. It is {value}.",
        "{value} comes {where} {word}.",
        value,
        kind=kind,
        where="after" if step == 1 else "before",
        word=row[index],
        value=value,
    )


def count(rng: random.Random, memory: Memory) -> list[Turn]:
    """Counting to a number, or down from it."""
    last = rng.randint(3, 10)
    numbers = [str(number) for number in range(1, last + 1)]
    down = rng.random() < 0.3
    row = ", ".join(reversed(numbers) if down else numbers)
    return say(
        rng,
        "[|Please |Can you ]count " + ("[down|backwards] from {last}" if down else "[|from 1 ]to {last}"),
        "The user wants me to count.",
        f"{row}.",
        row,
        last=str(last),
    )
