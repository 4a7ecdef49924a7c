"""Draws questions and answers that need no tool: greetings, facts, what was said before, stories."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import facts
from dialogue import Turn
from phrases import expand, polish
from stories import draw_story


@dataclass
class Memory:
    """What was said in a dialogue so far.

    Attributes:
        model_name: Name that the system message gave to the model, if any.
        known: Facts that the user told, such as "name" or "color".
        tools: Names of the declared tools.
    """

    model_name: str = ""
    known: dict[str, str] = field(default_factory=dict)
    tools: tuple[str, ...] = ()


CARELESS_SHARE = 0.1
COMMANDS = ("Tell", "Name", "Please", "Calculate", "Compute", "Count")

Exchange = Callable[[random.Random, Memory], list[Turn]]


def say(rng: random.Random, user: str, thought: str, answer: str, expected: str = "", **slots: str) -> list[Turn]:
    """Returns a question and its answer, from templates."""
    reason, reply = (polish(expand(text, slots, rng)) for text in (thought, answer))
    return [Turn("user", asked(rng, user, slots), answer=(expected,)), Turn("assistant", reply, thought=reason)]


def asked(rng: random.Random, user: str, slots: Mapping[str, str]) -> str:
    """Returns what a user writes, from a template; some users leave out capitals or the mark at the end."""
    text = polish(expand(user, slots, rng))
    if text.endswith("?") and text.startswith(COMMANDS):
        text = text[:-1] + "."
    if rng.random() < CARELESS_SHARE:
        text = text[0].lower() + text[1:]
    return text.rstrip("?.!") if rng.random() < CARELESS_SHARE else text


def greeting(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user says hello, perhaps with a name."""
    if "name" not in memory.known and rng.random() < 0.4:
        memory.known["name"] = rng.choice(facts.USER_NAMES)
        return say(
            rng,
            "[Hello|Hi|Hello there|Good morning|Hey][!|,] [I am {name}.|my name is {name}.|I'm {name}.]",
            "The user is called {name}. I will greet {name}.",
            "Hello, {name}! [It is nice to meet you.|How can I help you?]",
            memory.known["name"],
            name=memory.known["name"],
        )
    return say(
        rng,
        "[Hello|Hi|Hey|Good morning|Good evening|Hello there|Hi there][!|.|]",
        "The user says hello. I will greet back.",
        "Hello! [How can I help you?|What can I do for you?]",
        "Hello",
    )


