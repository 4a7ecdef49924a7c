# ruff: noqa: SIM905 - one quoted word per line would make the lists unreadable
"""Word lists of the story corpus: who the characters are and where they live."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Character:
    """A named character with consistent pronouns.

    Attributes:
        name: Given name, one word.
        kind: What the character is, such as "girl" or "fox".
        female: Whether the pronouns are she/her instead of he/him.
    """

    name: str
    kind: str
    female: bool

    @property
    def is_child(self) -> bool:
        """Whether the character is a human child."""
        return self.kind in ("girl", "boy")

    def slots(self, prefix: str) -> dict[str, str]:
        """Returns the template slots of this character, each starting with the prefix."""
        he, him, his = ("she", "her", "her") if self.female else ("he", "him", "his")
        called = self.name if self.is_child else f"{self.name} the {self.kind}"
        return {
            f"{prefix}name": self.name,
            f"{prefix}kind": self.kind,
            f"{prefix}called": called,
            f"{prefix}he": he,
            f"{prefix}He": he.capitalize(),
            f"{prefix}him": him,
            f"{prefix}his": his,
            f"{prefix}His": his.capitalize(),
        }


GIRLS = (
    "Mia Anna Lily Rosa Emma Nora Ella Clara Ida Lena Ruby Zoe Sara Julia Amy Grace Hanna Alma Tilda Ivy Maya Luna"
).split()
BOYS = (
    "Tom Ben Max Leo Sam Finn Jack Oscar Paul Emil Noah Theo Hugo Peter Adam Felix Milo Otto Jonas Henry Luca Nico"
).split()
FEMALE_ANIMALS = "Daisy Poppy Hazel Pip Willow Olive Berry Dot Maple Honey Molly Tansy Pearl Fern Nutmeg Coco".split()
MALE_ANIMALS = "Rusty Toby Bruno Benny Pepper Biscuit Oliver Gus Barley Teddy Bobo Waldo Basil Pico Moss Fuzzy".split()

KINDS = (
    "fox rabbit bear mouse squirrel hedgehog duck frog turtle cat dog puppy kitten lamb pony owl deer badger "
    "beaver penguin goat raccoon"
).split()

CHILD_TRAITS = "little kind curious brave cheerful clever shy young happy quiet friendly gentle".split()
ANIMAL_TRAITS = "little tiny small curious playful gentle clever shy young happy fluffy friendly brave".split()

CHILD_HOMES = (
    "in a small house near the forest",
    "in a little village by the sea",
    "in a big town with many bridges",
    "on a farm with green fields",
    "in a yellow house on a hill",
    "in a cottage beside a river",
    "at the edge of a quiet village",
    "in a tall house with a red roof",
)
ANIMAL_HOMES = (
    "under an old oak tree",
    "in a cozy den in the forest",
    "beside a clear blue lake",
    "in a green valley",
    "near a little stream",
    "at the edge of the woods",
    "on a sunny hill full of flowers",
    "in a quiet meadow",
    "behind a big gray rock",
)

PLACES = "forest meadow garden park field woods orchard valley village beach lake river hill pond".split()
IN_PLACE = {"beach": "on the beach", "hill": "on the hill", "field": "in the field"} | {
    place: f"by the {place}" for place in ("lake", "river", "pond")
}

SKIES = (
    "The sun was shining and the birds were singing",
    "The sky was blue and the air was warm",
    "It was a bright and sunny morning",
    "It was a cool and windy day",
    "Soft white clouds drifted over the hills",
    "The wind smelled of flowers",
    "It was a quiet afternoon",
    "The leaves were turning red and gold",
    "The grass was still wet from the rain",
)
SPOTS = (
    "under a bush",
    "behind a big rock",
    "in the tall grass",
    "under an old bench",
    "behind the gate",
    "next to a fallen tree",
    "under a pile of leaves",
    "between two stones",
    "in a hollow log",
    "near the old well",
)
FOODS = (
    "a basket of apples",
    "a loaf of warm bread",
    "a bag of nuts",
    "a bowl of berries",
    "a plate of pancakes",
    "a big piece of cheese",
    "a jar of honey",
    "a box of cookies",
    "a sweet red melon",
    "a small cherry cake",
)
COLORS = "red blue green yellow white golden silver purple orange".split()
TOYS = "ball kite drum hat scarf boat whistle bell button ring lantern spoon mitten basket key flute".split()
FAMILY = (
    ("mother", "she"),
    ("father", "he"),
    ("grandmother", "she"),
    ("grandfather", "he"),
    ("aunt", "she"),
    ("uncle", "he"),
)
SAGES = (
    "a wise old owl",
    "an old turtle",
    "a friendly old goat",
    "a gray old badger",
    "a kind old woman",
    "an old fisherman",
    "a big slow bear",
    "a tall heron",
)

OPENINGS_ONCE = (
    "Once upon a time, there was a {trait} {kind} named {name}.",
    "Once upon a time, there was a {trait} {kind} named {name} who lived {home}.",
    "Once upon a time, a {trait} {kind} named {name} lived {home}.",
    "Once upon a time, there lived a {trait} {kind} named {name}. {He} lived {home}.",
    "Once upon a time, there was a {kind} called {name}. {He} was very {trait2}.",
    "Once upon a time, {home}, there lived a {trait} {kind} called {name}.",
    "Once upon a time, there was a {trait} and {trait2} {kind}. {His} name was {name}.",
)
OPENINGS_OTHER = (
    "There was a {trait} {kind} named {name} who lived {home}.",
    "There once was a {trait} {kind} called {name}.",
    "One day, a {trait} {kind} named {name} went out to see the world.",
    "Long ago, a {trait} {kind} named {name} lived {home}.",
    "{name} was a {trait} {kind} who lived {home}.",
    "In a land far away, there lived a {trait} {kind} named {name}.",
)
