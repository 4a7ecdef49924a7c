"""Held-out prompts, which the training did not see, and what a good answer to each is."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from corpus import TALK, draw_dialogue, is_held_out, story_opening, wording
from dialogue import END_OF_TEXT, Call, Dialogue, Turn, last_question, prompt
from small_talk import Exchange, Memory
from stories import draw_story
from tool_talk import one_request, two_requests

END_OF_TURN = "<|im_end|>"
_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
_THOUGHT = re.compile(r"<think>\n(.+?)\n</think>\n\n(.+)", re.DOTALL)


@dataclass(frozen=True)
class Prompt:
    """One prompt.

    Attributes:
        text: What the model continues.
        is_good: Whether a continuation is as wanted; it is given with the token that ended it, if one did.
        expected: What a right answer contains.
    """

    text: str
    is_good: Callable[[str], bool]
    expected: tuple[str, ...] = ()

    def is_right(self, answer: str) -> bool:
        """Whether a continuation contains what is expected, after its reasoning."""
        said = without_thought(answer).lower()
        return all(word.lower() in said for word in self.expected)


def random_of(kind: str, number: int) -> random.Random:
    """Returns the source of chance of one prompt."""
    return random.Random(f"held out {kind} {number}")


def without_thoughts(dialogue: Dialogue, end: int) -> Dialogue:
    """Returns the turns of a dialogue before ``end``, as an application keeps them that drops the reasoning."""
    return replace(dialogue, turns=tuple(replace(turn, thought="") for turn in dialogue.turns[:end]))


def cut(dialogue: Dialogue, end: int, thinking: bool) -> str:
    """Returns the prompt for the turn at ``end``."""
    before = replace(dialogue, turns=dialogue.turns[:end])
    return prompt(before if thinking else without_thoughts(dialogue, end), thinking)


def story(number: int) -> Prompt:
    """The beginning of a story that was not trained."""
    rng = random_of("story", number)
    while not is_held_out(story_opening(drawn := draw_story(rng))):
        pass
    text = " ".join(drawn.split(" ")[: rng.randint(6, 24)])
    return Prompt(text, lambda answer: answer.endswith(END_OF_TEXT))


def draw_held_out_talk(rng: random.Random) -> Dialogue:
    """Draws a dialogue without tools whose wording was not trained."""
    while not is_held_out(wording(dialogue := draw_dialogue(rng, False, rng.randint(1, 5)))):
        pass
    return dialogue


def chat(number: int) -> Prompt:
    """A dialogue without tools."""
    dialogue = draw_held_out_talk(random_of("chat", number))
    end = len(dialogue.turns) - 1
    text = cut(dialogue, end, thinking=number % 2 == 1)
    return Prompt(text, lambda answer: answer.endswith(END_OF_TURN), dialogue.turns[end - 1].answer)


def unseen(draw: Exchange) -> Exchange:
    """Returns an exchange that is drawn again until each of its questions is held out."""

    def draw_unseen(rng: random.Random, memory: Memory) -> list[Turn]:
        while True:
            turns = draw(rng, memory)
            if all(is_held_out(turn.held_out) for turn in turns if turn.role == "user"):
                return turns

    return draw_unseen


def draw_requests(rng: random.Random, memory: Memory) -> list[Turn]:
    """Draws a question for one tool or for two."""
    return two_requests(rng, memory) if rng.random() < 0.2 else one_request(rng, memory)


def draw_tool_dialogue(rng: random.Random, ending: Exchange = draw_requests) -> tuple[Dialogue, int]:
    """Returns a dialogue whose last question was not trained, and the index of that question."""
    sizes = []

    def draw_ending(rng: random.Random, memory: Memory) -> list[Turn]:
        turns = unseen(ending)(rng, memory)
        sizes.append(len(turns))
        return turns

    dialogue = draw_dialogue(rng, True, rng.randint(0, 3), draw_ending)
    return dialogue, len(dialogue.turns) - sizes[0]


def call(number: int) -> Prompt:
    """A question for a tool, or the result of the first of two tools."""
    rng = random_of("call", number)
    dialogue, start = draw_tool_dialogue(rng)
    ends = [index for index, turn in enumerate(dialogue.turns) if index >= start and turn.call]
    end = rng.choice(ends)
    wanted = dialogue.turns[end].call
    return Prompt(cut(dialogue, end, thinking=number % 2 == 1), lambda answer: calls(answer) == [wanted])


def result(number: int) -> Prompt:
    """The result of a tool."""
    dialogue, _ = draw_tool_dialogue(random_of("result", number))
    end = len(dialogue.turns) - 1
    question = last_question(dialogue.turns)
    expected = dialogue.turns[question].answer

    def tells(answer: str) -> bool:
        return not calls(answer) and all(word in without_thought(answer) for word in expected)

    return Prompt(cut(dialogue, end, thinking=number % 2 == 1), tells)


def words(number: int) -> Prompt:
    """A question for which the declared tools are of no use."""
    rng = random_of("words", number)
    talk, weights = zip(*TALK, strict=True)

    def draw_talk(rng: random.Random, memory: Memory) -> list[Turn]:
        draw: Exchange = rng.choices(talk, weights)[0]
        return draw(rng, memory)

    while not is_held_out(wording(dialogue := draw_dialogue(rng, True, rng.randint(0, 3), draw_talk))):
        pass
    text = cut(dialogue, len(dialogue.turns) - 1, thinking=number % 2 == 1)
    return Prompt(text, lambda answer: "<tool_call>" not in answer and answer.endswith(END_OF_TURN))


def thinking(number: int) -> Prompt:
    """A dialogue with reasoning; every other one declares tools."""
    rng = random_of("thinking", number)
    if number % 2:
        dialogue, start = draw_tool_dialogue(rng)
        end = rng.choice([i for i, turn in enumerate(dialogue.turns) if i >= start and turn.role == "assistant"])
    else:
        dialogue = draw_held_out_talk(rng)
        end = len(dialogue.turns) - 1
    return Prompt(cut(dialogue, end, thinking=True), closes_thought)


def closes_thought(answer: str) -> bool:
    """Whether an answer begins with one closed reasoning and then says something."""
    return _THOUGHT.fullmatch(answer) is not None and answer.count("<think>") == answer.count("</think>") == 1


def without_thought(answer: str) -> str:
    """Returns what an answer says after its reasoning."""
    return answer.rpartition("</think>")[2].strip()


def calls(answer: str) -> list[Call] | None:
    """Returns the calls that an answer makes; None if one is broken or if there is text beside them."""
    said = without_thought(answer).removesuffix(END_OF_TURN)
    found: list[Call] = []
    try:
        for text in _CALL.findall(said):
            data = json.loads(text)
            ((argument, value),) = data["arguments"].items()
            found.append(Call(data["name"], argument, value))
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return found if not _CALL.sub("", said).strip() or not found else None


PROMPTS: dict[str, Callable[[int], Prompt]] = {
    "story": story,
    "chat": chat,
    "call": call,
    "result": result,
    "words": words,
    "thinking": thinking,
}