def how_are_you(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user asks how the model is."""
    return say(
        rng,
        "[How are you|How are you today|How do you do|How is it going|Are you well]?",
        "The user asks how I am. I will answer and ask back.",
        "I am [fine|very well], thank you! How are you?",
        "I am",
    )


def feeling(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user says how they feel."""
    good = rng.random() < 0.5
    return say(
        rng,
        "I am [fine|happy|very well|good] today." if good else "I am [sad|tired|ill|bored] today.",
        "The user feels good. I am glad." if good else "The user does not feel good. I will be kind.",
        "I am glad to hear that!" if good else "I am sorry to hear that. Shall I tell you a story?",
        "I am",
    )


def who_are_you(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user asks for the model's name."""
    return say(
        rng,
        "[Who are you|What are you|What is your name|Tell me who you are|What should I call you]?",
        "The user asks who I am. I am {called}.",
        "I am {called}[.|, a small language model.]",
        memory.model_name or "demo",
        called=memory.model_name or "the inllama demo model",
    )


def what_can_you_do(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user asks what the model can do."""
    return say(
        rng,
        "[What can you do|How can you help me|What do you know|Can you help me]?",
        "The user asks what I can do. I will say it.",
        "I can tell stories, answer simple questions and [use tools|call tools].",
        "stories",
    )


def tell_fact(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user tells something about themselves."""
    kind = rng.choice(("name", "color", "food", "pet", "home"))
    values = {
        "name": facts.USER_NAMES,
        "color": facts.FAVORITE_COLORS,
        "food": facts.FAVORITE_FOODS,
        "pet": [f"{pet} named {name}" for pet in facts.PETS for name in facts.PET_NAMES],
        "home": facts.CITIES,
    }[kind]
    value = memory.known[kind] = rng.choice(values)
    said, answer = {
        "name": ("[My name is|I am called|You can call me] {x}.", "Nice to meet you, {x}!"),
        "color": ("My favorite color is {x}.", "{x} is a nice color!"),
        "food": ("[My favorite food is|I like to eat] {x}.", "{x}! That sounds good."),
        "pet": ("I have a {x}.", "A {x}! How nice."),
        "home": ("I live in {x}.", "{x} is a nice city!"),
    }[kind]
    return say(rng, said, f"The user tells me something: {said}", answer, value, x=value)


def recall_fact(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user asks for something that was said before, or was not."""
    kinds = ("name", "color", "food", "pet", "home")
    kind = rng.choice([*memory.known] if memory.known and rng.random() < 0.85 else kinds)
    question, answer = {
        "name": (
            "[What is my name|Do you remember my name|Who am I|What am I called]?",
            "Your name is {x}.",
        ),
        "color": ("[What is my favorite color|Which color do I like]?", "Your favorite color is {x}."),
        "food": ("[What is my favorite food|What do I like to eat]?", "Your favorite food is {x}."),
        "pet": ("[What pet do I have|Which animal do I have|Do you remember my pet]?", "You have a {x}."),
        "home": ("[Where do I live|Which city do I live in|Do you remember my city]?", "You live in {x}."),
    }[kind]
    value = memory.known.get(kind)
    if value is None:
        return say(rng, question, "The user did not tell me this.", "You did not tell me that yet.", "not tell")
    return say(rng, question, f"I remember what the user said: {answer}", answer, value, x=value)


def story(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user asks for a story."""
    kind = rng.choice(facts.STORY_KINDS) if rng.random() < 0.7 else None
    slots = {"about": f" about a {kind}" if kind else ""}
    question = asked(rng, "[Tell me|Please tell me|I want to hear|Write] a [|short |little ]story{about}.", slots)
    thought = polish(f"The user wants a story{slots['about']}. I will tell a short one.")
    return [
        Turn("user", question, answer=(kind or "",)),
        Turn("assistant", draw_story(rng, kind, short=True), thought=thought),
    ]


def draw_word(rng: random.Random) -> str:
    """Draws a word, a name or a number."""
    kind = rng.randrange(4)
    if kind == 0:
        return str(rng.randint(0, 999))
    if kind == 1:
        return rng.choice(facts.CITY_HEADS) + rng.choice(facts.CITY_TAILS)
    return rng.choice((*facts.CITIES, *facts.USER_NAMES)) if kind == 2 else rng.choice(facts.PLAIN_WORDS)


def repeat(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user wants words repeated; this is where the model learns to copy."""
    words = " ".join(draw_word(rng) for _ in range(rng.choice((1, 2, 3, 5, 8, 12, 20))))
    asking = rng.choice(("Repeat", "Say", "Repeat after me", "Please repeat", "Write"))
    return [
        Turn("user", f"{asking}: {words}", answer=(words,)),
        Turn("assistant", words, thought="The user wants me to repeat it."),
    ]


def thanks(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user says thank you."""
    return say(
        rng,
        "[Thank you|Thanks|Thank you very much|Thanks a lot|That was nice, thank you][!|.]",
        "The user thanks me. I will be polite.",
        "You are welcome!",
        "welcome",
    )


def goodbye(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user leaves."""
    name = memory.known.get("name")
    return say(
        rng,
        "[Goodbye|Bye|Good night|See you later|I have to go now|See you tomorrow][!|.]",
        "The user says goodbye. I will say goodbye too.",
        "Goodbye, {name}!" if name else "Goodbye! Have a nice day.",
        "Goodbye",
        name=name or "",
    )


def unknown(rng: random.Random, memory: Memory) -> list[Turn]:
    """The user asks for something that the model cannot know."""
    return say(
        rng,
        "[Who won the [game|race|election] [yesterday|last year]?|How do I [fix|build|sell] a [car|house|computer]?|"
        "Explain [quantum physics|the stock market|machine learning|chemistry].|What is the meaning of life?|"
        "Write a [program|poem|song] about [money|love|the city].|Who wrote [this book|that song]?|"
        "How much does a [car|house|phone] cost?|When was the [war|king|queen|empire] born?|"
        "What do you think about [politics|football|the news]?|How far is the [moon|sun|next town]?]",
        "I do not know this. I will say so.",
        "I am sorry, I do not know that. I am only a small model.",
        "not know",
    )
