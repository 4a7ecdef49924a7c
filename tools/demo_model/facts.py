# ruff: noqa: SIM905 - one quoted word per line would make the lists unreadable
"""What the demo model knows: little tables of facts, and the cities that questions name."""

from __future__ import annotations

CAPITALS = {
    "France": "Paris",
    "Germany": "Berlin",
    "Italy": "Rome",
    "Spain": "Madrid",
    "England": "London",
    "Japan": "Tokyo",
    "Portugal": "Lisbon",
    "Austria": "Vienna",
    "Norway": "Oslo",
    "Greece": "Athens",
    "Egypt": "Cairo",
    "Ireland": "Dublin",
    "Poland": "Warsaw",
    "Finland": "Helsinki",
    "Sweden": "Stockholm",
    "Denmark": "Copenhagen",
    "Hungary": "Budapest",
    "Belgium": "Brussels",
    "Switzerland": "Bern",
    "Canada": "Ottawa",
    "Peru": "Lima",
    "Kenya": "Nairobi",
    "China": "Beijing",
    "Cuba": "Havana",
}
CITIES = (*CAPITALS.values(), *"Prague Amsterdam Munich Hamburg Barcelona Milan Boston Chicago Sydney Toronto".split())

# Cities that do not exist teach the model to copy any name.
CITY_HEADS = "Al Bar Cor Dan El Fal Gor Hel Kar Lor Mal Nor Or Pel Ros Sal Tar Ur Ver Wil".split()
CITY_TAILS = "ba da field ford ham land ley mo na port ra ria ston ta ton vale ville wick".split()

COLOR_OF = {
    "the sky": "blue",
    "the sea": "blue",
    "grass": "green",
    "snow": "white",
    "milk": "white",
    "a banana": "yellow",
    "a lemon": "yellow",
    "the sun": "yellow",
    "a strawberry": "red",
    "a tomato": "red",
    "a carrot": "orange",
    "a pumpkin": "orange",
    "a frog": "green",
    "coal": "black",
    "chocolate": "brown",
    "an elephant": "gray",
    "a flamingo": "pink",
}

SOUNDS = {
    "dog": "woof",
    "cat": "meow",
    "cow": "moo",
    "duck": "quack",
    "sheep": "baa",
    "pig": "oink",
    "horse": "neigh",
    "bee": "buzz",
    "frog": "croak",
    "lion": "roar",
    "snake": "hiss",
    "mouse": "squeak",
    "crow": "caw",
}

YOUNG = {
    "dog": "puppy",
    "cat": "kitten",
    "cow": "calf",
    "horse": "foal",
    "sheep": "lamb",
    "duck": "duckling",
    "bear": "cub",
    "frog": "tadpole",
    "hen": "chick",
    "goat": "kid",
}

LEGS = {"dog": "four", "cat": "four", "horse": "four", "bird": "two", "duck": "two", "spider": "eight", "bee": "six"}

_OPPOSITES = (
    "big small|hot cold|up down|fast slow|happy sad|day night|old new|open closed|wet dry|high low|loud quiet|"
    "full empty|hard soft|long short|left right|early late|strong weak|rich poor|clean dirty|near far|good bad|"
    "thick thin|first last|black white|light dark"
)
OPPOSITES = {word: other for pair in _OPPOSITES.split("|") for word, other in (pair.split(), reversed(pair.split()))}

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()

PLAIN_WORDS = (*OPPOSITES, *SOUNDS, *YOUNG, *"apple bread river stone window table letter music".split())

PETS = "dog cat rabbit mouse parrot pony turtle hamster".split()
PET_NAMES = "Rex Bella Max Luna Coco Milo Fluffy Spot Nala Oscar Kiki Bobby".split()
FAVORITE_FOODS = "pizza pasta soup rice bread cheese pancakes apples bananas cake".split()
FAVORITE_COLORS = "red blue green yellow purple orange pink black white".split()
USER_NAMES = (
    "Anna Ben Clara David Emma Felix Grace Henry Ida Jack Kate Leo Mia Noah Olivia Paul Rosa Sam Tom Zoe Maria Peter "
    "Lisa Mark Sofia Hugo Nina Omar Priya Yuki"
).split()
MODEL_NAMES = "Robin Pip Nova Kit Ada Milo Echo Sunny".split()
STORY_KINDS = "fox rabbit bear mouse squirrel hedgehog duck frog turtle cat dog owl deer badger penguin goat".split()

SKIES = "sunny cloudy rainy snowy windy foggy stormy clear".split()
