"""Draws the documents of the corpus; each depends on the seed and its number alone."""

from __future__ import annotations

import argparse
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import fact_talk
import facts
import small_talk
import tool_talk
from dialogue import END_OF_TEXT, Dialogue, Turn, training_parts
from small_talk import Exchange, Memory
from stories import draw_story

STORY_SHARE = 0.4
PRACTICE_SHARE = 0.3  # of the first dialogues: without these, copying is learned late
PRACTICE_UNTIL = 3_200_000
LONG_SHARE = 0.06
TOOLS_SHARE = 0.5
THINKING_SHARE = 0.5
KEEP_SHARE = 0.6
HELD_OUT_OF = 16

SYSTEMS = (
    "You are a helpful assistant.",
    "You are a friendly assistant.",
    "You are a small and friendly language model.",
    "Answer in one short sentence.",
    "Be kind and brief.",
    "You help people with their questions.",
    "You are talking to a child.",
    "Answer politely.",
)
NAMED_SYSTEMS = ("You are {name}, a helpful assistant.", "Your name is {name}.", "You are called {name}. Be friendly.")

TALK: tuple[tuple[Exchange, float], ...] = (
    (small_talk.greeting, 1.0),
    (small_talk.how_are_you, 0.7),
    (small_talk.feeling, 0.4),
    (small_talk.who_are_you, 1.2),
    (small_talk.what_can_you_do, 0.5),
    (small_talk.tell_fact, 1.6),
    (small_talk.recall_fact, 2.2),
    (small_talk.story, 1.0),
    (small_talk.repeat, 0.6),
    (small_talk.thanks, 0.6),
    (small_talk.goodbye, 0.4),
    (small_talk.unknown, 0.9),
    (fact_talk.color, 0.8),
    (fact_talk.sound, 0.7),
    (fact_talk.young, 0.5),
    (fact_talk.legs, 0.4),
    (fact_talk.opposite, 1.0),
    (fact_talk.capital, 1.2),
    (fact_talk.next_in_row, 1.0),
    (fact_talk.count, 0.6),
)


@dataclass(frozen=True)
class Document:
    """One text of the corpus.

    Attributes:
        parts: Pieces of the text, each with whether the model has to learn to write it.
    """

    parts: tuple[tuple[str, bool], ...]


def is_held_out(text: str) -> bool:
    """Whether a question, a story's beginning or a dialogue's wording is kept for the evaluation."""
    return zlib.crc32(text.encode()) % HELD_OUT_OF == 0


def draw_exchange(rng: random.Random, memory: Memory, first: bool) -> list[Turn]:
    """Draws a question with its answer, or a few that belong together."""
    if memory.tools and rng.random() < (0.85 if first else 0.75):
        kind = rng.random()
        if kind < 0.74:
            return tool_talk.one_request(rng, memory)
        if kind < 0.9 or len(memory.tools) == len(tool_talk.TOOLS):
            return tool_talk.two_requests(rng, memory)
        return tool_talk.missing_tool(rng, memory)
    if not memory.tools and rng.random() < 0.04:
        return tool_talk.missing_tool(rng, memory)
    draws, weights = zip(*TALK, strict=True)
    draw: Exchange = rng.choices(draws, weights)[0]
    return draw(rng, memory)


def draw_exchanges(rng: random.Random, memory: Memory, count: int) -> list[Turn]:
    """Draws so many questions with their answers, none of them held out."""
    turns: list[Turn] = []
    while count > 0:
        exchange = draw_exchange(rng, memory, not turns)
        if not any(turn.held_out and is_held_out(turn.held_out) for turn in exchange):
            turns += exchange
            count -= 1
    return turns


def draw_dialogue(
    rng: random.Random, with_tools: bool, count: int | None = None, ending: Exchange | None = None
) -> Dialogue:
    """Draws a dialogue.

    Args:
        rng: Source of chance.
        with_tools: Whether tools are declared.
        count: Number of questions; by default 1 to 8, rarely up to 30.
        ending: Draws one more question with its answer.
    """
    memory = Memory()
    system = ""
    if rng.random() < 0.7:
        system = rng.choice(SYSTEMS)
        if rng.random() < 0.3:
            memory.model_name = rng.choice(facts.MODEL_NAMES)
            system = rng.choice(NAMED_SYSTEMS).format(name=memory.model_name)
    if with_tools:
        names = [*tool_talk.TOOLS]
        memory.tools = tuple(rng.sample(names, rng.choices((1, 2, 3), (1, 2, 3))[0]))
    tools = tuple(tool_talk.declare(rng, name) for name in memory.tools)
    if count is None:
        count = rng.randint(12, 30) if rng.random() < LONG_SHARE else rng.randint(1, 8)
    turns = draw_exchanges(rng, memory, count)
    if ending is not None:
        turns += ending(rng, memory)
    return Dialogue(system, tools, tuple(turns))


def wording(dialogue: Dialogue) -> str:
    """Returns the wording of a dialogue by which it may be held out."""
    return "\n".join((dialogue.system, *(turn.text for turn in dialogue.turns)))


def story_opening(story: str) -> str:
    """Returns the first two sentences of a story, by which it may be held out."""
    return ". ".join(story.split(". ")[:2])


def draw_practice(rng: random.Random) -> Dialogue:
    """Draws a dialogue that only repeats words."""
    turns = [turn for _ in range(rng.randint(2, 6)) for turn in small_talk.repeat(rng, Memory())]
    return Dialogue("", (), tuple(turns))


def draw_document(seed: int, number: int) -> Document:
    """Draws the document with this number."""
    rng = random.Random(f"{seed}:{number}")
    if number < PRACTICE_UNTIL and rng.random() < PRACTICE_SHARE:
        return Document(tuple(training_parts(draw_practice(rng), False, True))[1:])
    if rng.random() < STORY_SHARE:
        while is_held_out(story_opening(story := draw_story(rng))):
            pass
        return Document(((story + END_OF_TEXT, True),))
    with_tools = rng.random() < TOOLS_SHARE
    while is_held_out(wording(dialogue := draw_dialogue(rng, with_tools))):
        pass
    thinking, keep = rng.random() < THINKING_SHARE, rng.random() < KEEP_SHARE
    return Document(tuple(part for part in training_parts(dialogue, thinking, keep) if part[0]))


def documents(seed: int, first: int = 0) -> Iterator[Document]:
    """Yields the documents from this number on, without end."""
    number = first
    while True:
        yield draw_document(seed, number)
        number += 1


def main() -> None:
    """Prints documents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    source = documents(args.seed, args.first)
    for _ in range(args.count):
        print("".join(text for text, _ in next(source).parts), end="\n----\n")


if __name__ == "__main__":
    main()
